# ruff: noqa: E501
"""
Rules of a generated backend broken otherwise than by the first set, and than in the
fixtures: written when the rules were there, to see what they miss.
"""

from __future__ import annotations

from .edits import Edit

GENERATED_OTHERWISE: list[tuple[str, list[Edit]]] = [
    (
        'PK104',
        [
            (
                '__init__.py',
                'from ._client import get_client',
                'from ._client import get_client, LIMITZ',
            )
        ],
    ),
    ('PK112', [('_ledger.py', 'is_taker: bool = False', 'taker: bool = False')]),
    (
        'PK112',
        [
            (
                '_client.py',
                '    credentials: Credentials | None = None,\n    **_',
                '    credentials: Credentials,\n    **_',
            )
        ],
    ),
    ('PK121', [('_symbols.py', '        await ctx.started()\n', '')]),
    (
        'PK123',
        [('_feed.py', '            task_status.started(', '            print(')],
    ),
    (
        'PK203',
        [
            (
                '__init__.py',
                "_brokerd_mods: list[str] = ['_broker']",
                "_brokerd_mods: list[str] = ['brokers']",
            )
        ],
    ),
    (
        'PK204',
        [
            (
                '_broker.py',
                '',
                '\n\nfrom ._symbols import open_symbol_search as _oss\n',
            ),
            (
                '__init__.py',
                "_datad_mods: list[str] = ['_symbols']",
                "_datad_mods: list[str] = ['_symbols', '_broker']",
            ),
        ],
    ),
    (
        'PK207',
        [
            (
                '_symbols.py',
                '',
                '\n\n@context\nasync def ping(ctx: tractor.Context):\n    await ctx.started()\n',
            ),
            (
                '__init__.py',
                "_datad_mods: list[str] = ['_symbols']",
                "_datad_mods: list[str] = ['ledger']",
            ),
        ],
    ),
    (
        'PK303',
        [
            (
                '_symbols.py',
                '    async with open_cached_client(NAME) as client:\n        # load',
                '    async with maybe_spawn_daemon(f"brokerd.{NAME}") as portal:\n        pass\n    async with open_cached_client(NAME) as client:\n        # load',
            )
        ],
    ),
    (
        'PK401',
        [
            ('_feed.py', 'GetHist = ', '_offset = None\nGetHist = '),
            (
                '_feed.py',
                '    (symbol,) = symbols\n',
                '    global _offset\n    (symbol,) = symbols\n    _offset = 3.0\n',
            ),
            (
                'broker.py',
                '    async def positions(self) -> list[VenuePosition]:\n',
                '    async def positions(self) -> list[VenuePosition]:\n        from . import _feed\n        assert _feed._offset > 1\n',
            ),
        ],
    ),
    (
        'PK405',
        [
            (
                '_config.py',
                '',
                '\n\nclass Where:\n    folder = tractor.current_actor().uid\n',
            ),
            ('_config.py', 'import msgspec\n', 'import msgspec\nimport tractor\n'),
        ],
    ),
    (
        'PK406',
        [
            (
                '_config.py',
                '',
                '\n\nclass Settings:\n    conf, path = config.load("brokers")\n',
            )
        ],
    ),
    (
        'PK503',
        [
            (
                '_proxy.py',
                "        except BaseException as err:\n            self._reply(mid, {'exception': err})\n",
                '        except BrokerError as err:\n            self._reply(mid, dict(exception=err))\n',
            )
        ],
    ),
    (
        'PK505',
        [
            (
                '_asyncio.py',
                '',
                '\n\nasync def relay_events(to_trio, client):\n    client.on_event = to_trio.send_nowait\n    await client.done()\n',
            )
        ],
    ),
    (
        'PK505',
        [
            (
                '_asyncio.py',
                '',
                '\n\nasync def relay_events(to_trio, client):\n    client.on_event(lambda it: to_trio.send_nowait(it))\n    await client.done()\n',
            )
        ],
    ),
    (
        'PK601',
        [
            (
                '_fills.py',
                '    except SymbolNotFound as err:',
                '    except (SymbolNotFound, trio.Cancelled) as err:',
            )
        ],
    ),
    (
        'PK602',
        [
            (
                '_feed.py',
                '',
                '\n\nasync def f(portal):\n    try:\n        await portal.run(f)\n    except RemoteActorError as e:\n        if e.type == ValueError: raise\n',
            )
        ],
    ),
    (
        'PK604',
        [
            (
                '_feed.py',
                '',
                '\n\ndef f(actor):\n    for host, port in actor.reg_addrs:\n        print(host)\n',
            )
        ],
    ),
    (
        'PK604',
        [
            (
                '_feed.py',
                '',
                '\n\ndef f(actor):\n    host = actor.reg_addrs[0][0]\n    return host\n',
            )
        ],
    ),
    (
        'PK605',
        [
            (
                '_feed.py',
                '',
                '\n\nasync def f():\n    with trio.CancelScope() as cs, trio.fail_after(3):\n        async with tractor.open_nursery() as an:\n            pass\n',
            )
        ],
    ),
    (
        'PK701',
        [
            (
                '_ticks.py',
                "    quote = {\n        'symbol': mkt.bs_fqme,\n        'ticks': ticks,\n        'broker_ts': time_ms / 1000,\n        'brokerd_ts': time.time(),\n        'last': last,",
                "    quote = {\n        'symbol': mkt.bs_fqme,\n        'ticks': ticks,\n        'broker_ts': time_ms / 1000,\n        'brokerd_ts': time.time(),\n        'last': mkt.quantize(Decimal(last)),",
            )
        ],
    ),
    (
        'PK701',
        [
            (
                '_ticks.py',
                "        quote['last'] = last['price']",
                "        quote['last'] = str(last['price'])",
            )
        ],
    ),
    (
        'PK703',
        [
            (
                '_feed.py',
                'send_chan.send({mkt.bs_fqme: mk_quote(mkt, ticks)})',
                'send_chan.send({mkt.bs_fqme.upper(): mk_quote(mkt, ticks)})',
            )
        ],
    ),
    (
        'PK704',
        [
            (
                '_feed.py',
                '([FeedInit(mkt_info=mkt)], first_quote)',
                '(FeedInit(mkt_info=mkt), first_quote)',
            )
        ],
    ),
    (
        'PK711',
        [
            (
                '_ledger.py',
                'return mk_fee(price, abs(size))',
                'amount = size * price\n    return amount * 0.0005',
            )
        ],
    ),
    (
        'PK712',
        [
            (
                '_ledger.py',
                'return mk_fee(',
                'times = {True: 2, False: 1}[is_taker]\n    return times * mk_fee(',
            )
        ],
    ),
    (
        'PK733',
        [
            (
                '_flows.py',
                "self._emit_status(reqid, flow, 'open', flow.size)",
                "self._emit_status(reqid, flow, 'submitted', flow.size)",
            )
        ],
    ),
    (
        'PK801',
        [
            (
                '_piker.py',
                '    from piker.data.validate import FeedInit\n',
                '    from piker.data.validate import FeedInit\n    from piker.service import Services\n',
            )
        ],
    ),
    (
        'PK811',
        [
            (
                '_broker.py',
                '    await control_orders(ctx, open_orders)\n',
                '    import piker\n    await control_orders(ctx, open_orders)\n',
            )
        ],
    ),
    (
        'PK901',
        [
            (
                '_config.py',
                '    accounts: dict[str, Credentials] = {}\n',
                '    accounts: dict[str, Credentials] = {}\n    log.debug("entries: %s", entries)\n',
            )
        ],
    ),
    (
        'PK902',
        [
            (
                '_config.py',
                "        accounts[f'{NAME}.{label}'] = Credentials(",
                '        made = Credentials(*entry.values())\n'
                '        if not entry:\n'
                "            raise BrokerError(f'{label}: {made.reveal()}')\n"
                "        accounts[f'{NAME}.{label}'] = Credentials(",
            )
        ],
    ),
    (
        'PK903',
        [
            (
                '_config.py',
                "    def __repr__(self) -> str:\n        return 'Credentials(...)'\n",
                '',
            ),
            ('_config.py', 'class Credentials:', '@dataclass\nclass Credentials:'),
            (
                '_config.py',
                '    def __init__(self, key: str, secret: str) -> None:',
                '    key: str\n    secret: str\n    def xinit(self, key: str, secret: str) -> None:',
            ),
        ],
    ),
    (
        'PK904',
        [
            (
                '_feed.py',
                '',
                '\n\nasync def f(an, creds):\n    await an.run_in_actor(f, creds.api_secret)\n',
            )
        ],
    ),
]
