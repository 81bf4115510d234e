# == bad/__init__.py
from .broker import trades_dialogue
# == bad/broker.py
async def trades_dialogue(ctx): ...  # found: PK103
# == good/__init__.py
from .broker import open_trade_dialog, trades_dialogue
# == good/broker.py
async def open_trade_dialog(ctx): ...
trades_dialogue = open_trade_dialog
