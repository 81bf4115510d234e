"""
The private half of the dialect: orders, and what an account has.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ..accounts import AccountNews, Fill
from ..instruments import Instrument
from ..matching import Order, TimeInForce
from ..methods import method
from ..operations import Topic
from ..refusals import Refusal
from ..reports import Direction
from ..session import Session, Subscription
from .listing import is_among
from .login import Login
from .messages import Row
from .private_messages import (
    fill_row,
    limits_row,
    order_row,
    owner_row,
    portfolio_row,
    position_row,
)
from .public import Count, Kind, Positive, Sorting

_TIMES: dict[str, TimeInForce] = {
    'good_til_cancelled': 'gtc',
    'good_til_day': 'gtc',
    'immediate_or_cancel': 'ioc',
    'fill_or_kill': 'fok',
}
_TOPICS: dict[str, tuple[Topic, ...]] = {
    'orders': ('orders',),
    'trades': ('fills',),
    'changes': ('orders', 'fills', 'positions'),
    'portfolio': ('balances',),
}


class _Change(Struct, kw_only=True):
    """
    What an order is to be.
    """

    amount: Positive | None = None
    contracts: Positive | None = None
    price: Positive | None = None
    post_only: bool | None = None
    reject_post_only: bool = False
    valid_until: int | None = None

    def amount_of(self, it: Instrument) -> float:
        if self.amount is not None:
            return self.amount
        if self.contracts is None:
            raise Refusal('bad_params', 'amount required')
        return float(Decimal(str(self.contracts)) * it.contract_size)


class _Placed(_Change, kw_only=True):
    instrument_name: str
    type: Literal['limit', 'market'] = 'limit'
    label: Annotated[str, Meta(max_length=64)] = ''
    time_in_force: Literal[
        'good_til_cancelled', 'good_til_day', 'immediate_or_cancel', 'fill_or_kill'
    ] = 'good_til_cancelled'
    reduce_only: bool = False


class _Edited(_Change, kw_only=True):
    order_id: str | None = None
    label: str | None = None
    instrument_name: str | None = None


class _Which(Struct, kw_only=True):
    """
    Which orders, or trades: those for which all that is given is true.
    """

    instrument_name: str | None = None
    currency: str | list[str] | None = None
    kind: Kind | None = None
    label: str | None = None
    order_id: str | None = None
    start_seq: int = 0
    end_seq: int = 2**63
    start_id: str = ''
    end_id: str = ''
    start_timestamp: int = 0
    end_timestamp: int = 2**63
    count: Count | None = None
    offset: int = 0
    sorting: Sorting = 'default'
    include_unfilled: bool = False
    detailed: bool = False

    def are_in(self, it: Instrument) -> bool:
        """
        Whether some of them are in that market.
        """
        wanted, kind = self.currency or 'any', self.kind or 'any'
        names = [wanted] if isinstance(wanted, str) else wanted
        return self.instrument_name in (None, it.name) and any(
            is_among(it, kind, name) for name in names
        )


class Private(Login):
    # orders

    @method('private/buy', does='place')
    def buy(self, session: Session, it: _Placed) -> Row:
        return self._place('buy', session, it)

    @method('private/sell', does='place')
    def sell(self, session: Session, it: _Placed) -> Row:
        return self._place('sell', session, it)

    def _place(self, direction: Direction, session: Session, it: _Placed) -> Row:
        instrument = self.engine.instrument(it.instrument_name)
        self._check_deadline(it)
        if (it.type == 'limit') != (it.price is not None):
            raise Refusal('bad_params', 'price only limit orders have one')
        state = self.state(session)
        order, fills = self.exchange.place(
            self.account(session),
            instrument.name,
            direction,
            it.amount_of(instrument),
            it.price,
            post_only=bool(it.post_only) and _TIMES[it.time_in_force] == 'gtc',
            slide=not it.reject_post_only,
            client_id=it.label,
            time_in_force=_TIMES[it.time_in_force],
            reduce_only=it.reduce_only,
            cancel_on_disconnect=state.cancels,
        )
        if state.cancels:
            state.placed.append(order)
        return self._placed(order, fills)

    def _check_deadline(self, it: _Change) -> None:
        if it.valid_until is not None and it.valid_until < self.engine.clock.now():
            raise Refusal('too_late')

    def _placed(self, order: Order, fills: list[Fill]) -> Row:
        row = self._order(order)
        if self.engine.traits['fills'] == 'stream' and fills:
            row |= {'order_state': 'open', 'filled_amount': 0.0, 'average_price': 0.0}
            fills = []
        return {'order': row, 'trades': self._fills(order.account, fills)}

    def _order(self, order: Order) -> Row:
        return order_row(self.engine, order)

    def _fills(self, account: str, fills: Iterable[Fill]) -> list[Row]:
        orders = self.exchange.accounts[account].orders
        return [fill_row(self.engine, orders[it.order_id], it) for it in fills]

    @method('private/edit', 'private/edit_by_label', does='edit')
    def edit(self, session: Session, it: _Edited) -> Row:
        self._check_deadline(it)
        account = self.account(session)
        if it.order_id is not None:
            order = self.exchange.order(account, it.order_id)
        else:
            which = _Which(instrument_name=it.instrument_name, label=it.label)
            found = self._open(session, which)
            if len(found) != 1:
                raise Refusal('client_id_used' if found else 'order_not_found')
            order = found[0]
        edited, fills = self.exchange.edit(
            order,
            it.amount_of(self.engine.instrument(order.market)),
            it.price,
            post_only=it.post_only,
            slide=not it.reject_post_only,
            replaces=self.engine.traits['edit'] == 'replace',
        )
        return self._placed(edited, fills)

    @method('private/cancel', does='cancel')
    def cancel(self, session: Session, order_id: str) -> Row:
        order = self.exchange.order(self.account(session), order_id)
        self.exchange.cancel(order)
        return self._order(order)

    @method(
        'private/cancel_all',
        'private/cancel_all_by_instrument',
        'private/cancel_all_by_currency',
        'private/cancel_all_by_kind_or_type',
        'private/cancel_by_label',
        does='cancel',
    )
    def cancel_all(self, session: Session, it: _Which) -> Any:
        orders = self._open(session, it)
        for order in orders:
            self.exchange.cancel(order)
        return [self._order(order) for order in orders] if it.detailed else len(orders)

    def _open(self, session: Session, it: _Which) -> list[Order]:
        return [
            order
            for order in self.account(session).open_orders.values()
            if it.are_in(self.engine.known[order.market])
            and it.label in (None, order.client_id)
        ]

    @method(
        'private/get_open_orders',
        'private/get_open_orders_by_currency',
        'private/get_open_orders_by_instrument',
        'private/get_open_orders_by_label',
        does='open_orders',
    )
    def get_open_orders(self, session: Session, it: _Which) -> list[Row]:
        return [self._order(order) for order in self._open(session, it)]

    @method('private/get_order_state', does='order')
    def get_order_state(self, session: Session, order_id: str) -> Row:
        return self._order(self.exchange.order(self.account(session), order_id))

    @method('private/get_order_state_by_label', does='order')
    def get_order_state_by_label(self, session: Session, it: _Which) -> list[Row]:
        return [
            self._order(order)
            for order in self.account(session).by_client_id.get(it.label or '', [])
            if it.are_in(self.engine.known[order.market])
        ]

    @method(
        'private/get_order_history_by_currency',
        'private/get_order_history_by_instrument',
        does='order',
    )
    def get_order_history(self, session: Session, it: _Which) -> list[Row]:
        found = [
            order
            for order in self.account(session).orders.values()
            if order.state != 'open'
            and it.are_in(self.engine.known[order.market])
            and (order.filled or it.include_unfilled)
        ]
        page = found[::-1][it.offset : it.offset + (it.count or 20)]
        return [self._order(order) for order in page]

    @method(
        'private/get_user_trades_by_instrument',
        'private/get_user_trades_by_instrument_and_time',
        'private/get_user_trades_by_currency',
        'private/get_user_trades_by_currency_and_time',
        'private/get_user_trades_by_order',
        does='fills',
    )
    def get_user_trades(self, session: Session, it: _Which) -> Any:
        account = self.account(session)
        # ids are compared by when they were given: they rise in one market only
        given = {fill.trade_id: fill.timestamp for fill in account.fills}
        found = [
            fill
            for fill in account.fills
            if it.are_in(self.engine.known[fill.market])
            and it.order_id in (None, fill.order_id)
            and it.start_seq <= fill.trade_seq <= it.end_seq
            and it.start_timestamp <= fill.timestamp <= it.end_timestamp
            and given.get(_digits(it.start_id), 0) <= fill.timestamp
            and fill.timestamp <= given.get(_digits(it.end_id), 2**63)
        ]
        onwards = bool(it.start_seq or it.start_id or it.start_timestamp)
        if it.sorting == 'desc' or (it.sorting == 'default' and not onwards):
            found.reverse()
        page = found[: it.count or 10]
        rows = self._fills(account.key, page)
        if it.order_id is not None:
            return rows
        return {'trades': rows, 'has_more': len(found) > len(page)}

    # what an account has

    @method('private/get_positions', does='positions')
    def get_positions(self, session: Session, it: _Which) -> list[Row]:
        account = self.account(session)
        if self.engine.traits['positions'] == 'fills':
            return []
        return [
            position_row(self.engine, account, name)
            for name in account.positions
            if it.are_in(self.engine.known[name])
        ]

    @method('private/get_position', does='positions')
    def get_position(self, session: Session, instrument_name: str) -> Row:
        return position_row(self.engine, self.account(session), instrument_name)

    @method('private/get_account_summary', does='balances')
    def get_account_summary(
        self, session: Session, currency: str, extended: bool = False
    ) -> Row:
        account = self.account(session)
        row = portfolio_row(self.engine, account, currency)
        owner = owner_row(account) if extended else {}
        return row | {'limits': limits_row(self.server.limits)} | owner

    @method('private/get_account_summaries', does='balances')
    def get_account_summaries(self, session: Session) -> Row:
        account = self.account(session)
        rows = [
            portfolio_row(self.engine, account, name)
            | {'limits': limits_row(self.server.limits)}
            for name in self.engine.currencies()
        ]
        return owner_row(account) | {'summaries': rows}

    # channels

    def subscription(self, session: Session, channel: str) -> Subscription | None:
        words = channel.split('.')
        if words[0] != 'user':
            return super().subscription(session, channel)
        topics = _TOPICS.get(words[1], ()) if session.account else ()
        interval = self.interval(session, words[-1])
        which: dict[str, Any]
        match words[2:]:
            case [currency] if topics == ('balances',):
                which, interval = {'currency': currency}, 0.0
            case [name, _] if name in self.engine.instruments:
                which = {'instrument_name': name}
            case [kind, currency, _]:
                which = {'kind': kind, 'currency': currency}
            case _:
                return None
        if not topics or interval is None:
            return None
        return Subscription(
            session,
            channel,
            AccountNews,
            topics,
            account=session.account,
            interval=interval,
            filter=_Which(**which),
        )

    def first(self, it: Subscription) -> list[Row]:
        if it.topics != ('balances',):
            return super().first(it)
        account, names = self.account(it.session), self.engine.currencies()
        return self.tell(it, [AccountNews(account, [], [], [], names)])

    def news(self, it: Subscription, events: Any) -> list[Any]:
        if it.event is not AccountNews:
            return super().news(it, events)
        return [data for event in events for data in self._of_account(it, event)]

    def _of_account(self, it: Subscription, news: AccountNews) -> list[Any]:
        which: _Which = it.filter
        known, account = self.engine.known, news.account
        if it.topics == ('balances',):
            return [
                portfolio_row(self.engine, account, name)
                for name in news.currencies
                if which.currency in ('any', name.lower(), name)
            ]
        orders = [
            self._order(order)
            for order in news.orders
            if which.are_in(known[order.market])
        ]
        fills = self._fills(
            account.key,
            [fill for fill in news.fills if which.are_in(known[fill.market])],
        )
        if it.topics == ('fills',):
            return [fills] if fills else []
        if it.topics == ('orders',):
            return orders if not it.interval else [orders] if orders else []
        told = self.engine.traits['positions'] == 'venue'
        return [
            {
                'instrument_name': name,
                'orders': [row for row in orders if row['instrument_name'] == name],
                'trades': [row for row in fills if row['instrument_name'] == name],
                'positions': [
                    position_row(self.engine, account, held)
                    for held in news.markets
                    if told and held == name
                ],
            }
            for name in dict.fromkeys(
                [row['instrument_name'] for row in [*orders, *fills]] + news.markets
            )
            if which.are_in(known[name])
        ]


def _digits(trade_id: str) -> int:
    digits = trade_id.rpartition('-')[2]
    return int(digits) if digits.isdigit() else -1
