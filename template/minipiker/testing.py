"""
A pytest plugin: what the backend's suite runs on.

Tests may be `async def`: they run under trio. Nobody's real configuration is touched,
and no test may leave a process behind. A test says by its fixtures what it needs

shared_tree    any venue: the session's, and the session's actor tree. With it `fqme`,
               `market` and `session_venue`
open_simvenue  a venue that it may disturb; with `open_test_pikerd()` for a tree of its
               own. Skipped with `--venue`
credentials    an account at the session's venue; `open_trader` trades with it
may_fill       ... and may have its orders filled
"""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from contextlib import asynccontextmanager as acm
from contextlib import contextmanager as cm
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import pytest
import tomli_w
import trio

import simvenue.process
from simvenue.client import Controls
from simvenue.process import SimVenue

from ._session import full
from ._sizes import smallest_size
from .accounting import MktPair
from .brokers import __brokers__, get_brokermod
from .data.feed import open_feed
from .log import get_logger
from .processes import shared_pids
from .recordings.venue import tree_scope, venue_command
from .service import Services, _liveness, maybe_open_pikerd, open_pikerd
from .service._registry import find_registry

_timeout: float = 240.0
"""
Seconds that an async test or a command may take: to end what hangs, not what is slow.
"""

(_broker,) = __brokers__

T = TypeVar('T')

OpenSimVenue = Callable[..., AbstractAsyncContextManager[SimVenue]]
"""What the fixture `open_simvenue` is."""
Tree = Callable[[], AbstractAsyncContextManager[Any]]
"""What the fixture `shared_tree` is."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        '--venue',
        metavar='URL',
        help='run against this venue; tests that need to disturb it are skipped',
    )
    parser.addoption(
        '--symbol',
        help='a market of the venue that trades often, if not the first that is found',
    )


def pytest_configure(config: pytest.Config) -> None:
    # a shell's background job ignores them, and so would all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """
    Run an async test under trio.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None

    async def test() -> None:
        with trio.fail_after(_timeout):
            await pyfuncitem.obj(
                **{
                    name: pyfuncitem.funcargs[name]
                    for name in inspect.signature(pyfuncitem.obj).parameters
                }
            )

    run_async(test)
    return True


runner: Callable[[Callable[[], Awaitable[Any]]], Any] = trio.run


def run_async(fn: Callable[..., Awaitable[T]], *args: Any) -> T:
    """
    Run a test, or what a fixture needs, on the loop that the backend's client is for.
    """
    result: T = runner(partial(fn, *args))
    return result


@pytest.fixture(scope='session', autouse=True)
def _isolation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """
    A configuration folder of the session's own, and no settings from the shell.
    """
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp('config')
        patch.setenv('XDG_CONFIG_HOME', str(home))
        for name in list(os.environ):
            if name.startswith(f'{_broker.upper()}_'):
                patch.delenv(name)
        if not request.config.getoption('--venue'):
            # the simulator lets everybody be so much quicker than a real one does
            patch.setenv(f'{_broker.upper()}_PACE', '30')
        yield home / 'minipiker'


@pytest.fixture
def _no_pidfds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Watch processes as where there are no pidfds, here and in all that are started.
    """
    folder = tmp_path / 'no_pidfds'
    folder.mkdir()
    code = "import os\nif hasattr(os, 'pidfd_open'):\n    del os.pidfd_open\n"
    (folder / 'sitecustomize.py').write_text(code)
    monkeypatch.setenv('PYTHONPATH', str(folder), prepend=os.pathsep)
    monkeypatch.setattr(_liveness, '_pidfd_open', None)


@pytest.fixture(scope='session')
def broker() -> str:
    return _broker


@pytest.fixture(scope='session')
def mod() -> ModuleType:
    """
    The backend.
    """
    return get_brokermod(_broker)


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """
    pytest's own, which hears of our log even when that has a console.
    """
    root = get_logger()
    caplog.set_level('INFO', root.name)
    root.addHandler(caplog.handler)
    yield caplog
    root.removeHandler(caplog.handler)


@pytest.fixture
def open_simvenue(request: pytest.FixtureRequest) -> OpenSimVenue:
    """
    `async with open_simvenue(**options) as venue:`, one that the test may disturb.
    """
    if request.config.getoption('--venue'):
        pytest.skip('needs a venue that can be disturbed: run without --venue')
    return simvenue.process.open_simvenue


class Venue(NamedTuple):
    """
    The session's: with `--venue` that one, else a simulated one.
    """

    url: str
    symbol: str
    """A market that trades often."""
    controls_url: str = ''


@cm
def open_session_venue(config: pytest.Config) -> Iterator[Venue]:
    url, symbol = map(config.getoption, ('--venue', '--symbol'))
    if url:
        if not symbol:
            raise pytest.UsageError(
                'no market of that venue is known to trade often: '
                'type --symbol and its name, as `minipiker search` shows it'
            )
        yield Venue(url, symbol)
        return
    with open_process(*venue_command(config.getoption('replay'))) as (process, url):
        shared_pids.add(process.pid)
        assert process.stdout
        controls = process.stdout.readline().strip()
        yield Venue(url, symbol or trio.run(_get_first_market, controls), controls)


async def _get_first_market(controls_url: str) -> str:
    async with Controls(controls_url) as controls:
        return (await controls.markets())[0].name


@pytest.fixture(scope='session')
def session_venue(request: pytest.FixtureRequest) -> Iterator[Venue]:
    with open_session_venue(request.config) as venue:
        yield venue


@pytest.fixture(scope='session')
def fqme(session_venue: Venue) -> str:
    """
    A market of the session's venue that trades often, as a user would type it.
    """
    return full(session_venue.symbol)


class Market(NamedTuple):
    """
    A market, with prices and sizes that its venue takes.
    """

    name: str
    """The venue's own."""
    mkt: MktPair
    last: float
    """The price at which it traded last."""
    min_size: Decimal

    @property
    def fqme(self) -> str:
        return self.mkt.fqme

    def price(self, times: float) -> float:
        """
        About so many times the market's price.
        """
        tick = self.mkt.price_tick
        return float(round(Decimal(str(self.last * times)) / tick) * tick)

    def size(self, steps: int) -> float:
        """
        So many of the smallest sizes.
        """
        return float(steps * self.min_size)


