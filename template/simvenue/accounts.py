"""
What an account has: balances, positions, orders, and a history of its trades.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from .events import Event
from .instruments import Instrument
from .matching import Order
from .refusals import Refusal
from .reports import Direction

_PLENTY = Decimal(10_000_000)
_OPTION_MARGIN = Decimal('0.1')
"""Of what is sold short, in underlying."""


class Credentials(Struct, frozen=True):
    """
    Of an account: its secret, and what it owns before its first trade.
    """

    secret: str
    balances: dict[str, Decimal] | None = None
    """Without them, plenty of everything."""

    def owns(self, currencies: Iterable[str]) -> dict[str, Decimal]:
        if self.balances is None:
            return dict.fromkeys(currencies, _PLENTY)
        return self.balances

    def __repr__(self) -> str:
        return 'Credentials(...)'


Liquidity = Literal['maker', 'taker']


class Fill(Struct, frozen=True):
    """
    A trade, as the one of its sides that this account is sees it. The price is in
    ticks, the amount in steps, the fee in the settlement currency.
    """

    seq: int
    """Counts the account's fills."""
    trade_id: int
    trade_seq: int
    order_id: str
    client_id: str
    market: str
    direction: Direction
    price: int
    amount: int
    fee: Decimal
    profit: Decimal
    liquidity: Liquidity
    timestamp: int

    def signed(self, instrument: Instrument) -> tuple[Decimal, Decimal]:
        """
        What was bought (sold, where negative), and at which price.
        """
        amount = self.amount * instrument.amount_step
        price = self.price * instrument.tick_size
        return (amount if self.direction == 'buy' else -amount), price


class Position(Struct):
    """
    The net of all trades in a market, in the unit of its amounts, and its worth at
    entry: in the currency of prices, of an inverse contract in its base currency.
    """

    size: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)

    def average_price(self, instrument: Instrument) -> Decimal:
        if not self.size:
            return Decimal(0)
        if instrument.counts_quote:
            return self.size / self.cost
        return self.cost / self.size

    def profit(
        self, instrument: Instrument, amount: Decimal, price: Decimal
    ) -> Decimal:
        """
        What closing `amount` of it (signed as the position is) at `price` yields.
        """
        gain = instrument.worth(amount, price) - self.cost * amount / self.size
        return -gain if instrument.counts_quote else gain

    def floating(self, instrument: Instrument, price: Decimal) -> Decimal:
        """
        What closing all of it at `price` would yield.
        """
        return self.profit(instrument, self.size, price) if self.size else Decimal(0)

    def trade(self, instrument: Instrument, amount: Decimal, price: Decimal) -> Decimal:
        """
        Buy `amount`, or sell where it is negative; returns the profit made by it.
        """
        profit = Decimal(0)
        if self.size * amount < 0:
            closed = min(abs(self.size), abs(amount)).copy_sign(self.size)
            profit = self.profit(instrument, closed, price)
            self.cost -= self.cost * closed / self.size
            self.size -= closed
            amount += closed
        if not self.size:
            self.cost = Decimal(0)
        self.size += amount
        self.cost += instrument.worth(amount, price)
        self.realized += profit
        return profit


Pieces = Iterable[tuple[int, int]]
"""What an order may trade: prices and amounts."""


