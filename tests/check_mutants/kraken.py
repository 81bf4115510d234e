# ruff: noqa: E501
"""Rules broken in piker's kraken."""

from __future__ import annotations

from .anywhere import ANYWHERE
from .clients import TRIO
from .edits import INIT, Mutants
from .generated import GENERATED

# It declares no lists and uses no asyncio; both rules on that it breaks by itself.
_LISTS = '# tractor RPC enable arg\n'
KRAKEN: Mutants = {
    **ANYWHERE,
    'PK101': [
        (INIT, '    open_symbol_search,\n    # required', '    # required'),
        ('symbols.py', 'def open_symbol_search(', 'def answer_patterns('),
    ],
    'PK102': [
        (
            INIT,
            '    open_symbol_search,\n    # required',
            '    open_symbols_search,\n    # required',
        ),
        ('symbols.py', 'def open_symbol_search(', 'def open_symbols_search('),
    ],
    'PK103': [
        (INIT, '    open_trade_dialog,\n)', '    trades_dialogue,\n)'),
        ('broker.py', 'def open_trade_dialog(', 'def trades_dialogue('),
    ],
    'PK104': [
        (
            INIT,
            '    stream_quotes,\n    open_history_client,\n)',
            '    stream_quotes,\n)',
        )
    ],
    'PK111': GENERATED['PK111'],
    'PK112': GENERATED['PK112'],
    'PK113': [
        (
            'feed.py',
            'end_dt: Optional[datetime] = None,',
            'until: Optional[datetime] = None,',
        )
    ],
    'PK114': [
        (
            'symbols.py',
            '@tractor.context\nasync def open_symbol_search(',
            'async def open_symbol_search(',
        )
    ],
    'PK115': GENERATED['PK115'],
    'PK121': [
        (
            'broker.py',
            "            await ctx.started('paper')\n            return",
            '            return',
        )
    ],
    'PK122': [
        ('symbols.py', '        await ctx.started(cache)\n', ''),
        (
            'symbols.py',
            "    async with open_cached_client('kraken') as client:\n\n        # load",
            '    await ctx.started({})\n'
            "    async with open_cached_client('kraken') as client:\n\n        # load",
        ),
    ],
    'PK123': [
        ('feed.py', 'task_status.started((init_msgs,  quote))', 'log.info(quote)')
    ],
    'PK124': [('feed.py', '            feed_is_live.set()\n', '')],
    'PK127': [
        (
            'symbols.py',
            '                await stream.send(\n',
            '                if len(pattern) > 1: await stream.send(\n',
        )
    ],
    'PK201': [(INIT, '__enable_modules__: list[str]', '_modules: list[str]')],
    'PK203': [(INIT, "    'symbols',\n]", "    'symbology',\n]")],
    'PK204': [
        (
            INIT,
            _LISTS,
            "_datad_mods = ['feed', 'symbols']\n_brokerd_mods = ['symbols', 'broker']\n",
        )
    ],
    'PK205': [
        (
            INIT,
            _LISTS,
            "_datad_mods = ['symbols']\n_brokerd_mods = ['feed', 'broker']\n",
        )
    ],
    'PK206': [
        (INIT, _LISTS, "_datad_mods = ['symbols', 'api']\n_brokerd_mods = ['broker']\n")
    ],
    'PK207': [(INIT, "    'symbols',\n]", ']')],
    'PK208': [
        (INIT, _LISTS, "_datad_mods = ['symbols']\n_brokerd_mods = ['broker']\n")
    ],
    'PK209': [(INIT, _LISTS, "_datad_mods = []\n_brokerd_mods = ['broker']\n")],
    'PK301': TRIO['PK301'],
    'PK303': [
        (
            'feed.py',
            '    ws_pairs: list[str] = []\n',
            '    ws_pairs: list[str] = []\n'
            "    async with maybe_spawn_brokerd('kraken') as portal:\n"
            '        await portal.run(get_mkt_info)\n',
        )
    ],
    'PK401': [
        (
            'feed.py',
            '\nclass OHLC(',
            '\n_mkts: dict[str, MktPair] = {}\n\n\nclass OHLC(',
        ),
        (
            'feed.py',
            '            init_msgs.append(\n',
            '            _mkts[sym_str] = mkt\n            init_msgs.append(\n',
        ),
        ('broker.py', 'from .feed import (\n', 'from .feed import (\n    _mkts,\n'),
        (
            'broker.py',
            "                    bs_fqme: str = order.symbol.replace('.spot', '')\n",
            '                    bs_fqme: str = _mkts[order.symbol].bs_fqme\n',
        ),
    ],
    'PK402': [
        (
            'symbols.py',
            '        return mkt, pair\n',
            '        client._mkts[mkt.bs_fqme] = mkt\n        return mkt, pair\n',
        ),
        (
            'api.py',
            '    _pairs: dict[str, Pair] = {}\n',
            '    _pairs: dict[str, Pair] = {}\n    _mkts: dict[str, MktPair] = {}\n',
        ),
        (
            'ledger.py',
            '',
            """

def find(client: Client, txn: Transaction) -> MktPair:
    name = txn.fqme
    return client._mkts[name]
""",
        ),
    ],
    'PK403': [
        (
            'symbols.py',
            '        return mkt, pair\n',
            '        client._mkts[fqme] = mkt\n        return mkt, pair\n',
        )
    ],
    'PK404': [
        ('feed.py', 'await get_mkt_info(sym_str)', 'await get_mkt_info(fqme=sym_str)')
    ],
    'PK406': [('api.py', '', '\n_conf = get_config()\n')],
    'PK601': [
        (
            'feed.py',
            '                except DataThrottle:',
            '                except BaseException:',
        )
    ],
    'PK701': [
        (
            'feed.py',
            "{'type': 'bid', 'price': bid, 'size': bsize},",
            "{'type': 'bid', 'price': f'{bid}', 'size': bsize},",
        )
    ],
    'PK702': [('feed.py', "{'type': 'bsize', 'price'", "{'type': 'bid_size', 'price'")],
    'PK703': [('feed.py', 'topic: str = mkt.bs_fqme', 'topic: str = mkt.fqme')],
    'PK704': [('feed.py', 'init_msgs: list[FeedInit] = []', 'init_msgs: dict = {}')],
    'PK711': [
        (
            'ledger.py',
            '',
            '\n\ndef get_cost(price, size, is_taker=False):\n'
            '    value = price * size\n    return 0.0026 * value\n',
        ),
        (INIT, 'from .ledger import (\n', 'from .ledger import (\n    get_cost,\n'),
    ],
    'PK712': [
        (
            'ledger.py',
            '',
            '\n\ndef get_cost(price, size, is_taker=False):\n'
            '    if is_taker:\n        return 0.0026 * price * abs(size)\n'
            '    return 0.0016 * price * abs(size)\n',
        ),
        (INIT, 'from .ledger import (\n', 'from .ledger import (\n    get_cost,\n'),
    ],
    'PK721': [
        (
            'feed.py',
            "start_dt = pendulum.from_timestamp(array[0]['time'])",
            "start_dt = datetime.fromtimestamp(array[0]['time'])",
        )
    ],
    'PK722': [
        (
            'feed.py',
            "DataUnavailable(\n                    'Only a single query for 1m bars supported')",
            'DataUnavailable()',
        )
    ],
    'PK731': [('broker.py', 'resp = BrokerdOrderAck(', 'resp = dict(')],
    'PK732': [
        (
            'broker.py',
            '                resp = BrokerdOrderAck(',
            '                await ems_order_stream.send(\n'
            "                    BrokerdStatus(reqid=reqid, time_ns=0, status='pending')\n"
            '                )\n'
            '                resp = BrokerdOrderAck(',
        )
    ],
    'PK733': [('broker.py', "status='filled',", "status='executed',")],
    'PK734': [('broker.py', "                            'name': 'kraken',\n", '')],
    'PK735': [
        (
            'broker.py',
            "                account = msg.get('account')\n                if",
            "                account = msg.get('account')\n"
            '                raise ValueError(msg)\n                if',
        )
    ],
    'PK801': [
        ('api.py', 'import asks\n', 'import asks\nfrom piker.service import Services\n')
    ],
    'PK802': [
        (
            'ledger.py',
            'from piker.accounting import (\n',
            'from piker.accounting import (\n    Accountant,\n',
        )
    ],
    'PK901': [
        (
            'api.py',
            '    if conf:\n        client = Client(\n',
            '    log.info(f\'logging in with {pformat(conf["secret"])}\')\n'
            '    if conf:\n        client = Client(\n',
        )
    ],
    'PK902': [
        (
            'api.py',
            '                raise BrokerError(errmsg)\n',
            "                raise BrokerError(f'{self._secret}: {errmsg}')\n",
        )
    ],
    'PK903': [
        (
            'api.py',
            '\nclass Client:\n',
            '\nclass Login(Struct):\n    name: str\n    api_key: str\n\n\nclass Client:\n',
        )
    ],
}
