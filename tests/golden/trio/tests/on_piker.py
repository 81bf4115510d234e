"""
deribit2 on piker itself: inside a real `pikerd`, against the venue that
`DERIBIT2_URL` names, in the market `DERIBIT2_SYMBOL`.
"""

from __future__ import annotations

import fcntl
import inspect
import os
import shutil
import socket
import tempfile
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from contextlib import asynccontextmanager as acm
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import tractor
import trio
from pendulum import from_timestamp

from piker import config
from piker.accounting import MktPair, open_account, open_trade_ledger
from piker.brokers import SymbolNotFound, get_brokermod
from piker.brokers.core import symbol_search
from piker.clearing import (
    Cancel,
    Order,
    OrderClient,
    open_brokerd_dialog,
    open_ems,
)
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
ours: Any = import_module(f'piker.brokers.{BROKER}._daemon')
URL = os.environ.get('DERIBIT2_URL', '')
SYMBOL = os.environ.get('DERIBIT2_SYMBOL', '')
"""A market of the venue that trades often, as a user would type it."""
# a simulated one lets everybody be quick; and where history ends, some versions of
# piker open a debugger
SECTION = f"""\
[{BROKER}]
pace = {30 if '//127.0.0.1:' in URL else 1}
deep_history = true
"""

pytestmark = pytest.mark.skipif(
    not (URL and SYMBOL),
    reason=f'{BROKER.upper()}_URL and {BROKER.upper()}_SYMBOL name no venue and market',
)

Main = Callable[[], Awaitable[None]]
Run = Callable[..., None]


async def get_fqme() -> str:
    """
    The market's full name.
    """
    mkt, _ = await get_brokermod(BROKER).get_mkt_info(SYMBOL)
    return str(mkt.fqme)


def test_what_the_backend_makes_is_of_pikers_types(run: Run) -> None:
    async def main() -> None:
        mkt, pair = await get_brokermod(BROKER).get_mkt_info(SYMBOL)
        assert type(mkt) is MktPair
        assert isinstance(pair, Struct)
        assert mkt.fqme == mkt.fqme.lower()

    run(main)


def test_daemons_are_pikers() -> None:
    from piker.brokers import _daemon as pikers

    assert ours.maybe_spawn_datad.__module__.startswith('piker.')
    assert ours.maybe_spawn_datad.__module__ != ours.__name__
    assert ours.maybe_spawn_brokerd is pikers.maybe_spawn_brokerd


def test_every_form_of_a_name(run: Run) -> None:
    async def main() -> None:
        get_mkt_info = get_brokermod(BROKER).get_mkt_info
        mkt, _ = await get_mkt_info(SYMBOL)
        # piker's command line leaves the dot where it takes the broker away
        for name in (mkt.fqme, mkt.bs_fqme, mkt.fqme.upper(), f'{mkt.bs_fqme}.'):
            same, _ = await get_mkt_info(name)
            assert same == mkt
        with pytest.raises(SymbolNotFound):
            await get_mkt_info(f'nosuchmarket.{BROKER}')

    run(main)


def test_symbol_search(run: Run) -> None:
    async def main() -> None:
        mkt, _ = await get_brokermod(BROKER).get_mkt_info(SYMBOL)
        async with (
            ours.maybe_spawn_datad(BROKER, loglevel='critical') as portal,
            portal.open_context(get_brokermod(BROKER).open_symbol_search) as (ctx, _),
        ):
            async with ctx.open_stream() as stream:
                await stream.send(mkt.bs_fqme)
                assert mkt.bs_fqme in await stream.receive()
                await stream.send('nosuchmarket')
                assert await stream.receive() == {}
            await ctx.cancel()
        # and as the command line does
        ((_, matches),) = await symbol_search([get_brokermod(BROKER)], mkt.bs_fqme)
        assert mkt.bs_fqme in matches

    run(main)


def test_symbology_cache_survives_its_file(run: Run) -> None:
    async def main() -> None:
        mod = get_brokermod(BROKER)
        # a market that is looked up earlier is the very same one
        mkt, _ = await mod.get_mkt_info(SYMBOL)
        async with open_symcache(mod, reload=True) as built:
            pass
        async with open_symcache(mod) as read:
            assert read is not built
            assert mkt.fqme in read.mktmaps
            assert read.mktmaps == built.mktmaps
            assert read.pairs == built.pairs
            assert read.assets == built.assets

    run(main)


