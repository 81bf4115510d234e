"""
deribit2 on piker itself: inside a real `pikerd`, against the venue that
`DERIBIT2_URL` names.
"""

from __future__ import annotations

import fcntl
import inspect
import os
import shutil
import socket
import tempfile
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import tractor
import trio
from piker import config
from piker.accounting import MktPair, open_account, open_trade_ledger
from piker.brokers import SymbolNotFound, get_brokermod
from piker.clearing import open_brokerd_dialog, open_ems
from piker.clearing._messages import Order
from piker.data import open_feed
from piker.data._symcache import open_symcache
from piker.service import (
    Services,
    maybe_open_emsd,
    maybe_open_pikerd,
    maybe_spawn_brokerd,
)
from piker.types import Struct

BROKER = 'deribit2'
URL = os.environ.get('DERIBIT2_URL', '')

# TODO: a market of the venue that trades often.
FQME = f'btcusdt.spot.{BROKER}'
SHORT = f'btcusdt.{BROKER}'

pytestmark = pytest.mark.skipif(not URL, reason=f'{BROKER.upper()}_URL is not set')

Main = Callable[[], Awaitable[None]]
Run = Callable[[Main], None]


def test_what_the_backend_makes_is_of_pikers_types(run: Run) -> None:
    async def main() -> None:
        mkt, pair = await get_brokermod(BROKER).get_mkt_info(FQME)
        assert type(mkt) is MktPair
        assert isinstance(pair, Struct)
        assert mkt.fqme == FQME

    run(main)


def test_daemons_are_pikers() -> None:
    from piker.brokers import _daemon as pikers
    from piker.brokers.deribit2 import _daemon as ours

    assert ours.maybe_spawn_datad.__module__.startswith('piker.')
    assert ours.maybe_spawn_datad.__module__ != ours.__name__
    assert ours.maybe_spawn_brokerd is pikers.maybe_spawn_brokerd


def test_every_form_of_a_name(run: Run) -> None:
    async def main() -> None:
        get_mkt_info = get_brokermod(BROKER).get_mkt_info
        bs_fqme = FQME.removesuffix(f'.{BROKER}')
        # piker's command line leaves the dot where it takes the broker away
        for name in (FQME, SHORT, bs_fqme, FQME.upper(), f'{bs_fqme}.'):
            mkt, _ = await get_mkt_info(name)
            assert mkt.fqme == FQME
        with pytest.raises(SymbolNotFound):
            await get_mkt_info(f'nosuchmarket.{BROKER}')

    run(main)


def test_symbol_search(run: Run) -> None:
    async def main() -> None:
        async with (
            maybe_spawn_brokerd(BROKER, loglevel='critical') as portal,
            portal.open_context(get_brokermod(BROKER).open_symbol_search) as (ctx, _),
        ):
            async with ctx.open_stream() as stream:
                await stream.send('btcusdt')
                assert FQME.removesuffix(f'.{BROKER}') in await stream.receive()
                await stream.send('nosuchmarket')
                assert await stream.receive() == {}
            await ctx.cancel()

    run(main)


def test_symbology_cache_survives_its_file(run: Run) -> None:
    async def main() -> None:
        mod = get_brokermod(BROKER)
        # a market that is looked up earlier is the very same one
        await mod.get_mkt_info(FQME)
        async with open_symcache(mod, reload=True) as built:
            pass
        async with open_symcache(mod) as read:
            assert FQME in read.mktmaps
            assert read.mktmaps == built.mktmaps
            assert read.pairs == built.pairs
            assert read.assets == built.assets

    run(main)


def test_feed_has_history_and_goes_on_live(run: Run) -> None:
    async def main() -> None:
        async with open_feed([FQME], loglevel='critical') as feed:
            flume = feed.flumes[FQME]
            assert {'last', 'ticks'} <= flume.first_quote.keys()
            for shm, timeframe in ((flume.hist_shm, 60), (flume.rt_shm, 1)):
                steps = np.diff(shm.array['time'])
                assert steps.size
                assert (steps > 0).all()
                assert (steps % timeframe == 0).all()
            trades = 0
            async with feed.open_multi_stream([BROKER]) as stream:
                while trades < 5:
                    for quote in (await stream.receive()).values():
                        ticks = quote.get('ticks', ())
                        assert {type(tick['price']) for tick in ticks} <= {float, int}
                        trades += sum(tick['type'] == 'trade' for tick in ticks)

    run(main)


def test_paper_orders(run: Run) -> None:
    async def main() -> None:
        _, records = await trade('paper')
        assert [record['size'] for record in records] == [0.5]

    run(main)


def test_live_orders_and_ledger_sync(run: Run, conf_dir: Path) -> None:
    if '//127.0.0.1:' not in URL:
        pytest.skip('places orders: for a simulated venue alone')
    configure(conf_dir, 'simkey', 'simsecret')
    assert config.load_accounts([BROKER])[f'{BROKER}.main'] == 'main'

    async def main() -> None:
        oid, records = await trade('live')
        ours = [record for record in records if record['label'] == oid]
        assert sum(record['amount'] for record in ours) == 0.5

    async def sync() -> None:
        # as the command does; the dialog that it opens is what writes the books
        async with (
            maybe_spawn_brokerd(BROKER, loglevel='critical') as portal,
            open_brokerd_dialog(
                get_brokermod(BROKER), portal, exec_mode='live', loglevel='critical'
            ) as (stream, positions, accounts),
        ):
            assert list(accounts) == [f'{BROKER}.main']
            assert [*positions[BROKER, f'{BROKER}.main']] == [FQME]
            await stream._ctx.cancel()

    run(main)
    records, size = read_books(conf_dir)
    assert size == sum(record['amount'] for record in records.values())
    shutil.rmtree(conf_dir / 'accounting')
    (conf_dir / 'accounting').mkdir()
    run(sync)
    assert read_books(conf_dir) == (records, size)


