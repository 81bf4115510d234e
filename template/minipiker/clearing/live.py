"""
A pytest plugin: tests that trade, on an account of the session's venue.

    pytest --venue URL --trade            orders far from the market, the smallest ones
    pytest --venue URL --trade=fill       also such that are filled
    pytest --venue URL --trade=for-real   where that is with real money
"""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from contextlib import asynccontextmanager as acm
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import trio

from .. import config as conf
from ..brokers import BrokerError, __brokers__, get_brokermod
from ..live import ask
from ..processes import shared_pids
from ..proof import is_loopback, needs_of
from ..service import maybe_open_pikerd
from ..service._registry import find_registry
from ..testing import (
    Market,
    Venue,
    open_process,
    open_test_pikerd,
    run_async,
    write_brokers_toml,
)
from . import Order, OrderClient, Status, TradesStream, open_ems
from ._messages import BrokerdPosition
from .testing import mk_order

(_broker,) = __brokers__

_modes = {'orders', 'fill', 'for-real'}
_key, _secret = (f'{_broker.upper()}_API_{it}' for it in ('KEY', 'SECRET'))
_simulated = {_key: 'simkey', _secret: 'simsecretkey'}

_last_chance: float = 30
"""Seconds in which what a test has left open is canceled."""

_secrets = pytest.StashKey['Secrets']()
_left = pytest.StashKey[list[str]]()


class Secrets(dict[str, str]):
    """
    The environment in which the backend has its account. It shows itself to nobody.
    """

    def __repr__(self) -> str:
        return 'Secrets(...)'

    def hide(self, text: str) -> str:
        for it in self.values():
            text = text.replace(it, '***')
        return text


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        '--trade',
        nargs='?',
        const='orders',
        default='',
        metavar='fill,for-real',
        help='with --venue: also place orders, far from the market; with `fill` such '
        'that are filled; with `for-real` where it is for real money',
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """
    Refuse to trade where it is for real, unless that is said.
    """
    modes = modes_of(config)
    if unknown := modes - _modes:
        raise pytest.UsageError(
            f'--trade={unknown.pop()}: there are {", ".join(sorted(_modes))}, with '
            'commas between them; before the name of a file, type --trade=orders'
        )
    url: str | None = config.getoption('--venue')
    if modes and not url:
        raise pytest.UsageError('--trade is for a venue: type --venue and its URL')
    if modes and url and 'for-real' not in modes and is_production(url):
        raise pytest.UsageError(
            f'{urlsplit(url).hostname} is none of the test venues in api.py, so that '
            'orders there may be for real: type --trade=for-real if they are to be'
        )


def modes_of(config: pytest.Config) -> set[str]:
    option: str = config.getoption('--trade')
    return {*option.split(',')} - {''}


def is_production(url: str) -> bool:
    """
    Whether what is traded there may be real: all but loopback, and the hosts of which
    the author says that they are for tests.
    """
    api = import_module(f'{get_brokermod(_broker).__name__}.api')
    for_tests = {urlsplit(it).hostname for it in api.TEST_URLS}
    return not is_loopback(url) and urlsplit(url).hostname not in for_tests


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    config.stash[_left] = []
    if not modes_of(config):
        config.stash[_secrets] = Secrets(_simulated)
    elif not config.getoption('--ids') and not config.option.collectonly:
        config.stash[_secrets] = find_credentials(config)


