# == bad/__init__.py
from .feed import open_symbol_search
from .broker import open_trade_dialog
_datad_mods = ['feed', 'broker']  # found: PK204
_brokerd_mods = ['broker', 'feed']  # found: PK204
# == bad/feed.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
# == bad/broker.py
import tractor
@tractor.context
async def open_trade_dialog(ctx: tractor.Context): ...
# == good/__init__.py
from .feed import open_symbol_search
from .broker import open_trade_dialog
_datad_mods = ['feed']
_brokerd_mods = ['broker']
__enable_modules__ = ['feed', 'broker']
# == good/feed.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
# == good/broker.py
import tractor
@tractor.context
async def open_trade_dialog(ctx: tractor.Context): ...
