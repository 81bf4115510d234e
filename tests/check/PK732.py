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
