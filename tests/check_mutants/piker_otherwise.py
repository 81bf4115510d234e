# ruff: noqa: E501
"""The same for piker's kraken and ib."""

from __future__ import annotations

from .edits import Edit

KRAKEN_OTHERWISE: list[tuple[str, list[Edit]]] = [
    (
        'PK101',
        [
            ('__init__.py', 'from .api import (\n    get_client,\n)\n', ''),
            ('api.py', 'async def get_client()', 'async def open_it()'),
        ],
    ),
    ('PK111', [('symbols.py', 'async def get_mkt_info(', 'def get_mkt_info(')]),
    (
        'PK112',
        [
            (
                'ledger.py',
                '    symcache: SymbologyCache | None = None,\n\n) -> Transaction',
                '\n) -> Transaction',
            )
        ],
    ),
    (
        'PK121',
        [
            (
                'symbols.py',
                '        await ctx.started(cache)\n',
                '        if cache:\n            await ctx.started(cache)\n',
            )
        ],
    ),
    (
        'PK122',
        [
            (
                'broker.py',
                '    async with (\n        # TODO: maybe bind',
                "    await ctx.started(([], ['kraken.spot']))\n    async with (\n        # TODO: maybe bind",
            )
        ],
    ),
    (
        'PK401',
        [
            (
                'api.py',
                '    _pairs: dict[str, Pair] = {}\n',
                '    _pairs: dict[str, Pair] = {}\n    _seen: set = set()\n    _last: dict[str, float] = {}\n',
            ),
            (
                'feed.py',
                '        yield get_ohlc,',
                '        client._last[symbol] = 1.0\n        yield get_ohlc,',
            ),
            (
                'broker.py',
                "                    extra = {\n                        'ordertype'",
                "                    price = client._last[order.symbol]\n                    extra = {\n                        'ordertype'",
            ),
        ],
    ),
    (
        'PK403',
        [
            (
                'symbols.py',
                '        return mkt, pair\n',
                '        client._wsnames.update({pair.wsname: pair})\n        return mkt, pair\n',
            )
        ],
    ),
    (
        'PK601',
        [
            (
                'feed.py',
                '                except DataThrottle:',
                '                except:',
            )
        ],
    ),
    (
        'PK701',
        [
            (
                'feed.py',
                "                                'size': tick_volume,",
                "                                'size': Decimal(tick_volume),",
            )
        ],
    ),
    (
        'PK703',
        [
            (
                'feed.py',
                'topic: str = mkt.bs_fqme',
                "topic: str = mkt.bs_fqme + '.kraken'",
            )
        ],
    ),
    (
        'PK721',
        [
            (
                'feed.py',
                "end_dt = pendulum.from_timestamp(array[-1]['time'])",
                "end_dt = datetime.utcfromtimestamp(array[-1]['time'])",
            )
        ],
    ),
    (
        'PK722',
        [
            (
                'feed.py',
                "raise DataUnavailable(\n                    'Only a single query for 1m bars supported')",
                'raise DataUnavailable',
            )
        ],
    ),
    (
        'PK731',
        [('broker.py', '                await ems_order_stream.send(resp)\n', '')],
    ),
    (
        'PK732',
        [
            (
                'broker.py',
                '                await ems_order_stream.send(resp)\n',
                '',
            ),
            (
                'broker.py',
                '                await ws.send_msg(req)\n\n',
                '                await ws.send_msg(req)\n                await ems_order_stream.send(BrokerdStatus(reqid=reqid,status="open",time_ns=1))\n                await ems_order_stream.send(resp)\n',
            ),
        ],
    ),
    (
        'PK901',
        [
            (
                'api.py',
                '        self._secret = secret\n',
                '        self._secret = secret\n        print(self._api_key, self._secret)\n',
            )
        ],
    ),
    (
        'PK902',
        [
            (
                'api.py',
                '                raise BrokerError(errmsg)\n',
                '                raise BrokerError("bad key: " + self._api_key)\n',
            )
        ],
    ),
]

IB_OTHERWISE: list[tuple[str, list[Edit]]] = [
    ('PK111', [('ledger.py', 'def norm_trade(\n', 'async def norm_trade(\n')]),
    (
        'PK121',
        [
            (
                'broker.py',
                "    accounts_def = config.load_accounts(['ib'])\n",
                "    accounts_def = config.load_accounts(['ib'])\n    if not accounts_def:\n        log.warning('none')\n        return\n",
            )
        ],
    ),
    ('PK301', [('__init__.py', '_spawn_kwargs = {', '_spawn = {')]),
    (
        'PK401',
        [
            (
                'symbols.py',
                '_search_conf = {',
                '_recent: list = []\n_search_conf = {',
            ),
            (
                'symbols.py',
                "                log.info(f'searching for {pattern}')\n",
                "                log.info(f'searching for {pattern}')\n                _recent.append(pattern)\n",
            ),
            (
                'broker.py',
                "        action: str = request_msg['action']\n",
                "        action: str = request_msg['action']\n        last = symbols._recent[-1]\n",
            ),
            (
                'broker.py',
                'from .symbols import (\n    con2fqme,',
                'from . import symbols\nfrom .symbols import (\n    con2fqme,',
            ),
        ],
    ),
    (
        'PK404',
        [
            (
                'broker.py',
                '        client = _accounts2clients.get(account)\n',
                '        from .symbols import get_mkt_info\n        mkt, _ = await get_mkt_info(fqme=request_msg["symbol"])\n        client = _accounts2clients.get(account)\n',
            )
        ],
    ),
    (
        'PK501',
        [
            (
                'api.py',
                '    async def wait_for_data_reset(self) -> None:',
                '    async def once(self, what):\n        chan = self.chan\n        await chan.send(what)\n        msg = await chan.receive()\n        return msg\n\n    async def wait_for_data_reset(self) -> None:',
            )
        ],
    ),
]
