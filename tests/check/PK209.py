# == bad/__init__.py
from .feed import open_symbol_search
_datad_mods = []  # found: PK209
__enable_modules__ = ['feed']
# == bad/feed.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
# == good/__init__.py
from .feed import open_symbol_search
_datad_mods = ['feed']
_brokerd_mods = []
# == good/feed.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
