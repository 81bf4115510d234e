# ruff: noqa: E501
"""Rules broken in a generated backend."""

from __future__ import annotations

from .anywhere import ANYWHERE
from .edits import INIT, Mutants

GENERATED: Mutants = {
    **ANYWHERE,
    'PK101': [
        (
            INIT,
            'from ._symbols import get_mkt_info, open_symbol_search',
            'from ._symbols import get_mkt_info',
        ),
        ('_symbols.py', 'def open_symbol_search(', 'def answer_patterns('),
    ],
    'PK102': [
        (
            INIT,
            'from ._symbols import get_mkt_info, open_symbol_search',
            'from ._symbols import get_mkt_info, open_symbols_search',
        ),
        ('_symbols.py', 'def open_symbol_search(', 'def open_symbols_search('),
    ],
    'PK103': [
        (
            INIT,
            'from ._broker import open_trade_dialog',
            'from ._broker import trades_dialogue',
        ),
        (INIT, "'open_trade_dialog': '_broker'", "'trades_dialogue': '_broker'"),
        ('_broker.py', 'def open_trade_dialog(', 'def trades_dialogue('),
    ],
    'PK104': [
        (
            INIT,
            'from ._feed import open_history_client, replay_trades, stream_quotes',
            'from ._feed import replay_trades, stream_quotes',
        )
    ],
    'PK111': [
        (
            '_feed.py',
            '@acm\nasync def open_history_client(',
            'async def open_history_client(',
        )
    ],
    'PK112': [('_feed.py', '    feed_is_live: trio.Event,', '    live: trio.Event,')],
    'PK113': [
        ('*.py', ' end_dt: datetime | None = None,', ' until: datetime | None = None,')
    ],
    'PK114': [
        (
            '_symbols.py',
            '@context\nasync def open_symbol_search(',
            'async def open_symbol_search(',
        )
    ],
    'PK115': [
        (
            '_symbols.py',
            'open_symbol_search(ctx: tractor.Context)',
            'open_symbol_search(ctx)',
        )
    ],
    'PK121': [('_dialog.py', "        await ctx.started('paper')\n", '')],
    'PK122': [
        ('_symbols.py', '        await ctx.started()\n', ''),
        (
            '_symbols.py',
            '    async with open_cached_client(NAME) as client:\n        # load',
            '    await ctx.started()\n'
            '    async with open_cached_client(NAME) as client:\n        # load',
        ),
    ],
    'PK123': [('_feed.py', 'task_status.started(', 'log.debug(')],
    'PK124': [('_feed.py', '            feed_is_live.set()\n', '')],
    'PK127': [
        (
            '_symbols.py',
            'await client.search_symbols(pattern)\n                await stream',
            'await client.search_symbols(pattern)\n'
            '                if not matches:\n                    continue\n'
            '                await stream',
        )
    ],
    'PK201': [
        (INIT, '_datad_mods: list[str]', 'data: list[str]'),
        (INIT, '_brokerd_mods: list[str]', 'trading: list[str]'),
        (INIT, '__enable_modules__: list[str]', 'enabled: list[str]'),
    ],
    'PK202': [
        (INIT, '_datad_mods: list[str]', 'data: list[str]'),
        (INIT, '_brokerd_mods: list[str]', 'trading: list[str]'),
        (INIT, '[*_datad_mods, *_brokerd_mods]', '[*data, *trading]'),
    ],
    'PK203': [
        (INIT, "_datad_mods: list[str] = ['_symbols']", "_datad_mods = ['symbol']")
    ],
    'PK204': [
        (
            INIT,
            "_brokerd_mods: list[str] = ['_broker']",
            "_brokerd_mods = ['_broker', '_symbols']",
        )
    ],
    'PK205': [
        (
            INIT,
            "_brokerd_mods: list[str] = ['_broker']",
            "_brokerd_mods = ['_broker', '_feed']",
        )
    ],
    'PK206': [
        (
            INIT,
            "_datad_mods: list[str] = ['_symbols']",
            "_datad_mods = ['_symbols', 'api']",
        )
    ],
    'PK207': [
        (INIT, "_datad_mods: list[str] = ['_symbols']", "_datad_mods = ['_feed']")
    ],
    'PK208': [(INIT, '[*_datad_mods, *_brokerd_mods]', '[*_datad_mods]')],
    'PK209': [(INIT, "_brokerd_mods: list[str] = ['_broker']", '_brokerd_mods = []')],
    'PK303': [
        (
            '_feed.py',
            '    (symbol,) = symbols\n',
            '    (symbol,) = symbols\n'
            '    async with service.maybe_spawn_brokerd(NAME) as portal:\n'
            '        await portal.run(get_mkt_info, fqme=symbol)\n',
        )
    ],
    'PK401': [
        (
            '_symbols.py',
            '        return await mk_mkt(client, pair), pair\n',
            '        mkt = await mk_mkt(client, pair)\n'
            '        remember(mkt)\n'
            '        return mkt, pair\n\n\n'
            'def remember(mkt: MktPair) -> None:\n'
            '    _contracts[mkt.bs_fqme] = mkt\n',
        ),
        (
            'broker.py',
            'from ._symbols import cache_contract',
            'from ._symbols import _contracts',
        ),
        (
            'broker.py',
            'return await cache_contract(self._client, name)',
            'return _contracts[name]',
        ),
    ],
    'PK402': [
        (
            '_symbols.py',
            '        for known_as in (name, mkt.bs_mktid, mkt.bs_fqme, mkt.fqme):\n'
            '            _contracts[known_as] = mkt\n',
            '        _contracts[mkt.bs_fqme] = mkt\n',
        ),
        (
            '_symbols.py',
            '    return _contracts[name]',
            '    return _contracts[mkt.fqme]',
        ),
    ],
    'PK403': [
        (
            '_symbols.py',
            '        return await mk_mkt(client, pair), pair\n',
            '        mkt = await mk_mkt(client, pair)\n'
            '        _contracts.setdefault(mkt.fqme, mkt)\n'
            '        return mkt, pair\n',
        )
    ],
    'PK404': [
        (
            '_feed.py',
            'mkt, pair = await get_mkt_info(symbol)\n        instrument',
            'mkt, pair = await get_mkt_info(fqme=symbol)\n        instrument',
        )
    ],
    'PK406': [('_client.py', '', '\nurl = get_url(URLS)\n')],
    'PK601': [
        (
            '_dialog.py',
            '            except (BrokerError, ValidationError) as err:',
            '            except BaseException as err:',
        )
    ],
    'PK701': [
        ('_ticks.py', "'price': trade.price,", "'price': Decimal(str(trade.price)),")
    ],
    'PK702': [
        ('_ticks.py', "            'type': 'trade',", "            'type': 'fill',")
    ],
    'PK703': [
        ('_feed.py', 'send_chan.send({mkt.bs_fqme:', 'send_chan.send({mkt.fqme:')
    ],
    'PK704': [
        (
            '_feed.py',
            '([FeedInit(mkt_info=mkt)], first_quote)',
            "({symbol: {'mkt_info': mkt}}, first_quote)",
        )
    ],
    'PK721': [
        ('_bars.py', 'pendulum.from_timestamp', 'datetime.fromtimestamp'),
    ],
    'PK722': [
        (
            '_bars.py',
            '    if not bars.size:\n',
            '    if not bars.size:\n        raise DataUnavailable\n',
        )
    ],
    'PK711': [('_ledger.py', 'mk_fee(price, abs(size))', '0.0005 * price * size')],
    'PK712': [
        (
            '_ledger.py',
            'return mk_fee(',
            'times = 2 if is_taker else 1\n    return times * mk_fee(',
        )
    ],
    'PK731': [
        ('_dialog.py', 'BrokerdOrderAck(reqid, oid, account)', 'dict(reqid=reqid)')
    ],
    'PK732': [
        (
            '_dialog.py',
            "                reqid = msg.get('reqid') or oid\n",
            "                reqid = msg.get('reqid') or oid\n"
            "                await stream.send(mk_status(reqid, 'pending', account))\n",
        ),
        ('_dialog.py', 'from ._orders import ', 'from ._orders import mk_status, '),
    ],
    'PK733': [
        (
            '_orders.py',
            '        status=status,\n        account=account,',
            "        status='filled' if filled == size else status,\n        account=account,",
        )
    ],
    'PK734': [
        (
            '_orders.py',
            "broker_details={'name': NAME, 'price'",
            "broker_details={'price'",
        )
    ],
    'PK735': [
        (
            '_dialog.py',
            "                    reason = f'no account {account!r} here,",
            '                    raise BrokerError(account)\n'
            "                    reason = f'no account {account!r} here,",
        )
    ],
    'PK801': [('api.py', 'import msgspec\n', 'import asks\nimport msgspec\n')],
    'PK811': [
        (
            '_feed.py',
            'from ._piker import ',
            'from piker.brokers import BrokerError\nfrom ._piker import ',
        )
    ],
    'PK812': [('_feed.py', 'from .api import ', 'from piker_deribit2.api import ')],
    'PK901': [
        (
            '_config.py',
            '    accounts: dict[str, Credentials] = {}\n',
            '    accounts: dict[str, Credentials] = {}\n'
            "    print('accounts', [it['api_secret'] for it in entries.values()])\n",
        )
    ],
    'PK902': [
        (
            '_config.py',
            "f'the account {label!r} has no {name}'",
            """f'the account {label!r} has no {name}, only {entry["api_key"]}'""",
        )
    ],
    'PK903': [
        (
            '_config.py',
            "return 'Credentials(...)'",
            "return f'Credentials({self._secret})'",
        )
    ],
}