def test_feed_has_history_and_goes_on_live(run: Run) -> None:
    async def main() -> None:
        fqme = await get_fqme()
        async with open_feed([fqme], loglevel='critical') as feed:
            flume = feed.flumes[fqme]
            assert {'last', 'ticks'} <= flume.first_quote.keys()
            for shm, timeframe in ((flume.hist_shm, 60), (flume.rt_shm, 1)):
                steps = np.diff(shm.array['time'])
                assert steps.size
                assert (steps > 0).all()
                assert (steps % timeframe == 0).all()
            # the bars that were over are the backend's own
            bars = flume.hist_shm.array[:-2]
            async with get_brokermod(BROKER).open_history_client(flume.mkt) as (
                get_hist,
                _,
            ):
                frame, *_ = await get_hist(60, end_dt=from_timestamp(bars['time'][-1]))
            for column in ('open', 'high', 'low', 'close', 'volume'):
                ours = frame[column][np.isin(frame['time'], bars['time'])]
                assert ours.size
                theirs = bars[column][np.isin(bars['time'], frame['time'])]
                assert np.array_equal(ours, theirs)

            since = flume.rt_shm.array['time'][-1]
            prices: list[float] = []
            async with feed.open_multi_stream([BROKER]) as stream:
                # until bars are made of the trades
                while (
                    len(prices) < 5
                    or (last := flume.rt_shm.array[-1])['time'] <= since
                    or last['close'] not in prices
                ):
                    for quote in (await stream.receive()).values():
                        ticks = quote.get('ticks', ())
                        assert {type(tick['price']) for tick in ticks} <= {float, int}
                        prices += [
                            tick['price'] for tick in ticks if tick['type'] == 'trade'
                        ]
        check_daemons()

    run(main)


def check_daemons() -> None:
    """
    Where piker has a `datad`, charts and orders on paper do without a `brokerd`.
    """
    daemons = Services.service_tasks.keys()
    if f'datad.{BROKER}' in daemons:
        assert f'brokerd.{BROKER}' not in daemons
    else:
        assert f'brokerd.{BROKER}' in daemons


def test_paper_orders(run: Run) -> None:
    async def main() -> None:
        async with open_orders('paper') as orders:
            oid, size = await fill_and_cancel(orders), orders.size(50)
        check_daemons()
        (record,) = await read_ledger('paper')
        assert (record['tid'], record['size']) == (oid, size)

    run(main)


def test_live_orders_and_ledger_sync(run: Run, conf_dir: Path) -> None:
    if '//127.0.0.1:' not in URL:
        pytest.skip('places orders: for a simulated venue alone')
    configure(conf_dir, 'simkey', 'simsecretkey')
    assert config.load_accounts([BROKER])[f'{BROKER}.main'] == 'main'
    left_open = fqme = ''
    filled = 0.0

    async def main() -> None:
        nonlocal left_open, filled, fqme
        fqme = await get_fqme()
        async with open_orders('live') as orders:
            await fill_and_cancel(orders)

            # the same oid again is a change; a refused one leaves the order open
            low, off_tick, high = orders.price(0.7), orders.off_tick, orders.price(1.5)
            size = orders.size(50)
            changed = await orders.send(size, low)
            await orders.follow(changed, 'open')
            await orders.send(size, off_tick, changed)
            await orders.follow(changed, 'error', 'open')
            await orders.send(size, high, changed)
            await orders.follow(changed, 'fill', 'closed', 'position')

            refused = await orders.send(size, off_tick)
            await orders.follow(refused, 'error')

            left_open = await orders.send(size, low)
            await orders.follow(left_open, 'open')
            filled = 2 * size

    async def resume() -> None:
        async with open_orders('live') as orders:
            await orders.follow(left_open, 'open')
            await orders.cancel(left_open)
            await orders.follow(left_open, 'canceled')

    async def sync() -> None:
        # as the command does; the dialog that it opens is what writes the books
        async with (
            maybe_spawn_brokerd(BROKER, loglevel='critical') as portal,
            open_brokerd_dialog(
                get_brokermod(BROKER),
                portal=portal,
                exec_mode='live',
                loglevel='critical',
            ) as (stream, positions, accounts),
        ):
            assert list(accounts) == [f'{BROKER}.main']
            assert [*positions[BROKER, f'{BROKER}.main']] == [fqme]
            await stream._ctx.cancel()

    # piker ends with a daemon that is ended by whoever spawned it: not these parts
    run(main, maybe_spawn_brokerd)
    run(resume, maybe_spawn_brokerd)
    records, size = read_books(conf_dir, fqme)
    assert size == filled
    shutil.rmtree(conf_dir / 'accounting')
    (conf_dir / 'accounting').mkdir()
    run(sync, maybe_spawn_brokerd)
    assert read_books(conf_dir, fqme) == (records, size)


