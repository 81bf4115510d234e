# == bad.py
async def open_trade_dialog(ctx):
    async for msg in stream:
        if msg['action'] == 'buy':
            raise ValueError(msg['oid'])  # found: PK735
# == good.py
async def open_trade_dialog(ctx):
    async for msg in stream:
        try:
            if msg['action'] == 'buy':
                raise ValueError(msg['oid'])
        except ValueError:
            pass
    async for event in events:
        raise ValueError
