# == bad/__init__.py
async def open_symbol_search(ctx): ...  # found: PK114
async def open_trade_dialog(ctx): ...  # found: PK114
# == good/__init__.py
import tractor
from ._piker import context
@tractor.context
async def open_symbol_search(ctx): ...
@context
async def open_trade_dialog(ctx): ...
