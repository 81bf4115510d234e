# == bad.py
from tractor import to_asyncio
class Proxy:
    async def call(self, method):
        mid = next(self._mids)
        await self.chan.send((mid, method))
        while True:
            msg = await self.chan.receive()  # found: PK502
            if msg['mid'] == mid:
                return msg
# == good.py
from tractor import to_asyncio
class Proxy:
    async def call(self, method):
        mid = next(self._mids)
        await self.chan.send((mid, method))
        return await self.waiter(mid)
