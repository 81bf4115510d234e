# == bad/__init__.py
from .feed import open_symbol_search
from .broker import open_trade_dialog
_datad_mods = ['broker']
_brokerd_mods = ['broker']
__enable_modules__ = [*_datad_mods, *_brokerd_mods]
# == bad/feed.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...  # found: PK207
@tractor.context
async def watch(ctx: tractor.Context): ...  # found: PK207
# == bad/broker.py
import tractor
@tractor.context
async def open_trade_dialog(ctx: tractor.Context): ...
# == good/__init__.py
from .feed import open_symbol_search
__enable_modules__ = ['feed']
# == good/feed.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
# == good/unused.py
import tractor
@tractor.context
async def open_trade_dialog(ctx: tractor.Context): ...
# == lifecycle/__init__.py
_datad_mods = ['feed']
# == lifecycle/feed.py
import tractor
async def stream_quotes(): ...
# == lifecycle/_daemon.py
import tractor
@tractor.context
async def _setup_persistent_datad(ctx: tractor.Context): ...
