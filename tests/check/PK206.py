# == bad/__init__.py
from .feed import stream_quotes
_datad_mods = ['feed', 'api']  # found: PK206
# == bad/feed.py
async def stream_quotes(): ...
# == bad/api.py
class Client: ...
# == remote/__init__.py
_datad_mods = ['feed', 'api']
# == remote/feed.py
async def stream_quotes(portal):
    await portal.run(api.get)
# == remote/api.py
async def get(): ...