async def find_market(venue: SimVenue, mod: ModuleType, kind: str = '') -> Market:
    """
    The first market of a simulated venue, of that kind if any is given.
    """
    name = next(it.name for it in await venue.markets() if kind in ('', it.kind))
    info = await venue.market(name)
    assert info.last
    mkt, pair = await mod.get_mkt_info(name)
    return Market(name, mkt, info.last, smallest_size(pair, info.last))


@pytest.fixture(scope=tree_scope)
def market(shared_pikerd: None, fqme: str, mod: ModuleType) -> Market:
    """
    The market `fqme`.
    """
    return run_async(_load_market, fqme, mod)


async def _load_market(fqme: str, mod: ModuleType) -> Market:
    async with maybe_open_pikerd(find_registry()), open_feed([fqme]) as feed:
        ((full_fqme, mkt),) = feed.mkts.items()
        last = feed.quotes[full_fqme]['last']
        _, pair = await mod.get_mkt_info(fqme)
        return Market(mkt.bs_mktid, mkt, last, smallest_size(pair, last))


def write_brokers_toml(conf_dir: Path, **section: Any) -> None:
    """
    Configure the backend, in the folder `conf_dir`.
    """
    conf_dir.mkdir(parents=True, exist_ok=True)
    path = conf_dir / 'brokers.toml'
    path.touch(mode=0o600)
    path.write_text(tomli_w.dumps({_broker: section}))


def run_minipiker(*args: str, answer: str = '') -> subprocess.CompletedProcess[str]:
    """
    Run a command to its end, with an `answer` to what it asks.
    """
    return subprocess.run(
        [sys.executable, '-m', 'minipiker', *args],
        input=answer,
        capture_output=True,
        text=True,
        timeout=_timeout,
        check=False,
    )


async def run_and_kill(script: str) -> None:
    """
    Run a Python program until its first output, and kill it then.
    """
    process = await trio.lowlevel.open_process(
        [sys.executable, '-c', script], stdout=subprocess.PIPE
    )
    assert process.stdout
    assert await process.stdout.receive_some(), 'it ended by itself'
    process.kill()
    await process.wait()
    await process.stdout.aclose()


@cm
def open_process(*args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """
    Run `python -m *args`, and yield the process and its first line of output. It is
    interrupted, and must then end, as the block does. One that does not come up fails
    with what it has said.
    """
    with (
        TemporaryFile('w+', errors='replace') as stderr,
        subprocess.Popen(
            [sys.executable, '-m', *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):

        def complaints() -> str:
            stderr.seek(0)
            return stderr.read()

        assert process.stdout
        try:
            if not (line := process.stdout.readline().strip()):
                process.wait(timeout=_timeout)
                last_lines = '\n'.join(complaints().splitlines()[-10:])
                raise RuntimeError(f'{" ".join(args)} did not start:\n{last_lines}')
            yield process, line
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=60)
            finally:
                process.kill()
                # what went wrong in there is for whoever watches us
                sys.stderr.write(complaints())


@pytest.fixture(scope=tree_scope)
def shared_pikerd(session_venue: Venue, _isolation: Path) -> Iterator[None]:
    """
    The root of the session's tree, in a process of its own. It outlives this one by
    no way of dying.
    """
    write_brokers_toml(_isolation, url=session_venue.url)
    with open_process('minipiker', 'pikerd', '--until-eof', '-l', 'error') as (root, _):
        shared_pids.add(root.pid)
        yield


@pytest.fixture
def shared_tree(shared_pikerd: None) -> Tree:
    """
    `async with shared_tree():` makes the test an actor of the session's tree.
    """
    return partial(maybe_open_pikerd, find_registry())


@acm
async def open_test_pikerd(
    conf_dir: Path,
    **section: Any,
) -> AsyncIterator[type[Services]]:
    """
    Make the test the root of a tree of its own, with its own folder `conf_dir`
    where `brokers.toml` configures the backend by `section`, such as `url=`.
    """
    write_brokers_toml(conf_dir, **section)
    async with open_pikerd(
        loglevel='critical',
        tractor_runtime_overrides={'piker_test_dir': str(conf_dir)},
    ) as services:
        yield services
