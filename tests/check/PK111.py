# == bad/__init__.py
from contextlib import asynccontextmanager
import tractor
async def get_client():  # found: PK111
    yield 1
def get_mkt_info(fqme): ...  # found: PK111
async def open_history_client(mkt):  # found: PK111
    return 1
@asynccontextmanager
async def stream_quotes():  # found: PK111
    yield
async def norm_trade(tid, record, pairs, symcache): ...  # found: PK111
# == good/__init__.py
from contextlib import asynccontextmanager as acm
from functools import wraps
import tractor
@acm
async def get_client():
    yield 1
async def get_mkt_info(fqme): ...
@acm
async def open_history_client(mkt):
    yield 1
async def stream_quotes():
    async def stream():
        yield 1
def norm_trade(tid, record, pairs, symcache): ...
@tractor.context
async def open_symbol_search(ctx): ...
@wraps(stream_quotes)
def open_trade_dialog(ctx): ...
