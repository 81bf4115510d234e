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
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import tractor
import trio
from piker import config
from piker.accounting import MktPair
from piker.brokers import SymbolNotFound, get_brokermod
from piker.data import open_feed
from piker.data._symcache import open_symcache
from piker.service import Services, maybe_open_pikerd, maybe_spawn_brokerd
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
    assert hasattr(pikers, 'maybe_spawn_brokerd')


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


@pytest.fixture
def conf_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    A configuration of the test's own, for all its actors. In lowercase, since piker
    makes the path so.
    """
    home = Path(tempfile.gettempdir(), f'piker-{uuid4().hex}')
    folder = home / 'piker'
    (folder / 'accounting').mkdir(parents=True)
    (folder / 'brokers.toml').write_text(f'[{BROKER}]\n')
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
    # of the test before: where a spawn fails, piker never lets go of its lock
    Services.locks.clear()
    Services.service_tasks.clear()
    # piker's port is one for all
    with Path(tempfile.gettempdir(), 'piker-registry.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda main: run_on_pikerd(main, conf_dir)


def run_on_pikerd(main: Main, conf_dir: Path) -> None:
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
