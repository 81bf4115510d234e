# == bad/__init__.py
from .feed import stream_quotes
_brokerd_mods: list[str] = ['broker', 'feed']  # found: PK205
# == bad/feed.py
async def stream_quotes(): ...
# == bad/broker.py
# == good/__init__.py
from .feed import stream_quotes
_datad_mods = ['feed']
_brokerd_mods = ['broker']
# == good/feed.py
async def stream_quotes(): ...
# == good/broker.py
