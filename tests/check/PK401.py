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
# == namesake/__init__.py
from .api import Client, open_history_client
from .broker import open_trade_dialog
# == namesake/api.py
class Client:
    def __init__(self):
        self.on_trouble = None
async def open_history_client(mkt):
    client = Client()
    if client.on_trouble:
        client.on_trouble('none')
    yield client, {}
# == namesake/broker.py
class Dialog:
    def __init__(self):
        self.flows = {}
    def begin(self, oid):
        self.flows[oid] = 1
    def on_trouble(self, oid):
        return self.flows[oid]
async def open_trade_dialog(ctx):
    Dialog().begin('a')
    client.on_trouble = Dialog().on_trouble
