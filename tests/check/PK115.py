# == bad/__init__.py
import tractor
@tractor.context
async def open_symbol_search(context: tractor.Context): ...  # found: PK115
@tractor.context
async def open_trade_dialog(ctx): ...  # found: PK115
# == good/__init__.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
