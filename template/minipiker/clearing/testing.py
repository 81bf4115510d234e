"""
What the suite needs to test order dialogs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from contextlib import asynccontextmanager as acm
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from simvenue import process
from simvenue.process import SimVenue
from simvenue.reports import TradeInfo

from ..service import Services
from ..testing import Market, OpenSimVenue, find_market, open_test_pikerd
from ._client import TradesStream
from ._messages import Order, Status

_haste: dict[str, float] = {
    'max_backoff': 0.2,
    'valid_for': 1,
    'clock_error': 0.2,
    'doubt': 0.3,
    'probe': 2,
    'quiet': 3,
}
"""What a session's limits are where the venue is next door."""


class Live(NamedTuple):
    """
    A tree with an account at a venue where nothing happens but what the test does.
    """

    venue: SimVenue
    services: type[Services]
    market: Market
    account: str
    """Its name here; at the venue it is that of its key."""

    def order(self, action: str, times: float, steps: int = 100) -> Order:
        """
        One at so many times the market's price, of so many of the smallest sizes.
        """
        market = self.market
        return mk_order(
            market.fqme,
            action,
            market.price(times),
            market.size(steps),
            self.account,
        )

    async def trade_at(self, times: float, steps: int = 10_000) -> TradeInfo:
        """
        Have somebody trade, which whoever rests at that price takes part in.
        """
        market = self.market
        return await self.venue.print_trade(
            market.name, market.price(times), market.size(steps)
        )


OpenLive = Callable[..., AbstractAsyncContextManager[Live]]
"""What the fixture `open_live` is."""


@acm
async def open_live_tree(
    conf_dir: Path,
    mod: ModuleType,
    **traits: Any,
) -> AsyncIterator[Live]:
    """
    With the folder `conf_dir`, and a venue that differs in `traits` from what it is by
    its documentation.
    """
    async with (
        process.open_simvenue(rate=0) as venue,
        open_test_pikerd(
            conf_dir, url=venue.url, traits=traits, limits=_haste, **mk_account()
        ) as services,
    ):
        await venue.differ(**traits)
        market = await find_market(venue, mod)
        yield Live(venue, services, market, f'{mod.name}.main')


@pytest.fixture
def open_live(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> OpenLive:
    """
    `async with open_live(**traits) as live:`
    """
    return partial(open_live_tree, tmp_path, mod)


def mk_order(
    symbol: str,
    action: str,
    price: float,
    size: float,
    account: str = 'paper',
    **fields: Any,
) -> Order:
    """
    A new order. Nothing is checked: it may be a bad one.
    """
    return Order(
        action=action,  # type: ignore[arg-type]
        exec_mode=fields.pop('exec_mode', 'live'),
        oid=str(uuid4()),
        symbol=symbol,
        account=account,
        price=price,
        size=size,
        **fields,
    )


def mk_account(
    api_key: str = 'simkey',
    api_secret: str = 'simsecretkey',
) -> dict[str, Any]:
    """
    The account `main`, as the backend's section of `brokers.toml` has it.
    """
    credentials = {'api_key': api_key, 'api_secret': api_secret}
    return {'accounts': {'main': 'main'}, 'main': credentials}


async def wait_for(stream: TradesStream, oid: str, resp: str) -> Status:
    """
    The next status `resp` of an order.
    """
    async for msg in stream:
        if isinstance(msg, Status) and msg.oid == oid:
            if msg.resp == resp:
                return msg
            if msg.resp in ('error', 'closed', 'canceled'):
                raise AssertionError(f'{resp} expected: {msg}')
    raise AssertionError('the stream ended')


async def until_over(stream: TradesStream, *oids: str) -> dict[str, list[str]]:
    """
    What each of these orders goes through up to its end.
    """
    told: dict[str, list[str]] = {oid: [] for oid in oids}
    ends = {'closed', 'canceled', 'error', 'triggered'}
    while not all(ends & {*resps} for resps in told.values()):
        msg = await stream.receive()
        if isinstance(msg, Status) and msg.oid in told:
            told[msg.oid].append(msg.resp)
    return told


async def responses(stream: TradesStream, oid: str) -> list[str]:
    """
    The same of one.
    """
    return (await until_over(stream, oid))[oid]


def order_of(status: Status) -> Order:
    """
    The order that a status is of.
    """
    assert status.req
    return status.req
