"""
A pytest plugin: the backend's own client and a venue that misbehaves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from contextlib import asynccontextmanager as acm
from typing import Any

import pytest
import trio
from msgspec import Struct
from msgspec.structs import replace

from piker_deribit2 import _pacer, _session, _trades, api
from piker_deribit2._feed import mk_channels, mk_tape
from piker_deribit2._ticks import stream_ticks
from piker_deribit2.api import Client
from simvenue.client import Controls

from ..brokers import __brokers__
from ..testing import open_process

(_broker,) = __brokers__

UseVenue = Callable[[str], None]
"""What the fixture `use_venue` is."""
SetLimits = Callable[..., None]
"""What the fixture `set_limits` is."""
OpenVenue = Callable[[], AbstractAsyncContextManager[Controls]]
"""What the fixture `open_venue` is."""


@pytest.fixture(scope='session')
def venue_urls() -> Iterator[tuple[str, str]]:
    """
    A venue that tests share, and its controls.
    """
    with open_process('simvenue', '--rate=50') as (process, url):
        assert process.stdout
        yield url, process.stdout.readline().strip()


@pytest.fixture
def use_venue(monkeypatch: pytest.MonkeyPatch) -> UseVenue:
    """
    Point the client to a venue.
    """
    return lambda url: monkeypatch.setenv(f'{_broker.upper()}_URL', url)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    What the backend's own part warns of, whether or not a daemon's console has been
    set up in this process.
    """
    said: list[str] = []

    def say(message: str, *args: object) -> None:
        said.append(message % args)

    for module in (_pacer, _session, _trades):
        for level in ('warning', 'error'):
            monkeypatch.setattr(module.log, level, say)
    return said


@pytest.fixture
def set_limits(monkeypatch: pytest.MonkeyPatch) -> SetLimits:
    """
    Make clients that are opened from now on less patient.
    """

    def set_limits(**limits: float) -> None:
        monkeypatch.setattr(api, 'LIMITS', replace(api.LIMITS, **limits))

    return set_limits


@pytest.fixture
def open_venue(venue_urls: tuple[str, str], use_venue: UseVenue) -> OpenVenue:
    @acm
    async def open_venue() -> AsyncIterator[Controls]:
        """
        The shared venue's controls. A fault that found no occasion does not wait for
        the next test.
        """
        url, controls_url = venue_urls
        use_venue(url)
        async with Controls(controls_url) as venue:
            try:
                yield venue
            finally:
                with trio.CancelScope(shield=True):
                    await venue.behave()

    return open_venue


async def get_names(venue: Controls) -> list[str]:
    """
    The venue's markets, by its own names.
    """
    return [market.name for market in await venue.markets()]


class Bid(Struct, frozen=True):
    """
    A quote of which that is all.
    """

    timestamp: int
    best_bid_price: float = 1
    best_bid_amount: float = 1
    best_ask_price: None = None
    best_ask_amount: None = None


class Follower:
    """
    Reads the ticks of a market's trades.
    """

    def __init__(self, ticks: AsyncIterator[list[dict[str, Any]]]) -> None:
        self._ticks = ticks
        self.ids: list[int] = []

    async def read_on(self, n: int) -> None:
        """
        Read `n` trades, at least.
        """
        n += len(self.ids)
        while len(self.ids) < n:
            for tick in await anext(self._ticks):
                if tick['type'] == 'trade':
                    assert 'missed' not in tick
                    self.ids.append(tick['trade_id'])

    def assert_complete(self) -> None:
        assert self.ids == [*range(self.ids[0], self.ids[-1] + 1)]


@acm
async def follow(client: Client, market: str) -> AsyncIterator[Follower]:
    """
    The ticks of a market, as the backend's feed streams them.
    """
    async with client.session.open_channel(*mk_channels(market)) as msgs:
        tape = mk_tape(client, market)
        await tape.begin()
        yield Follower(stream_ticks(tape, msgs))
