"""
The order book of one market: orders at rest, and who trades with whom.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from decimal import Decimal
from heapq import merge
from typing import Literal

from msgspec import Struct

from .market import Market, Quote
from .source import Direction

OrderType = Literal['limit', 'market']
OrderState = Literal['open', 'filled', 'cancelled']

_LEVELS = 10
"""How deep the market maker's side of the book is."""


class Order(Struct, kw_only=True, eq=False):
    """
    Prices in ticks, amounts in steps.
    """

    order_id: str
    account: str
    label: str
    instrument: str
    direction: Direction
    order_type: OrderType
    state: OrderState = 'open'
    price: int | None
    amount: int
    filled: int = 0
    turnover: int = 0
    """Price times amount of what is filled."""
    post_only: bool = False
    created: int
    updated: int
    priority: int
    """Of two orders at one price, the lower one is first."""
    cancel_on_disconnect: bool = False
    funds: str = ''
    funds_per_step: Decimal = Decimal(0)
    """The currency that it binds, and how much for each step that is left of it."""
    cancel_reason: str = ''

    @property
    def left(self) -> int:
        return self.amount - self.filled

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

    def __init__(self, market: Market) -> None:
        self._market = market
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
        quote = self._market.maker.quote()
        if side == 'sell':
            bid = self.best('buy')
            price = max(quote.ask, bid.limit + 1 if bid else 0)
        else:
            ask = self.best('sell')
            price = min(quote.bid, ask.limit - 1 if ask else quote.bid)
        for level in range(self._maker_levels):
            if price <= 0:
                return
            amount = self._maker_amount
            if amount is None:
                amount = self._usual_amount(side, quote, level)
            if amount:
                yield Offer(price, amount)
            price -= _sign(side)

    def _usual_amount(self, side: Direction, quote: Quote, level: int) -> int:
        if level == 0:
            return quote.bid_amount if side == 'buy' else quote.ask_amount
        return 1 + self._market.maker.dice(2000, 2 * level + 1 + (side == 'sell'))

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

    def quote(self) -> Quote:
        """
        The best of the market maker's quote and the orders at rest together.
        """
        maker = self._market.maker.quote()
        bid, bid_amount = self._top('buy', maker.bid)
        ask, ask_amount = self._top('sell', maker.ask)
        return Quote(bid, bid_amount, ask, ask_amount)

    def _top(self, side: Direction, price: int) -> tuple[int, int]:
        amount = 0
        for offer in self._offers(side):
            if amount and offer.price != price:
                break
            price = offer.price
            amount += offer.amount
        return price, amount


def opposite(side: Direction) -> Direction:
    return 'sell' if side == 'buy' else 'buy'


def _sign(side: Direction) -> int:
    return 1 if side == 'buy' else -1
