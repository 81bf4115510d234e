# == bad/__init__.py
from .feed import stream_quotes
_datad_mods = ['feed']
_brokerd_mods = ['broker']
__enable_modules__ = ['feed']  # found: PK208
# == bad/feed.py
async def stream_quotes(): ...
# == bad/broker.py
# == lacks/__init__.py
from .feed import stream_quotes
_datad_mods = ['feed']  # found: PK208
# == lacks/feed.py
async def stream_quotes(): ...
# == good/__init__.py
from .feed import stream_quotes
_datad_mods = ['feed']
_brokerd_mods = ['broker']
__enable_modules__ = _datad_mods + _brokerd_mods
# == good/feed.py
async def stream_quotes(): ...
# == good/broker.py