def read_books(conf_dir: Path) -> tuple[dict[str, Any], float]:
    """
    The records in the ledger's file, and the position in the account's, which has one.
    """
    path = conf_dir / 'accounting' / 'ledgers' / f'trades_{BROKER}_main.toml'
    with open_account(BROKER, 'main', _fp=conf_dir / 'accounting') as account:
        (position,) = account.pps.values()
    assert position.mkt.fqme == FQME
    return tomllib.loads(path.read_text()), position.cumsize


def configure(conf_dir: Path, api_key: str = '', api_secret: str = '') -> None:
    """
    Write `brokers.toml`, for its owner alone.
    """
    path = conf_dir / 'brokers.toml'
    path.touch(mode=0o600)
    path.write_text(f"""\
[{BROKER}]
url = ''

accounts.main = 'main'
main.api_key = '{api_key}'
main.api_secret = '{api_secret}'
""")


async def trade(mode: str) -> tuple[str, list[dict[str, Any]]]:
    """
    Fill an order, cancel another one, and see a bad one refused. The oid of the
    first, and the records of the ledger.
    """
    account = 'paper' if mode == 'paper' else f'{BROKER}.main'
    async with open_ems(FQME, mode=mode, loglevel='critical') as (
        client,
        stream,
        _,
        accounts,
        _,
    ):
        assert list(accounts) == [account]

        async def send(size: float, price: float) -> str:
            oid = str(uuid4())
            order = Order(
                action='buy',
                exec_mode='live',
                oid=oid,
                symbol=FQME,
                account=account,
                size=size,
                price=price,
                brokers=[BROKER],
            )
            await client.send(order)
            return oid

        async def follow(oid: str, *expected: str) -> None:
            resps: set[str] = set()
            while not resps >= {*expected}:
                msg = await stream.receive()
                if msg.get('oid') == oid:
                    resps.add(msg['resp'])
                elif msg['name'] == 'position':
                    resps.add('position')

        filled = await send(0.5, 1e6)
        await follow(filled, 'fill', 'closed', 'position')

        canceled = await send(0.25, 10.0)
        await follow(canceled, 'open')
        await client.cancel(canceled)
        await follow(canceled, 'canceled')

        if mode == 'live':
            await follow(await send(0.5, 10.000001), 'error')

    async with open_symcache(get_brokermod(BROKER)) as symcache:
        label = account.removeprefix(f'{BROKER}.')
        with open_trade_ledger(BROKER, label, symcache=symcache) as ledger:
            return filled, list(ledger.values())


@pytest.fixture
def conf_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    A configuration of the test's own, for all its actors. In lowercase, since piker
    makes the path so.
    """
    home = Path(tempfile.gettempdir(), f'piker-{uuid4().hex}')
    folder = home / 'piker'
    (folder / 'accounting').mkdir(parents=True)
    configure(folder)
    for name in ('HOME', 'XDG_CONFIG_HOME'):
        monkeypatch.setenv(name, str(home))
    monkeypatch.delenv('SUDO_USER', raising=False)
    # this process has looked it up when it imported piker
    monkeypatch.setattr(config, '_config_dir', folder)
    yield folder
    shutil.rmtree(home)


@pytest.fixture
def run(conf_dir: Path) -> Iterator[Run]:
    """
    `run(main)` runs `main()` as the root of a tree of piker's own, with its daemons
    up.
    """
    # piker's port is one for all
    with Path(tempfile.gettempdir(), 'piker-registry.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda main: run_on_pikerd(main, conf_dir)


def run_on_pikerd(main: Main, conf_dir: Path) -> None:
    # of the one before: where a spawn fails, piker never lets go of its lock
    Services.locks.clear()
    Services.service_tasks.clear()
    done = False

    async def root() -> None:
        nonlocal done
        with trio.fail_after(120):
            async with (
                maybe_open_pikerd(
                    loglevel='critical',
                    debug_mode=False,
                    tractor_runtime_overrides={'piker_test_dir': str(conf_dir)},
                    **registry(),
                ) as services,
                # whoever spawns a daemon ends it on leaving: not the test's parts
                maybe_spawn_brokerd(BROKER, loglevel='critical'),
                maybe_open_emsd(BROKER, loglevel='critical'),
            ):
                assert services is Services, 'somebody else runs a pikerd here'
                await main()
                done = True

    try:
        trio.run(root)
    except BaseException as err:
        # piker's own end is one of them, on some versions
        if not done or not all(
            isinstance(it, tractor.ContextCancelled) for it in leaves(err)
        ):
            raise


def registry() -> dict[str, object]:
    """
    Where to put the registry, in the words of this version of piker.
    """
    if 'registry_addrs' in inspect.signature(maybe_open_pikerd).parameters:
        # its subactors look for it nowhere else
        return {'registry_addrs': [('127.0.0.1', 6116)]}
    with socket.create_server(('127.0.0.1', 0)) as server:
        return {'registry_addr': server.getsockname()}


def leaves(err: BaseException) -> Iterator[BaseException]:
    if isinstance(err, BaseExceptionGroup):
        for it in err.exceptions:
            yield from leaves(it)
    else:
        yield err
