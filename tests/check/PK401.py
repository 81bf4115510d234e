# == bad/__init__.py
from .feed import stream_quotes
from .broker import open_trade_dialog
# == bad/symbols.py
contracts: dict[str, int] = {}
class Client:
    _known = {}
    def place(self, symbol):
        return self._known[symbol]  # found: PK401
# == bad/feed.py
from .symbols import Client, contracts
async def stream_quotes():
    contracts['a'] = 1
    client = Client()
    def fill():
        client._known['a'] = 1
    fill()
# == bad/broker.py
from functools import partial
from . import symbols
from .symbols import Client
async def open_trade_dialog(ctx):
    await tn.start(partial(work, Client()))
async def work(client: Client):
    client.place('a')
    symbols.contracts['a']  # found: PK401
# == good/__init__.py
from .feed import stream_quotes
from .broker import open_trade_dialog
# == good/symbols.py
contracts: dict[str, int] = {}
table = {'a': 1}
def cache_contract(name):
    if name not in contracts:
        contracts[name] = 1
    return contracts[name]
# == good/feed.py
from .symbols import cache_contract, table
async def stream_quotes():
    cache_contract('a')
    table['a'] = 2
# == good/broker.py
from .symbols import cache_contract, contracts, table
async def open_trade_dialog(ctx):
    cache_contract('a')
    contracts['a']
    table['a']
# == later/__init__.py
from .feed import stream_quotes
from .broker import open_trade_dialog
# == later/feed.py
offset = None
resetter = None
async def stream_quotes():
    global offset, resetter
    offset = 1.0
    resetter = 1
# == later/broker.py
from . import feed
async def open_trade_dialog(ctx):
    if feed.resetter is not None: ...
    return 2 * feed.offset  # found: PK401
