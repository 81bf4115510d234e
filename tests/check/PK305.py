# == bad/__init__.py
async def stream_quotes(): ...
def broker_init(brokername):
    if not hasattr(mod, 'open_trade_dialog'):
        raise RuntimeError  # found: PK305
# == good/__init__.py
async def stream_quotes(): ...
def broker_init(brokername):
    if brokername == 'x':
        raise RuntimeError
async def spawn_brokerd(brokername):
    if not hasattr(mod, 'open_trade_dialog'):
        raise RuntimeError
