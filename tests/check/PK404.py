# == bad/__init__.py
from piker._cacheables import async_lifo_cache
@async_lifo_cache()
async def get_mkt_info(fqme, proxy=None): ...
async def stream_quotes():
    await get_mkt_info('a', proxy=1)  # found: PK404
# == good/__init__.py
from functools import lru_cache
from piker._cacheables import async_lifo_cache
@async_lifo_cache()
async def get_mkt_info(fqme, proxy=None): ...
@lru_cache
def add(a, b=1): ...
async def stream_quotes():
    await get_mkt_info('a', 1)
    add(1, b=2)
