# == bad/__init__.py
from .feed import stream_quotes
from .feed import get_client  # found: PK104
from .symbols import get_mkt_info  # found: PK104
# == bad/feed.py
async def stream_quotes(): ...
async def open_history_client(mkt): ...  # found: PK104
# == good/__init__.py
from . import feed
from .feed import stream_quotes, log

try:
    from .maybe import something
except ImportError:
    pass
# == good/feed.py
import logging
from ._util import anything
async def stream_quotes(): ...
with open('x') as log: ...
# == good/_util.py
def __getattr__(name): ...