def read_books(conf_dir: Path, fqme: str) -> tuple[dict[str, Any], float]:
    """
    The records in the ledger's file, and the position in the account's, which has one.
    """
    path = conf_dir / 'accounting' / 'ledgers' / f'trades_{BROKER}_main.toml'
    with open_account(BROKER, 'main', _fp=conf_dir / 'accounting') as account:
        (position,) = account.pps.values()
    assert position.mkt.fqme == fqme
    return tomllib.loads(path.read_text()), position.cumsize


def configure(conf_dir: Path, api_key: str = '', api_secret: str = '') -> None:
    """
    Write `brokers.toml`, for its owner alone.
    """
    path = conf_dir / 'brokers.toml'
    path.touch(mode=0o600)
    path.write_text(f"""\
{SECTION}
accounts.main = 'main'
main.api_key = '{api_key}'
main.api_secret = '{api_secret}'
""")


class Orders:
    """
    A client of the ems, which trades one market on one account.
    """

    def __init__(
        self,
        client: OrderClient,
        stream: tractor.MsgStream,
        account: str,
        mkt: MktPair,
        min_size: Decimal,
        last: float,
    ) -> None:
        self._client = client
        self._stream = stream
        self._account = account
        self._mkt = mkt
        self._min_size = min_size
        self._last = last

    def price(self, times: float) -> float:
        """
        About so many times the market's.
        """
        tick = self._mkt.price_tick
        return float(round(Decimal(str(self._last * times)) / tick) * tick)

    @property
    def off_tick(self) -> float:
        """
        A price that the venue does not take.
        """
        return self.price(0.7) + float(self._mkt.price_tick) / 4

    def size(self, steps: int) -> float:
        return float(steps * self._min_size)

    async def send(self, size: float, price: float, oid: str = '') -> str:
        """
        Order to buy, or change the order `oid`.
        """
        oid = oid or str(uuid4())
        order = Order(
            action='buy',
            exec_mode='live',
            oid=oid,
            symbol=self._mkt.fqme,
            account=self._account,
            size=size,
            price=price,
            brokers=[BROKER],
        )
        await self._client.send(order)
        return oid

    async def cancel(self, oid: str) -> None:
        # whoever has sent it
        await self._stream.send(Cancel(oid=oid, symbol=self._mkt.fqme))

    async def follow(self, oid: str, *expected: str) -> None:
        """
        Wait until all that is `expected` was said of the order `oid`.
        """
        missing = [*expected]
        while missing:
            msg = await self._stream.receive()
            said = msg['resp'] if msg.get('oid') == oid else msg['name']
            if said in missing:
                missing.remove(said)


@acm
async def open_orders(mode: str) -> AsyncIterator[Orders]:
    account = 'paper' if mode == 'paper' else f'{BROKER}.main'
    fqme = await get_fqme()
    async with (
        open_feed([fqme], loglevel='critical') as feed,
        open_ems(fqme, mode=mode, loglevel='critical') as (
            client,
            stream,
            _,
            accounts,
            _,
        ),
    ):
        assert list(accounts) == [account]
        flume = feed.flumes[fqme]
        last = flume.first_quote['last']
        _, pair = await get_brokermod(BROKER).get_mkt_info(SYMBOL)
        yield Orders(client, stream, account, flume.mkt, pair.min_size, last)


async def fill_and_cancel(orders: Orders) -> str:
    """
    Fill an order, and cancel another one. The oid of the first.
    """
    filled = await orders.send(orders.size(50), orders.price(1.5))
    await orders.follow(filled, 'fill', 'closed', 'position')
    canceled = await orders.send(orders.size(25), orders.price(0.7))
    await orders.follow(canceled, 'open')
    await orders.cancel(canceled)
    await orders.follow(canceled, 'canceled')
    return filled


async def read_ledger(label: str) -> list[dict[str, Any]]:
    async with open_symcache(get_brokermod(BROKER)) as symcache:
        with open_trade_ledger(BROKER, label, symcache=symcache) as ledger:
            return list(ledger.values())


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
    `run(main, *daemons)` runs `main()` as the root of a tree of piker's own, with its
    daemons up, and those that further functions spawn.
    """
    # piker's port is one for all
    with Path(tempfile.gettempdir(), 'piker-registry.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda main, *daemons: run_on_pikerd(main, conf_dir, daemons)


def run_on_pikerd(main: Main, conf_dir: Path, daemons: tuple[Any, ...]) -> None:
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
                AsyncExitStack() as stack,
            ):
                assert services is Services, 'somebody else runs a pikerd here'
                # whoever spawns a daemon ends it on leaving: not the test's parts
                spawns = [ours.maybe_spawn_datad, *daemons]
                spawns.insert(1, maybe_open_emsd)
                for spawn in spawns:
                    daemon = spawn(BROKER, loglevel='critical')
                    await stack.enter_async_context(daemon)
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
