"""
What happens in the venue, as its engine tells it: prices in ticks, amounts in steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct

from .instruments import Instrument
from .market import Market, Trade
from .matching import Levels

Action = Literal['new', 'change', 'delete']


class Event(Struct, frozen=True):
    @property
    def key(self) -> str:
        """
        The market, or the account, that it is about.
        """
        return ''


class InMarket(Event, frozen=True):
    market: Market

    @property
    def key(self) -> str:
        return self.market.name


class Trades(InMarket, frozen=True):
    """
    Trades were made.
    """

    trades: list[Trade]


class NewQuote(InMarket, frozen=True):
    """
    The best bid or offer may have changed.
    """


class BookChange(InMarket, frozen=True):
    """
    The book changed: prices in ticks, amounts in steps; an amount of 0 where the price
    is gone.
    """

    before: int
    """The id of the change before this one."""
    id: int
    bids: list[tuple[Action, int, int]]
    asks: list[tuple[Action, int, int]]


class Listed(Event, frozen=True):
    """
    An instrument was listed, or is gone.
    """

    instrument: Instrument
    active: bool


def changes(old: Levels, new: Levels) -> list[tuple[Action, int, int]]:
    if old == new:
        return []
    before, after = dict(old), dict(new)
    changes: list[tuple[Action, int, int]] = [
        ('change' if price in before else 'new', price, amount)
        for price, amount in new
        if before.get(price) != amount
    ]
    changes += [('delete', price, 0) for price in before.keys() - after.keys()]
    return changes


def merge(changes: Sequence[BookChange]) -> BookChange:
    """
    Several changes that follow each other, as one.
    """

    def net(sides: Iterable[list[tuple[Action, int, int]]]) -> list[Any]:
        merged: dict[int, tuple[Action, int, int]] = {}
        for action, price, amount in (it for side in sides for it in side):
            earlier = merged.pop(price, None)
            if earlier and earlier[0] == 'new':
                if action == 'delete':
                    continue
                action = 'new'
            elif earlier and earlier[0] == 'delete':
                action = 'change'
            merged[price] = action, price, amount
        return list(merged.values())

    first, last = changes[0], changes[-1]
    bids, asks = net(it.bids for it in changes), net(it.asks for it in changes)
    return BookChange(last.market, first.before, last.id, bids, asks)
