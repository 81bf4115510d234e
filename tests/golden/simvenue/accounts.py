"""
What an account has: balances, positions, orders, and a history of its trades.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from msgspec import Struct, field

from .instruments import CURRENCIES
from .market import Market
from .matching import Order
from .source import Direction

LEVERAGE = 10
"""Of perpetuals: how many times its margin a position may be worth."""


def _plenty() -> dict[str, Decimal]:
    return {it.currency: Decimal(10_000_000) for it in CURRENCIES}


class Credentials(Struct, frozen=True):
    """
    Of an account: its secret, and what it owns before its first trade.
    """

    secret: str
    balances: dict[str, Decimal] = field(default_factory=_plenty)

    def __repr__(self) -> str:
        return 'Credentials(...)'


Liquidity = Literal['maker', 'taker']


class Fill(Struct, frozen=True):
    """
    A trade, as the one of its sides that this account is sees it. The price is in
    ticks, the amount in steps, the fee in the quote currency.
    """

    user_seq: int
    trade_id: int
    order_id: str
    label: str
    instrument: str
    direction: Direction
    price: int
    amount: int
    fee: Decimal
    liquidity: Liquidity
    timestamp: int


class Position(Struct):
    """
    The net of all trades in a market, in base currency, and its cost at entry.
    """

    size: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)

    @property
    def average_price(self) -> Decimal:
        return self.cost / self.size if self.size else Decimal(0)

    def trade(self, amount: Decimal, price: Decimal) -> Decimal:
        """
        Buy `amount`, or sell where it is negative; returns the profit made by it.
        """
        profit = Decimal(0)
        if self.size * amount < 0:
            closed = max(-abs(self.size), -abs(amount)).copy_sign(amount)
            entry = self.average_price
            profit = closed * (entry - price)
            self.size += closed
            self.cost = self.size * entry
            amount -= closed
        self.size += amount
        self.cost += amount * price
        return profit


Pieces = Iterable[tuple[int, int]]
"""What an order may trade: prices and amounts."""


class Account:
    """
    Changes with its fills, and with its open orders as far as these bind funds.
    """

    def __init__(self, key: str, initial: dict[str, Decimal]) -> None:
        self.key = key
        self.balances = defaultdict(Decimal, initial)
        self.positions: defaultdict[str, Position] = defaultdict(Position)
        self.fills: list[Fill] = []
        self.orders: dict[str, Order] = {}
        self.labels: dict[str, Order] = {}
        self.open_orders: dict[str, Order] = {}
        self._bound: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._bound_by: dict[str, Decimal] = {}

    def add(self, order: Order) -> None:
        """
        Take in a new order, or one from the journal.
        """
        self.orders[order.order_id] = order
        if order.label:
            self.labels[order.label] = order
        self.update(order)

    def update(self, order: Order) -> None:
        """
        Take note of an order's new state.
        """
        if order.state == 'open':
            self.open_orders[order.order_id] = order
            bound = order.left * order.funds_per_step
        else:
            self.open_orders.pop(order.order_id, None)
            bound = Decimal(0)
        self._bound[order.funds] += bound - self._bound_by.pop(order.order_id, 0)
        if bound:
            self._bound_by[order.order_id] = bound

    def apply(self, fill: Fill, market: Market) -> None:
        """
        Take in a trade.
        """
        self.fills.append(fill)
        instrument = market.instrument
        price = fill.price * instrument.tick_size
        bought = fill.amount * instrument.amount_step
        if fill.direction == 'sell':
            bought = -bought
        profit = self.positions[fill.instrument].trade(bought, price)
        if instrument.kind == 'spot':
            self.balances[instrument.base_currency] += bought
            self.balances[instrument.quote_currency] -= bought * price + fill.fee
        else:
            self.balances[instrument.quote_currency] += profit - fill.fee

    def available(
        self,
        currency: str,
        markets: dict[str, Market],
        replaced: Order | None = None,
    ) -> Decimal:
        """
        What is neither margin nor bound by open orders, that which is to be `replaced`
        aside.
        """
        free = self.balances[currency] - self._bound[currency]
        for name, position in self.positions.items():
            instrument = markets[name].instrument
            if instrument.kind == 'perp' and instrument.quote_currency == currency:
                free -= abs(position.cost) / LEVERAGE
        if replaced and replaced.funds == currency:
            free += self._bound_by.get(replaced.order_id, 0)
        return free

    def needs(
        self,
        market: Market,
        direction: Direction,
        pieces: Pieces,
    ) -> tuple[str, Decimal]:
        """
        The currency, and how much of it, that an order takes to trade `pieces`.
        """
        instrument = market.instrument
        unit = instrument.tick_size * instrument.amount_step
        amount = instrument.amount_step * sum(amount for _, amount in pieces)
        worth = unit * sum(price * amount for price, amount in pieces)
        fee = worth * instrument.taker_fee
        if instrument.kind == 'perp':
            position = self.positions[market.name].size
            held = position if direction == 'sell' else -position
            # what closes a position needs no margin
            opened = max(Decimal(0), amount - max(Decimal(0), held)) / amount
            return instrument.quote_currency, worth * opened / LEVERAGE + fee
        if direction == 'sell':
            return instrument.base_currency, amount
        return instrument.quote_currency, worth + fee
