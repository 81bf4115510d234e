# == bad/__init__.py
async def open_history_client(mkt):
    async def get_ohlc(end_dt=None, start_dt=None): ...  # found: PK113
    yield get_ohlc, {}
# == other/__init__.py
async def open_history_client(mkt):
    async def get_ohlc(timeframe, end_dt, start_dt=None): ...  # found: PK113
    yield get_ohlc, {}
# == good/__init__.py
async def open_history_client(mkt):
    async def get_hist(timeframe, end_dt=None, start_dt=None): ...
    yield get_hist, {}