class Account:
    """
    Changes with its fills, and with its open orders as far as these bind funds.
    """

    def __init__(self, key: str, number: int, initial: dict[str, Decimal]) -> None:
        self.key = key
        self.number = number
        self.balances = defaultdict(Decimal, initial)
        self.positions: defaultdict[str, Position] = defaultdict(Position)
        self.fills: list[Fill] = []
        self.orders: dict[str, Order] = {}
        self.by_client_id: defaultdict[str, list[Order]] = defaultdict(list)
        self.open_orders: dict[str, Order] = {}
        self.cancels_at: int | None = None
        """When all of them are cancelled (ms), unless it is put off."""
        self._bound: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._bound_by: dict[str, Decimal] = {}

    def add(self, order: Order) -> None:
        """
        Take in a new order, or one from the journal.
        """
        self.orders[order.order_id] = order
        if order.client_id:
            self.by_client_id[order.client_id].append(order)
        self.update(order)

    def check_client_id(self, client_id: str, unique: str) -> None:
        """
        Raise `Refusal` where an order has it that is open, or where there ever was
        one, as they are `unique`.
        """
        used = self.by_client_id.get(client_id, [])
        if unique == 'open':
            used = [it for it in used if it.state == 'open']
        if client_id and used and unique != 'never':
            raise Refusal('client_id_used', client_id)

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

    def trade(
        self, instrument: Instrument, amount: Decimal, price: Decimal, fee: Decimal
    ) -> Decimal:
        """
        Buy `amount`, or sell where it is negative, for `fee`; the profit made by it.
        """
        profit = Decimal(0)
        if instrument.has_positions:
            position = self.positions[instrument.name]
            profit = position.trade(instrument, amount, price)
        if instrument.kind == 'spot':
            self.balances[instrument.base] += amount
            self.balances[instrument.quote] -= amount * price + fee
        elif instrument.kind == 'option':
            self.balances[instrument.settlement] -= amount * price + fee
        else:
            self.balances[instrument.settlement] += profit - fee
        return profit

    def deliver(self, instrument: Instrument, delivery: Delivery) -> None:
        """
        The end of a position.
        """
        if size := self.positions[instrument.name].size:
            self.trade(instrument, -size, delivery.payoff, Decimal(0))
        del self.positions[instrument.name]

    def bound(self, currency: str) -> Decimal:
        """
        What its open orders keep.
        """
        return self._bound[currency]

    def margin(self, currency: str, instruments: Mapping[str, Instrument]) -> Decimal:
        """
        What its positions keep.
        """
        margins = [
            _margin(instruments[name], it.size, abs(it.cost))
            for name, it in self.positions.items()
            if it.size and instruments[name].settlement == currency
        ]
        return sum(margins, Decimal(0))

    def available(
        self,
        currency: str,
        instruments: Mapping[str, Instrument],
        replaced: Order | None = None,
    ) -> Decimal:
        """
        What is neither margin nor bound by open orders, that which is to be `replaced`
        aside.
        """
        free = self.balances[currency] - self._bound[currency]
        if replaced and replaced.funds == currency:
            free += self._bound_by.get(replaced.order_id, 0)
        return free - self.margin(currency, instruments)

    def needs(
        self, instrument: Instrument, direction: Direction, pieces: Pieces
    ) -> tuple[str, Decimal]:
        """
        The currency, and how much of it, that an order takes to trade `pieces`.
        """
        sizes = [
            (price * instrument.tick_size, amount * instrument.amount_step)
            for price, amount in pieces
        ]
        amount = sum((amount for _, amount in sizes), Decimal(0))
        worth = sum((instrument.worth(it, price) for price, it in sizes), Decimal(0))
        fee = sum((fee_of(instrument, *it, 'taker') for it in sizes), Decimal(0))
        if instrument.kind == 'spot':
            if direction == 'sell':
                return instrument.base, amount
            return instrument.quote, worth + fee
        held = self.positions[instrument.name].size
        if direction == 'buy':
            held = -held
        # what closes a position needs no margin
        opened = max(Decimal(0), amount - max(Decimal(0), held)) / amount
        sign = 1 if direction == 'buy' else -1
        margin = _margin(instrument, sign * amount * opened, worth * opened)
        if instrument.kind == 'option' and direction == 'buy':
            margin = worth
        return instrument.settlement, margin + fee


def _margin(instrument: Instrument, size: Decimal, worth: Decimal) -> Decimal:
    if instrument.kind != 'option':
        return worth / instrument.leverage
    if size > 0:
        return Decimal(0)
    unit = Decimal(1) if instrument.inverse else Decimal(instrument.price)
    return _OPTION_MARGIN * abs(size) * unit


def fee_of(
    instrument: Instrument, price: Decimal, amount: Decimal, liquidity: Liquidity
) -> Decimal:
    """
    Of a trade, in the settlement currency.
    """
    rate = instrument.maker_fee if liquidity == 'maker' else instrument.taker_fee
    worth = instrument.worth(amount, price)
    if instrument.kind != 'option':
        return worth * rate
    unit = Decimal(1) if instrument.inverse else Decimal(instrument.price)
    # an eighth of the premium at most
    return min(rate * amount * unit, worth / 8)


class AccountNews(Event, frozen=True):
    """
    What one event changed in an account.
    """

    account: Account
    fills: list[Fill]
    orders: list[Order]
    markets: list[str]
    """Those in which its position is another."""
    currencies: list[str]
    """Those of which it has more or less."""

    @property
    def key(self) -> str:
        return self.account.key


class Delivery(Struct, frozen=True):
    """
    The end of a position, when its instrument expires.
    """

    account: str
    market: str
    price: Decimal
    payoff: Decimal
    timestamp: int
