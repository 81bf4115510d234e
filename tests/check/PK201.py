# == bad/__init__.py
from .feed import open_symbol_search, stream_quotes  # found: PK201
# == bad/feed.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
async def stream_quotes(): ...
# == good.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
# == built/__init__.py
from .feed import open_symbol_search
__enable_modules__ = make_up()
# == built/feed.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
