# == bad/__init__.py
from .feed import stream_quotes
_datad_mods = ['feed', 'symbol']  # found: PK203
__enable_modules__ = _datad_mods
# == bad/feed.py
async def stream_quotes(): ...
# == good/__init__.py
from .feed import stream_quotes
_datad_mods = ['feed']
# == good/feed.py
async def stream_quotes(): ...
