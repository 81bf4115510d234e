# == bad/__init__.py
from piker._cacheables import async_lifo_cache
@async_lifo_cache  # found: PK407
async def get_mkt_info(fqme): ...
# == good/__init__.py
from piker._cacheables import async_lifo_cache
@async_lifo_cache()
async def get_mkt_info(fqme): ...
@async_lifo_cache(maxsize=128)
async def get_more(fqme): ...