def find_credentials(config: pytest.Config) -> Secrets:
    """
    Those of the environment, or of `brokers.toml`, or who is at the terminal is asked.
    """
    said = {name: os.environ.get(name, '') for name in (_key, _secret)}
    if not all(said.values()):
        section: dict[str, Any] = conf.load('brokers')[0].get(_broker, {})
        try:
            import_module(f'{get_brokermod(_broker).__name__}._config').load_accounts()
        except BrokerError as err:
            raise pytest.UsageError(str(err)) from None
        for name in [*section.get('accounts', {}).values()][:1]:
            entry = section.get(name, {})
            said = dict(
                zip(said, map(entry.get, ('api_key', 'api_secret')), strict=True)
            )
    if not all(said.values()):
        said = {name: ask(config, name, hidden=True) for name in said}
    if not all(said.values()):
        raise pytest.UsageError(
            f'--trade needs credentials: set {_key} and {_secret}, or write them to '
            f'{conf.get_conf_path()}'
        )
    return Secrets(said)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if not config.getoption('--venue'):
        return
    modes = modes_of(config)
    for item in items:
        match needs_of(item):
            case 'trade' if not modes:
                item.add_marker(pytest.mark.skip('places orders: run with --trade'))
            case 'fill' if 'fill' not in modes:
                item.add_marker(
                    pytest.mark.skip('has orders filled: run with --trade=fill')
                )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Whatever goes wrong, no report has the credentials in it.
    """
    report = yield
    secrets = item.config.stash.get(_secrets, Secrets())
    if secrets != _simulated:
        report.sections = [(name, secrets.hide(it)) for name, it in report.sections]
        if report.longrepr and not isinstance(report.longrepr, tuple):
            text = str(report.longrepr)
            if secrets.hide(text) != text:
                report.longrepr = secrets.hide(text)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if left := config.stash.get(_left, []):
        terminalreporter.section('left at the venue', red=True)
        for line in left:
            terminalreporter.line(line)


@pytest.fixture(scope='session')
def credentials(
    request: pytest.FixtureRequest,
    session_venue: Venue,
    tmp_path_factory: pytest.TempPathFactory,
    mod: ModuleType,
) -> Iterator[Secrets]:
    """
    The environment in which the backend has an account at the session's venue. Fails,
    once all tests are done, where they have left something there.
    """
    secrets = request.config.stash[_secrets]
    folder, since = tmp_path_factory.mktemp('account'), time.time() - 60
    args = mod, secrets, session_venue.url, folder, since
    before = run_async(look, *args)
    yield secrets
    if left := differences(before, run_async(look, *args)):
        request.config.stash[_left] = left
        pytest.fail(f'left at the venue: {"; ".join(left)}', pytrace=False)


@pytest.fixture
def may_fill(credentials: Secrets) -> None:
    """
    The account may be traded with.
    """


class Holdings(NamedTuple):
    """
    What an account has at the venue.
    """

    orders: dict[str, str]
    """The open ones by their ids, and what they are."""
    positions: dict[str, Decimal]
    """As the venue tells them, or else what was traded since it was looked at first."""


async def look(
    mod: ModuleType, secrets: Secrets, url: str, folder: Path, since: float
) -> Holdings:
    """
    Ask the venue itself, with no daemon in between.
    """
    positions: defaultdict[str, Decimal] = defaultdict(Decimal)
    async with (
        open_test_pikerd(folder, url=url),
        _open_orders(mod, secrets) as orders,
    ):
        async for page in orders.fills_since(since, ()):
            for fill in page:
                bought = fill.size if fill.side == 'buy' else -fill.size
                positions[fill.market] += Decimal(str(bought))
        for it in await orders.positions():
            positions[it.market] = Decimal(str(it.size))
        found = {
            it.order_id: f'{it.side} {it.size} {it.market} at {it.price}, {it.order_id}'
            for it in await orders.open_orders()
        }
    return Holdings(found, positions)


def differences(before: Holdings, after: Holdings) -> list[str]:
    """
    In words.
    """
    new, gone = (
        [them.orders[it] for it in them.orders.keys() - others.orders.keys()]
        for them, others in ((after, before), (before, after))
    )
    left = [f'open order: {it}' for it in new]
    left += [f'no order any more: {it}' for it in gone]
    for market in sorted({*before.positions, *after.positions}):
        was, now = (it.positions.get(market, Decimal(0)) for it in (before, after))
        if now != was:
            left.append(f'position: {now - was:+f} {market}')
    return left


@pytest.fixture(scope='session')
def _account_home(
    session_venue: Venue,
    credentials: Secrets,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """
    The folder of a tree that has the account.
    """
    home = tmp_path_factory.mktemp('trading')
    write_brokers_toml(home / 'minipiker', url=session_venue.url)
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('XDG_CONFIG_HOME', str(home))
            for name, value in credentials.items():
                patch.setenv(name, value)
            args = ('minipiker', 'pikerd', '--until-eof', '-l', 'error')
            root, _ = stack.enter_context(open_process(*args))
        shared_pids.add(root.pid)
        yield home


class Trader:
    """
    A client with the account. What it places is canceled, however the test ends.
    """

    def __init__(
        self,
        client: OrderClient,
        stream: TradesStream,
        market: Market,
        account: str,
        position: float,
    ) -> None:
        self._client = client
        self._stream = stream
        self.market = market
        self.account = account
        self.position = position
        """In the market, as it was told last."""
        self.open: set[str] = set()
        """The oids of what was placed, and is not over as far as it is known."""
        self._unread: defaultdict[str, deque[Status]] = defaultdict(deque)
        """What was told of each order while something else was waited for."""

    async def place(self, action: str, price: float, size: float = 0) -> Order:
        """
        Of the smallest size, if nothing else is said.
        """
        market = self.market
        order = mk_order(
            market.fqme, action, price, size or market.size(1), self.account
        )
        self.open.add(order.oid)
        return await self._client.send(order)

    async def change(self, order: Order, price: float) -> None:
        await self._client.update(order.oid, price=price)

    async def cancel(self, order: Order) -> None:
        await self._client.cancel(order.oid)

    async def until(self, order: Order, *resps: str) -> list[Status]:
        """
        What happens to an order up to one of those responses.
        """
        told: list[Status] = []
        unread = self._unread[order.oid]
        while True:
            while not unread:
                await self._receive()
            told.append(msg := unread.popleft())
            if msg.resp in resps:
                return told
            if msg.resp in ('closed', 'canceled', 'error'):
                raise AssertionError(f'{resps} expected: {msg}')

    async def until_position(self, size: float) -> None:
        while self.position != pytest.approx(size):
            await self._receive()

    async def _receive(self) -> Status | BrokerdPosition:
        msg = await self._stream.receive()
        if isinstance(msg, Status):
            self._unread[msg.oid].append(msg)
        match msg:
            case Status(oid=oid, resp='closed' | 'canceled'):
                self.open.discard(oid)
            case BrokerdPosition(symbol=self.market.fqme, size=size):
                self.position = size
        return msg

    async def clean_up(self) -> None:
        for oid in self.open:
            await self._client.cancel(oid)
        while self.open:
            match await self._receive():
                case Status(oid=oid, resp='error'):  # the venue has none
                    self.open.discard(oid)


OpenTrader = Callable[[], AbstractAsyncContextManager[Trader]]
"""What the fixture `open_trader` is."""


@pytest.fixture
def open_trader(
    _account_home: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> OpenTrader:
    """
    `async with open_trader() as trader:`
    """

    @acm
    async def open_trader() -> AsyncIterator[Trader]:
        monkeypatch.setenv('XDG_CONFIG_HOME', str(_account_home))
        async with (
            maybe_open_pikerd(find_registry()),
            open_ems(_broker, 'live') as (client, stream, pps, (account,), _),
        ):
            mine = pps.get((_broker, account), {}).get(market.fqme)
            position = mine.size if mine else 0.0
            trader = Trader(client, stream, market, account, position)
            try:
                yield trader
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(_last_chance):
                    await trader.clean_up()

    return open_trader


OpenOrders = Callable[[], AbstractAsyncContextManager[Any]]
"""What the fixture `open_orders` is."""


@pytest.fixture
def open_orders(
    _account_home: Path,
    credentials: Secrets,
    mod: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> OpenOrders:
    """
    `async with open_orders() as orders:`, the backend's own `OrderApi`.
    """

    @acm
    async def open_orders() -> AsyncIterator[Any]:
        # not before: other fixtures have a tree of their own
        monkeypatch.setenv('XDG_CONFIG_HOME', str(_account_home))
        async with (
            maybe_open_pikerd(find_registry()),
            _open_orders(mod, credentials) as orders,
        ):
            yield orders

    return open_orders


def _open_orders(
    mod: ModuleType, credentials: Secrets
) -> AbstractAsyncContextManager[Any]:
    broker = import_module(f'{mod.__name__}._broker')
    config = import_module(f'{mod.__name__}._config')
    account: AbstractAsyncContextManager[Any] = broker.open_orders(
        config.Credentials(*credentials.values())
    )
    return account
