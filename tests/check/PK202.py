# == bad/__init__.py
from .feed import open_trade_dialog
__enable_modules__ = ['feed']  # found: PK202
# == bad/feed.py
async def open_trade_dialog(ctx): ...
# == data/__init__.py
from .feed import stream_quotes
_datad_mods = ['feed']
# == data/feed.py
async def stream_quotes(): ...
