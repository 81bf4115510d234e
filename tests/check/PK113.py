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
# == bound/__init__.py
from functools import partial
from .history import get_hist, get_bars
async def open_history_client(mkt):
    yield partial(get_hist, client, mkt), {}
# == bound/history.py
async def get_hist(client, mkt, timeframe, until=None, start_dt=None): ...  # found: PK113
async def get_bars(client, mkt, timeframe, end_dt=None, start_dt=None): ...
# == right/__init__.py
from functools import partial
from .history import get_bars
async def open_history_client(mkt):
    yield partial(get_bars, client, mkt), {}
# == right/history.py
async def get_bars(client, mkt, timeframe, end_dt=None, start_dt=None): ...
