"""
The exchange: what becomes of orders.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from .accounts import Account, Fill, Liquidity
from .market import Market, Trade
from .matching import Book, Offer, Order, OrderState, OrderType, opposite
from .server import INVALID_PARAMS, RpcError, Venue
from .source import Direction

ORDER_NOT_FOUND = 10004
NOT_ENOUGH_FUNDS = 10009
REJECTED = 11030
NOT_OPEN = 11044
WOULD_TAKE = 11054


class OrderView(Struct, frozen=True):
    """
    An order as clients see it.
    """

    order_id: str
    label: str
    instrument_name: str
    direction: Direction
    order_type: OrderType
    order_state: OrderState
    price: float | None
    amount: float
    filled_amount: float
    average_price: float
    post_only: bool
    creation_timestamp: int
    last_update_timestamp: int
    cancel_reason: str


class UserTrade(Struct, frozen=True):
    """
    A fill as clients see it.
    """

    user_seq: int
    trade_id: int
    order_id: str
    label: str
    instrument_name: str
    direction: Direction
    price: float
    amount: float
    fee: float
    fee_currency: str
    liquidity: Liquidity
    timestamp: int


class OrderReply(Struct, frozen=True):
    """
    An order, and the trades that it made at once.
    """

    order: OrderView
    trades: list[UserTrade]


class PositionView(Struct, frozen=True):
    """
    A position as clients see it.
    """

    instrument_name: str
    size: float
    average_price: float


class BalanceView(Struct, frozen=True):
    """
    A balance as clients see it.
    """

    currency: str
    balance: float
    available: float


class Exchange:
    """
    Matches the orders of its accounts, with each other and with the market maker's.

    It is put together again from the venue's journal, which has each state of an
    order and each fill, those of one event together.
    """

    def __init__(self, venue: Venue, accounts: dict[str, Account]) -> None:
        self.accounts = accounts
        self._venue = venue
        self.books = {name: Book(market) for name, market in venue.markets.items()}
        self._changed: defaultdict[str, dict[str, Order]] = defaultdict(dict)
        self._filled: defaultdict[str, list[Fill]] = defaultdict(list)
        self._printed: set[int] = set()
        """Ids of trades that are ours."""

        for key, fill in venue.journal.take('fill', tuple[str, Fill]):
            if account := accounts.get(key):
                account.apply(fill, venue.markets[fill.instrument])
        orders = {it.order_id: it for it in venue.journal.take('order', Order)}
        self._count = len(orders)
        self._priority = max((it.priority for it in orders.values()), default=0)
        for order in orders.values():
            if account := accounts.get(order.account):
                account.add(order)
                if order.state == 'open':
                    self.books[order.instrument].add(order)

        for market in venue.markets.values():
            market.quoter = self.books[market.name]
            market.on_trades.append(self._on_trades)
        for account in accounts.values():
            for order in list(account.open_orders.values()):
                if order.cancel_on_disconnect:
                    self.cancel(order, 'disconnected')

    def place(
        self,
        account: Account,
        market: Market,
        direction: Direction,
        amount: float,
        price: float | None,
        *,
        order_type: OrderType,
        post_only: bool = False,
        label: str = '',
        cancel_on_disconnect: bool = False,
    ) -> tuple[Order, list[Fill]]:
        """
        A new order, and its fills so far. Raises `RpcError`.
        """
        if (order_type == 'limit') != (price is not None):
            raise _invalid('a limit order has a price, a market order has none')
        if post_only and price is None:
            raise _invalid('a market order cannot be post_only')
        steps, ticks = self._check(market, amount, price)
        if label in account.labels:
            raise RpcError(REJECTED, f'other_reject: label {label!r} was used before')
        market.advance()
        now = self._venue.clock.now()
        order = Order(
            order_id=str(self._count + 1),
            account=account.key,
            label=label,
            instrument=market.name,
            direction=direction,
            order_type=order_type,
            price=ticks,
            amount=steps,
            post_only=post_only,
            created=now,
            updated=now,
            priority=self._priority + 1,
            cancel_on_disconnect=cancel_on_disconnect,
        )
        matches = self._match(account, market, order, order)
        self._count += 1
        self._priority += 1
        account.add(order)
        return order, self._execute(account, market, order, matches)

    def edit(self, order: Order, amount: float, price: float) -> list[Fill]:
        """
        Change an open order's total amount and its price. It keeps its place in the
        queue where it only shrinks. Returns the fills that come of it. Raises
        `RpcError`, and leaves the order alone then.
        """
        account = self.accounts[order.account]
        market = self._venue.markets[order.instrument]
        market.advance()
        self._require_open(order)
        steps, ticks = self._check(market, amount, price)
        if steps <= order.filled:
            raise _invalid('the amount must be more than what is filled')
        keeps_place = ticks == order.price and steps <= order.amount
        edited = replace(order, price=ticks, amount=steps)
        matches = self._match(account, market, edited, order)
        self.books[market.name].remove(order)
        order.price, order.amount = ticks, steps
        if not keeps_place:
            self._priority += 1
            order.priority = self._priority
        return self._execute(account, market, order, matches)

    def cancel(self, order: Order, reason: str = 'by the user') -> None:
        """
        Raises `RpcError` where it is no longer open.
        """
        market = self._venue.markets[order.instrument]
        market.advance()
        self._require_open(order)
        self.books[order.instrument].remove(order)
        self._close(order, 'cancelled', reason)
        self._report()
        market.requote()

    def _require_open(self, order: Order) -> None:
        if order.state != 'open':
            raise RpcError(NOT_OPEN, f'not_open_order: order is {order.state}')

    def _check(
        self,
        market: Market,
        amount: float,
        price: float | None,
    ) -> tuple[int, int | None]:
        try:
            steps = market.amounts.count(amount)
            ticks = None if price is None else market.prices.count(price)
        except ValueError as err:
            raise _invalid(str(err)) from None
        if steps * market.instrument.amount_step < market.instrument.min_trade_amount:
            raise _invalid(f'the least amount is {market.instrument.min_trade_amount}')
        return steps, ticks

    def _match(
        self,
        account: Account,
        market: Market,
        order: Order,
        replaced: Order,
    ) -> list[Offer]:
        """
        What the order will trade with, if it may.
        """
        book = self.books[market.name]
        matches = book.match(order.direction, order.left, order.price)
        if order.post_only and matches:
            raise RpcError(WOULD_TAKE, 'post_only_reject: it would trade at once')
        pieces = [(it.price, it.amount) for it in matches]
        if order.price is not None:
            rest = order.left - sum(amount for _, amount in pieces)
            pieces.append((order.price, rest))
        if not pieces:
            raise RpcError(REJECTED, 'other_reject: nothing to trade with')
        currency, needed = account.needs(market, order.direction, pieces)
        available = account.available(currency, self._venue.markets, replaced)
        if needed > available:
            raise RpcError(
                NOT_ENOUGH_FUNDS,
                f'not_enough_funds: {needed:f} {currency} needed, '
                f'{available:f} available',
            )
        return matches

    def _execute(
        self,
        account: Account,
        market: Market,
        order: Order,
        matches: list[Offer],
    ) -> list[Fill]:
        """
        Do the trades, and see to what is left of the order.
        """
        before = len(account.fills)
        rest = order.left - sum(offer.amount for offer in matches)
        if rest and order.price is not None:
            order.funds, needed = account.needs(
                market, order.direction, [(order.price, rest)]
            )
            order.funds_per_step = needed / rest
        self._touch(order)
        for offer in matches:
            self._trade(market, offer, order.direction, taker=order)
        if order.left and order.price is not None:
            self.books[market.name].add(order)
        elif order.left:
            self._close(order, 'cancelled', 'nothing left to trade with')
        self._report()
        market.requote()
        return [it for it in account.fills[before:] if it.order_id == order.order_id]

    def _on_trades(self, market: Market, trades: list[Trade]) -> None:
        """
        Let orders at rest take part in the trades of others.
        """
        if trades[0].trade_id in self._printed:
            self._printed.remove(trades[0].trade_id)
            return
        for trade in trades:
            price = market.prices.count(trade.price)
            amount = market.amounts.count(trade.amount)
            for offer in self.books[market.name].touched(price, amount):
                assert offer.order
                self._trade(market, offer, opposite(offer.order.direction))
        self._report()

    def _trade(
        self,
        market: Market,
        offer: Offer,
        direction: Direction,
        taker: Order | None = None,
    ) -> None:
        sides: list[tuple[Order | None, Liquidity]]
        sides = [(offer.order, 'maker'), (taker, 'taker')]
        orders = [(order, liquidity) for order, liquidity in sides if order]
        for order, liquidity in orders:
            order.filled += offer.amount
            order.turnover += offer.price * offer.amount
            if not order.left:
                if liquidity == 'maker':
                    self.books[market.name].remove(order)
                self._close(order, 'filled')
        self._printed.add(market.next_id)
        trade = market.print_extra(offer.price, offer.amount, direction)
        for order, liquidity in orders:
            self._fill(market, order, offer, trade, liquidity)

    def _fill(
        self,
        market: Market,
        order: Order,
        offer: Offer,
        trade: Trade,
        liquidity: Liquidity,
    ) -> None:
        account = self.accounts[order.account]
        instrument = market.instrument
        rate = instrument.maker_fee if liquidity == 'maker' else instrument.taker_fee
        worth = (
            offer.price * instrument.tick_size * offer.amount * instrument.amount_step
        )
        fill = Fill(
            user_seq=len(account.fills) + 1,
            trade_id=trade.trade_id,
            order_id=order.order_id,
            label=order.label,
            instrument=market.name,
            direction=order.direction,
            price=offer.price,
            amount=offer.amount,
            fee=worth * rate,
            liquidity=liquidity,
            timestamp=trade.timestamp,
        )
        account.apply(fill, market)
        self._venue.journal.append('fill', (account.key, fill))
        self._filled[account.key].append(fill)
        self._touch(order)

    def _close(self, order: Order, state: OrderState, reason: str = '') -> None:
        order.state = state
        order.cancel_reason = reason
        self._touch(order)

    def _touch(self, order: Order) -> None:
        order.updated = self._venue.clock.now()
        self.accounts[order.account].update(order)
        self._changed[order.account][order.order_id] = order

    def _report(self) -> None:
        """
        At the end of an event: write down what it changed, and tell the accounts.
        """
        changed, self._changed = self._changed, defaultdict(dict)
        filled, self._filled = self._filled, defaultdict(list)
        for key, orders in changed.items():
            for order in orders.values():
                self._venue.journal.append('order', order)
            account, fills = self.accounts[key], filled[key]
            names = dict.fromkeys(fill.instrument for fill in fills)
            # trades first: who hears that an order is filled has heard of its fills
            news: dict[str, list[Any]] = {
                'trades': [self.trade_view(it) for it in fills],
                'orders': [self.order_view(it) for it in orders.values()],
                'positions': [self.position_view(account, it) for it in names],
            }
            for name, items in news.items():
                if items:
                    self._venue.publish(f'user.{name} {key}', {name: items})

    def order_view(self, order: Order) -> OrderView:
        market = self._venue.markets[order.instrument]
        average = (
            order.turnover * market.prices.step / order.filled if order.filled else 0
        )
        return OrderView(
            order_id=order.order_id,
            label=order.label,
            instrument_name=order.instrument,
            direction=order.direction,
            order_type=order.order_type,
            order_state=order.state,
            price=None if order.price is None else market.prices.value(order.price),
            amount=market.amounts.value(order.amount),
            filled_amount=market.amounts.value(order.filled),
            average_price=float(average),
            post_only=order.post_only,
            creation_timestamp=order.created,
            last_update_timestamp=order.updated,
            cancel_reason=order.cancel_reason,
        )

    def reply(self, order: Order, fills: list[Fill]) -> OrderReply:
        return OrderReply(self.order_view(order), [self.trade_view(it) for it in fills])

    def trade_view(self, fill: Fill) -> UserTrade:
        market = self._venue.markets[fill.instrument]
        return UserTrade(
            user_seq=fill.user_seq,
            trade_id=fill.trade_id,
            order_id=fill.order_id,
            label=fill.label,
            instrument_name=fill.instrument,
            direction=fill.direction,
            price=market.prices.value(fill.price),
            amount=market.amounts.value(fill.amount),
            fee=float(fill.fee),
            fee_currency=market.instrument.quote_currency,
            liquidity=fill.liquidity,
            timestamp=fill.timestamp,
        )

    def position_view(self, account: Account, instrument: str) -> PositionView:
        position = account.positions[instrument]
        return PositionView(
            instrument, float(position.size), float(position.average_price)
        )

    def position_views(self, account: Account) -> list[PositionView]:
        return [self.position_view(account, it) for it in account.positions]

    def balance_views(self, account: Account) -> list[BalanceView]:
        return [
            BalanceView(
                currency,
                float(balance),
                float(account.available(currency, self._venue.markets)),
            )
            for currency, balance in account.balances.items()
        ]


def _invalid(message: str) -> RpcError:
    return RpcError(INVALID_PARAMS, f'Invalid params: {message}')
