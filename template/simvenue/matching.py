"""
The order book of one market: orders at rest, a market maker, and who trades with whom.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from decimal import Decimal
from heapq import merge
from typing import Literal

import numpy as np
from msgspec import Struct

from .instruments import Instrument, move
from .refusals import Refusal
from .reports import Direction
from .source import Noise, Print

OrderType = Literal['limit', 'market']
OrderState = Literal['open', 'filled', 'cancelled']
TimeInForce = Literal['gtc', 'ioc', 'fok']
Levels = list[tuple[int, int]]
"""Of one side of a book, the best first: prices in ticks, amounts in steps."""

_LEVELS = 10
"""How deep the market maker's side of the book is."""
_DICE = np.arange(3 + 2 * (_LEVELS - 1))
"""Of the spread, and of what is offered at each level of either side."""


class Quote(Struct, frozen=True):
    """
    The best bid and offer, prices in ticks and amounts in steps.
    """

    bid: int
    bid_amount: int
    ask: int
    ask_amount: int


class MarketMaker:
    """
    Quotes anew after every trade: a spread of one to three ticks, with the trade's
    price at the end where it was.
    """

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self._noise = Noise(seed, f'{instrument.name} quotes')
        self._grid = instrument.grid
        self._lot = instrument.lot
        self._last = Print(0, 1, 1, 'buy')
        self._number = 0
        self._thrown: list[float] = []

    def on_trade(self, last: Print, number: int) -> None:
        self._last, self._number = last, number
        self._thrown.clear()

    def quote(self) -> Quote:
        last = self._last
        spread = 1 + self.dice(3, 0)
        if last.direction == 'buy':
            ask = max(2, last.price)
            bid = max(1, move(self._grid, ask, -spread))
        else:
            bid = last.price
            ask = move(self._grid, bid, spread)
        return Quote(bid, self.amount(1), ask, self.amount(2))

    def amount(self, number: int) -> int:
        """
        What it offers somewhere.
        """
        return (1 + self.dice(2000, number)) * self._lot

    def dice(self, sides: int, number: int) -> int:
        """
        What die `number` shows, from 0 on; all are thrown again after every trade.
        """
        if not self._thrown:
            self._thrown = self._noise.uniform(_DICE, np.array([self._number])).tolist()
        return int(self._thrown[number] * sides)


class Order(Struct, kw_only=True, eq=False):
    """
    Prices in ticks, amounts in steps.
    """

    order_id: str
    account: str
    client_id: str
    market: str
    direction: Direction
    order_type: OrderType
    state: OrderState = 'open'
    price: int | None
    amount: int
    filled: int = 0
    turnover: int = 0
    """Price times amount of what is filled."""
    fees: Decimal = Decimal(0)
    """Of that, in the settlement currency."""
    post_only: bool = False
    reduce_only: bool = False
    time_in_force: TimeInForce = 'gtc'
    replaced: bool = False
    """Whether it was edited."""
    created: int
    updated: int
    priority: int
    """Of two orders at one price, the lower one is first."""
    group: int = 0
    """A number by which its owner knows it, and others."""
    cancel_on_disconnect: bool = False
    funds: str = ''
    funds_per_step: Decimal = Decimal(0)
    """The currency that it binds, and how much for each step that is left of it."""
    cancel_reason: str = ''

    @property
    def left(self) -> int:
        return self.amount - self.filled

    def require_open(self) -> None:
        """
        Raises `Refusal`.
        """
        if self.state != 'open':
            raise Refusal('not_open', self.state)

    @property
    def limit(self) -> int:
        """
        The price of an order at rest.
        """
        assert self.price is not None
        return self.price


class Offer(Struct, frozen=True):
    """
    One side of a possible trade: an order, or the market maker (`None`).
    """

    price: int
    amount: int
    order: Order | None = None


