"""
Dark orders and alerts, and the markets that are watched for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import trio
from msgspec import Struct
from msgspec.structs import replace

from ..accounting import MktPair
from ..data.feed import keep_feed
from ._messages import Order

_spread_slap: int = 5
"""Ticks beyond the market at which a triggered dark order is submitted."""

_tick_types: dict[str, tuple[str, ...]] = {
    'buy': ('ask', 'last', 'trade'),
    'sell': ('bid', 'last', 'trade'),
    'alert': ('trade', 'utrade', 'last'),
}
"""The ticks that trigger, by action."""


class Market(Struct):
    """
    A market that is watched.
    """

    mkt: MktPair
    last: float
    triggers: dict[str, Callable[[dict[str, Any]], bool]] = {}
    """By oid; called with each tick."""

    def on_tick(self, tick: dict[str, Any]) -> None:
        if tick['type'] in ('trade', 'last'):
            self.last = tick['price']
        for oid, trigger in list(self.triggers.items()):
            if trigger(tick):
                self.triggers.pop(oid, None)


class Markets:
    """
    All markets that are watched.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._locks: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._markets: dict[str, Market] = {}
        """By fqme, the short forms that clients used among them."""

    async def get(self, fqme: str) -> Market:
        """
        The market that `fqme` names in whatever form, watched from now on.
        """
        async with self._locks[fqme]:
            if fqme not in self._markets:
                market: Market = await self._nursery.start(
                    partial(keep_feed, fqme, Market, Market.on_tick)
                )
                self._markets[fqme] = self._markets.setdefault(market.mkt.fqme, market)
            return self._markets[fqme]

    def disarm(self, order: Order) -> None:
        """
        Watch for that order no longer.
        """
        del self._markets[order.symbol].triggers[order.oid]

    def name_in_full(self, order: Order) -> Order:
        """
        `order` with the full fqme of its market, by which others who watch that know
        it; as it is where nobody has opened the market.
        """
        if market := self._markets.get(order.symbol):
            return replace(order, symbol=market.mkt.fqme)
        return order


def mk_trigger(
    order: Order,
    last: float,
    on_reached: Callable[[float], None],
) -> Callable[[dict[str, Any]], bool]:
    """
    What is called with each tick of the order's market, and calls `on_reached` with
    the price once that has got to the order's. It says whether it did.
    """
    reached = mk_check(order.price, last)
    tick_types = _tick_types[order.action]

    def trigger(tick: dict[str, Any]) -> bool:
        if tick['type'] not in tick_types or not reached(tick['price']):
            return False
        on_reached(tick['price'])
        return True

    return trigger


def mk_check(trigger_price: float, known_last: float) -> Callable[[float], bool]:
    """
    Whether a price has got to `trigger_price`, from the side where the market was.
    """
    if trigger_price >= known_last:
        return lambda price: price >= trigger_price
    return lambda price: price <= trigger_price


def mk_limit(order: Order, mkt: MktPair, price: float) -> Order:
    """
    The order as it is sent to the broker when the market has got to `price`.
    """
    side = 1 if order.action == 'buy' else -1
    limit = price + side * _spread_slap * float(mkt.price_tick)
    return replace(order, price=float(mkt.quantize(limit, 'price')))
