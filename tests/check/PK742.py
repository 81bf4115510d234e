# == bad.py
class Pair(Struct):
    ns_path: str = 'piker.brokers.bad:Pair'
    limit: float | None = None  # found: PK742
async def get_client(): ...
# == good.py
class Pair(Struct):
    ns_path: str = 'piker.brokers.good:Pair'
    limit: float = 0
class Other(Struct):
    limit: float | None = None
async def get_client(): ...
