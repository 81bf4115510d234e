# ruff: noqa: E501
"""Rules broken in piker's ib."""

from __future__ import annotations

from .anywhere import ANYWHERE
from .edits import INIT, Mutants
from .generated import GENERATED
from .kraken import KRAKEN

_IB_DATAD = "_datad_mods: list[str] = [\n    'feed',\n    'symbols',\n]"
_IB_BROKERD = "_brokerd_mods: list[str] = [\n    'api',\n    'broker',\n]"
IB: Mutants = {
    **ANYWHERE,
    'PK101': [
        (
            INIT,
            '    norm_trade,\n    norm_trade_records,\n    tx_sort,\n)',
            '    tx_sort,\n)',
        ),
        ('ledger.py', 'def norm_trade(', 'def mk_transaction('),
    ],
    'PK102': [
        (
            INIT,
            '    open_symbol_search,\n    _search_conf',
            '    open_symbols_search,\n    _search_conf',
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
            '    open_history_client,\n    stream_quotes,\n)',
            '    stream_quotes,\n)',
        )
    ],
    'PK111': GENERATED['PK111'],
    'PK112': GENERATED['PK112'],
    'PK113': [
        (
            'feed.py',
            'end_dt: datetime | None = None,\n'
            '            start_dt: datetime | None = None,\n\n'
            '        ) -> tuple[np.ndarray, str]:',
            'until: datetime | None = None,\n'
            '            start_dt: datetime | None = None,\n\n'
            '        ) -> tuple[np.ndarray, str]:',
        )
    ],
    'PK114': KRAKEN['PK114'],
    'PK115': GENERATED['PK115'],
    'PK121': [('symbols.py', '    await ctx.started({})\n', '')],
    'PK122': [
        (
            'broker.py',
            '    # task local msg dialog tracking\n    flows = OrderDialogs()\n',
            '    await ctx.started(([], []))\n    flows = OrderDialogs()\n',
        )
    ],
    'PK123': [('feed.py', 'task_status.started(', 'log.info(')],
    'PK124': [('feed.py', 'feed_is_live.set()', 'log.info(sym)')],
    'PK126': [('broker.py', '        task_status.started(trade_event_stream)\n', '')],
    'PK127': [
        ('symbols.py', '                    await stream.send({})\n', ''),
    ],
    'PK201': [
        (INIT, '_brokerd_mods', '_of_brokerd'),
        (INIT, '_datad_mods', '_of_datad'),
        (INIT, '__enable_modules__', '_enabled'),
    ],
    'PK202': [
        (INIT, '_brokerd_mods', '_of_brokerd'),
        (INIT, '_datad_mods', '_of_datad'),
    ],
    'PK203': [(INIT, _IB_DATAD, "_datad_mods = ['feed', 'symbols', 'search']")],
    'PK204': [(INIT, _IB_BROKERD, "_brokerd_mods = ['broker', 'symbols']")],
    'PK205': [(INIT, _IB_BROKERD, "_brokerd_mods = ['broker', 'feed']")],
    'PK206': [(INIT, _IB_DATAD, "_datad_mods = ['feed', 'symbols', 'ledger']")],
    'PK207': [(INIT, _IB_DATAD, "_datad_mods = ['feed']")],
    'PK208': [
        (INIT, '    _brokerd_mods\n    +\n    _datad_mods\n', '    _brokerd_mods\n')
    ],
    'PK209': [(INIT, _IB_DATAD, '_datad_mods: list[str] = []')],
    'PK301': [(INIT, "    'infect_asyncio': True,\n", '')],
    'PK303': [
        (
            'feed.py',
            '    sym = symbols[0]\n',
            '    sym = symbols[0]\n'
            "    async with maybe_spawn_brokerd('ib') as portal:\n"
            '        await portal.run(get_mkt_info)\n',
        )
    ],
    'PK401': [
        (
            'feed.py',
            '\n_pacing: str = (',
            '\n_last: dict[str, float] = {}\n_pacing: str = (',
        ),
        (
            'feed.py',
            "    data['brokerd_ts'] = time.time()\n",
            "    data['brokerd_ts'] = time.time()\n    _last.update({fqme: data['last']})\n",
        ),
        (
            'broker.py',
            '            # validate\n            order = BrokerdOrder(**request_msg)\n',
            '            from .feed import _last as prices\n\n'
            '            order = BrokerdOrder(**request_msg)\n'
            '            assert order.price < 2 * prices[order.symbol]\n',
        ),
    ],
    'PK402': [
        (
            'api.py',
            'self._contracts[pattern] = tract',
            'self._contracts[tract.bs_mktid] = tract',
        )
    ],
    'PK403': [('symbols.py', 'def con2fqme(', '@lru_cache\ndef con2fqme(')],
    'PK404': [
        (
            'feed.py',
            '            sym,\n            proxy=proxy,',
            '            fqme=sym,\n            proxy=proxy,',
        )
    ],
    'PK406': [('broker.py', '', "\n_accounts = config.load_accounts(['ib'])\n")],
    'PK501': [
        (
            'api.py',
            '    def status_event(\n',
            """    async def ping(self):
        await self.chan.send(('ping', {}))
        return (await self.chan.receive())['result']

    def status_event(
""",
        )
    ],
    'PK502': [
        (
            'api.py',
            'await chan.send((meth, kwargs))',
            'mid = next(self.mids)\n        await chan.send((mid, meth, kwargs))',
        )
    ],
    'PK503': [
        (
            'api.py',
            '                    RequestError,\n\n',
            '                    RequestError, OSError,\n\n',
        )
    ],
    'PK504': [
        (
            '_util.py',
            '                await tractor.to_asyncio.run_task(',
            '                with trio.move_on_after(3): await tractor.to_asyncio.run_task(',
        )
    ],
    'PK505': [
        (
            'feed.py',
            '            except trio.WouldBlock:',
            '            except ValueError:',
        )
    ],
    'PK601': [
        (
            '_util.py',
            '            except OSError:\n                if vnc',
            '            except:\n                if vnc',
        )
    ],
    'PK701': [
        (
            'feed.py',
            "{'type': 'trade', 'price': ticker.marketPrice()}",
            "{'type': 'trade', 'price': np.float64(ticker.marketPrice())}",
        )
    ],
    'PK702': [('feed.py', "{'type': 'trade', 'price'", "{'type': 'trades', 'price'")],
    'PK703': [
        (
            'feed.py',
            'send_chan.send({fqme: quote})',
            'send_chan.send({fqme.upper(): quote})',
        )
    ],
    'PK704': [('feed.py', 'init_msgs: list[FeedInit] = []', 'init_msgs: dict = {}')],
    'PK711': KRAKEN['PK711'],
    'PK712': KRAKEN['PK712'],
    'PK721': [
        (
            'feed.py',
            '            return bars_array, first_dt, last_dt\n',
            "            at = datetime.fromtimestamp(bars_array['time'][0])\n"
            '            return bars_array, at, last_dt\n',
        )
    ],
    'PK722': [
        (
            'feed.py',
            '            if out is None:\n',
            '            if out is None:\n                raise DataUnavailable\n',
        )
    ],
    'PK731': [('broker.py', 'ack = BrokerdOrderAck(', 'ack = dict(')],
    'PK732': [
        (
            'broker.py',
            '            ack = BrokerdOrderAck(',
            "            await ems_order_stream.send(BrokerdStatus(reqid=reqid, status='open'))\n"
            '            ack = BrokerdOrderAck(',
        )
    ],
    'PK733': [
        (
            'broker.py',
            '                    status=status_str,\n',
            "                    status='filled' if remaining == 0 else status_str,\n",
        )
    ],
    'PK734': [
        (
            'broker.py',
            "broker_details={'name': 'ib'},",
            "broker_details={'venue': 'ib'},",
        )
    ],
    'PK735': [
        (
            'broker.py',
            "            log.error(f'Unknown order command: {request_msg}')\n",
            "            raise ValueError(f'Unknown order command: {request_msg}')\n",
        )
    ],
    'PK801': [('api.py', 'import asyncio\n', 'import asyncio\nimport asks\n')],
    'PK802': KRAKEN['PK802'],
    'PK901': [
        (
            'api.py',
            '    names = list(accounts.keys())\n',
            '    names = list(accounts.keys())\n    log.info(f"vnc: {section[\'password\']}")\n',
        )
    ],
    'PK902': [
        (
            'api.py',
            '    names = list(accounts.keys())\n',
            '    names = list(accounts.keys())\n'
            "    if not names:\n        raise ValueError(section['password'])\n",
        )
    ],
    'PK903': [
        (
            'api.py',
            '\nclass MethodProxy:\n',
            '\n@dataclass\nclass Login:\n    user: str\n    password: str\n\n\nclass MethodProxy:\n',
        )
    ],
}
