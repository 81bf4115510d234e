# == bad.py
from tractor import to_asyncio
async def get_client():
    async with to_asyncio.open_channel_from(f): ...
class Proxy:
    async def call(self, method, **kwargs):
        chan = self.chan
        await chan.send((method, kwargs))
        while True:
            msg = await chan.receive()  # found: PK501
            return msg
# == good.py
from tractor import to_asyncio
class Proxy:
    async def call(self, method, **kwargs):
        mid = next(self._mids)
        await self.chan.send((mid, method, kwargs))
        return await self.replies[mid].wait()
    async def listen(self):
        msg = await self.chan.receive()
async def get_client():
    box.send(1)
# == trio_only.py
async def get_client(ws):
    await ws.send(1)
    await ws.receive()
