# == bad/__init__.py
from piker._cacheables import async_lifo_cache
known = {}
@async_lifo_cache()
async def get_mkt_info(fqme):
    known[fqme] = 1  # found: PK403
    return 1
# == good/__init__.py
from functools import lru_cache
from piker._cacheables import async_lifo_cache
@async_lifo_cache()
async def get_mkt_info(fqme):
    found = {}
    found[fqme] = 1
    for it in [{}]:
        it['a'] = 1
    return found
@lru_cache
def double(n):
    parts = []
    parts.append(n)
    return parts
