# == bad.py
from piker.clearing._messages import BrokerdOrderAck, BrokerdStatus
async def handle(stream):
    async for msg in stream:
        await stream.send(BrokerdStatus(status='open'))  # found: PK732
        await stream.send(BrokerdOrderAck(oid=1))
async def get_client(): ...
# == good.py
from piker.clearing._messages import BrokerdOrderAck, BrokerdStatus
async def handle(stream):
    async for msg in stream:
        if msg['action'] == 'cancel':
            await stream.send(BrokerdStatus(status='canceled'))
            continue
        await stream.send(BrokerdOrderAck(oid=1))
        await stream.send(BrokerdStatus(status='open'))
async def get_client(): ...
# == late.py
from piker.clearing._messages import BrokerdOrderAck, BrokerdStatus
def mk_status(reqid) -> BrokerdStatus:
    return BrokerdStatus(status='open')
async def handle(stream):
    async for msg in stream:
        ack = BrokerdOrderAck(oid=1)
        await stream.send(mk_status(1))  # found: PK732
        await stream.send(ack)
async def get_client(): ...