class Book:
    """
    The orders at rest by price, then time, between those of a market maker who quotes
    anew after every trade, comes last at each price, and does not trade at rest.
    """

    def __init__(self, instrument: Instrument, maker: MarketMaker) -> None:
        self._market_maker = maker
        self._grid = instrument.grid
        self._orders: dict[Direction, list[Order]] = {'buy': [], 'sell': []}
        self._maker_amount: int | None = None
        self._maker_levels = _LEVELS

    def set_depth(self, amount: int | None, levels: int) -> None:
        """
        Have the market maker offer `amount` at each of so many prices; or, without an
        amount, as usual.
        """
        self._maker_amount = amount
        self._maker_levels = _LEVELS if amount is None else levels

    def add(self, order: Order) -> None:
        sign = _sign(order.direction)
        insort(
            self._orders[order.direction],
            order,
            key=lambda it: (-sign * it.limit, it.priority),
        )

    def remove(self, order: Order) -> None:
        self._orders[order.direction].remove(order)

    def best(self, side: Direction) -> Order | None:
        return next(iter(self._orders[side]), None)

    def _maker(self, side: Direction) -> Iterator[Offer]:
        """
        The market maker's orders, the best first, none of which crosses one at rest.
        """
        quote = self._market_maker.quote()
        if side == 'sell':
            bid = self.best('buy')
            price = max(quote.ask, self._beside(bid.limit, side) if bid else 0)
        else:
            ask = self.best('sell')
            price = min(quote.bid, self._beside(ask.limit, side) if ask else quote.bid)
        for level in range(self._maker_levels):
            if price <= 0:
                return
            amount = self._maker_amount
            if amount is None:
                amount = self._usual_amount(side, quote, level)
            if amount:
                yield Offer(price, amount)
            price = move(self._grid, price, -_sign(side))

    def _beside(self, price: int, side: Direction) -> int:
        """
        The best price for that side which does not meet `price`.
        """
        return move(self._grid, price, -_sign(side))

    def beyond(self, side: Direction, price: int | None) -> int | None:
        """
        That price, or the best one for that side at which nobody trades with it.
        """
        best = self.levels(opposite(side), 1)
        if price is None or not best:
            return price
        free = max(1, self._beside(best[0][0], side))
        return min(price, free) if side == 'buy' else max(price, free)

    def _usual_amount(self, side: Direction, quote: Quote, level: int) -> int:
        if level == 0:
            return quote.bid_amount if side == 'buy' else quote.ask_amount
        return self._market_maker.amount(2 * level + 1 + (side == 'sell'))

    def _offers(self, side: Direction) -> Iterator[Offer]:
        orders = (Offer(it.limit, it.left, it) for it in self._orders[side])
        sign = _sign(side)
        # at one price, what comes from the first iterable goes first
        return merge(orders, self._maker(side), key=lambda it: -sign * it.price)

    def match(
        self,
        direction: Direction,
        amount: int,
        limit: int | None,
    ) -> list[Offer]:
        """
        What an order to buy or sell `amount` would trade with, and how much of it, at
        `limit` or better; less than `amount` where there is no more.
        """
        sign = _sign(direction)
        matches: list[Offer] = []
        for offer in self._offers(opposite(direction)):
            if not amount or (limit is not None and sign * (offer.price - limit) > 0):
                break
            taken = min(amount, offer.amount)
            matches.append(Offer(offer.price, taken, offer.order))
            amount -= taken
        return matches

    def touched(self, price: int, amount: int) -> list[Offer]:
        """
        The orders at rest that would have been hit rather than let a trade of `amount`
        at `price` pass: the best first, each at its own price, no more than `amount`.
        """
        matches: list[Offer] = []
        for side, orders in self._orders.items():
            sign = _sign(side)
            for order in orders:
                if not amount or sign * (order.limit - price) < 0:
                    break
                taken = min(amount, order.left)
                matches.append(Offer(order.limit, taken, order))
                amount -= taken
        return matches

    def levels(self, side: Direction, limit: int) -> Levels:
        """
        What there is at the best `limit` prices.
        """
        levels: Levels = []
        for offer in self._offers(side):
            if levels and levels[-1][0] == offer.price:
                levels[-1] = offer.price, levels[-1][1] + offer.amount
            elif len(levels) == limit:
                break
            else:
                levels.append((offer.price, offer.amount))
        return levels

    def quote(self) -> Quote:
        """
        The best of the market maker's quote and the orders at rest together; of an
        empty side both are 0.
        """
        bid, bid_amount = next(iter(self.levels('buy', 1)), (0, 0))
        ask, ask_amount = next(iter(self.levels('sell', 1)), (0, 0))
        return Quote(bid, bid_amount, ask, ask_amount)


def group(levels: Levels, depth: int, ticks: int) -> Levels:
    """
    The best `depth` of them, of so many ticks each: prices are rounded up, or down
    where `ticks` is negative.
    """
    sums: dict[int, int] = {}
    for price, amount in levels:
        price = -(-price // ticks) * ticks if ticks > 0 else price // -ticks * -ticks
        if price not in sums and len(sums) == depth:
            break
        sums[price] = sums.get(price, 0) + amount
    return list(sums.items())


def opposite(side: Direction) -> Direction:
    return 'sell' if side == 'buy' else 'buy'


def _sign(side: Direction) -> int:
    return 1 if side == 'buy' else -1
