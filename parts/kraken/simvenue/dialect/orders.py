"""
The life of orders, by HTTP and by WebSocket.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import trio
from msgspec import Meta, Struct

from ..accounts import Account
from ..matching import Order, TimeInForce
from ..methods import method
from ..refusals import Refusal
from ..reports import Direction
from ..session import Session
from .listing import amend_id
from .login import Login
from .messages import Row, iso
from .private_messages import described, order_row
from .requests import Each

Positive = Annotated[float, Meta(gt=0)]
Deadline = Annotated[datetime, Meta(tz=True)]
ClientId = Annotated[str, Meta(pattern=r'^(.{0,18}|[\da-fA-F]{32}|[\da-fA-F-]{36})$')]
"""A text, or a UUID."""
_TIMES: dict[str, TimeInForce] = {'gtc': 'gtc', 'ioc': 'ioc', 'fok': 'fok'}
Ages = tuple[tuple[float, float], ...]
_AMEND: Ages = ((5, 3), (10, 2), (15, 1))
_EDIT: Ages = ((5, 6), (10, 5), (15, 4), (45, 2), (90, 1))
_CANCEL: Ages = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
"""What it costs to change an order that is younger than so many seconds."""
_MOST = 50
"""Orders in one request."""


class _Terms(Struct, kw_only=True):
    """
    What an order is to be.
    """

    side: Direction
    kind: Literal['limit', 'market']
    amount: Positive
    price: Positive | None = None
    time_in_force: Literal['gtc', 'ioc', 'fok', 'GTC', 'IOC', 'FOK'] = 'gtc'
    post_only: bool = False
    client_id: ClientId = ''
    group: int = 0
    deadline: Deadline | None = None


class _Added(_Terms, kw_only=True):
    pair: str = ''
    symbol: str = ''
    token: str = ''
    oflags: str = ''
    validate: bool = False

    def __post_init__(self) -> None:
        flags = set(filter(None, self.oflags.split(',')))
        if flags - {'post', 'fciq', 'nompp'}:
            raise Refusal('bad_params', 'oflags')
        self.post_only = self.post_only or 'post' in flags


class _Change(Struct, kw_only=True):
    """
    What an order is to be instead.
    """

    order_id: str = ''
    client_id: str = ''
    amount: Positive | None = None
    price: Positive | None = None
    post_only: bool | None = None
    deadline: Deadline | None = None
    oflags: str | None = None
    token: str = ''

    def __post_init__(self) -> None:
        if self.oflags is not None:
            self.post_only = 'post' in self.oflags.split(',')


class _Cancelled(Struct, kw_only=True):
    """
    Which orders, by WebSocket.
    """

    order_id: list[str] = []
    orders: list[str] = []
    client_id: list[str] = []
    group: list[int] = []
    token: str = ''


class Orders(Login):
    # the life of an order

    def _charge(
        self, account: Account, market: str, fixed: float, extra: float = 0
    ) -> None:
        """
        Count a request of the matching engine; what is fixed, even if there are too
        many. Raises `Refusal`.
        """
        now = trio.current_time()
        bucket = self.bucket('order', account.key, market)
        if bucket.left(now) < fixed + extra:
            bucket.spend(now, fixed)
            raise Refusal('too_many')
        bucket.spend(now, fixed + extra)

    def _cost(self, order: Order, ages: Ages) -> float:
        age = (self.engine.clock.now() - order.created) / 1000
        return next((cost for limit, cost in ages if age < limit), 0)

    def _check_deadline(self, deadline: datetime | None) -> None:
        if deadline is None:
            return
        left = deadline.timestamp() - self.engine.clock.now() / 1000
        if left < 0:
            raise Refusal('too_late')
        if left > 60:
            raise Refusal('bad_params', 'deadline')

    def _place(self, account: Account, market: str, it: _Terms) -> Order:
        self._check_deadline(it.deadline)
        price = it.price if it.kind == 'limit' else None
        if it.kind == 'limit' and price is None:
            raise Refusal('bad_params', 'price')
        if it.client_id and it.group:
            raise Refusal('bad_params', 'cl_ord_id')
        self._charge(account, market, 1)
        order, _ = self.exchange.place(
            account,
            market,
            it.side,
            it.amount,
            price,
            post_only=it.post_only,
            client_id=it.client_id,
            group=it.group,
            time_in_force=_TIMES[it.time_in_force.lower()],
        )
        return order

    def _change(self, order: Order, it: _Change, replaces: bool) -> Order:
        self._check_deadline(it.deadline)
        order.require_open()
        account, market = self.exchange.accounts[order.account], order.market
        extra = self._cost(order, _EDIT if replaces else _AMEND)
        self._charge(account, market, 1, extra)
        amounts = self.engine.market(market).amounts
        amount = amounts.value(order.amount) if it.amount is None else it.amount
        if not replaces and Decimal(str(amount)) <= order.filled * amounts.step:
            self.exchange.cancel(order)
            return order
        edited, _ = self.exchange.edit(
            order,
            amount,
            it.price,
            post_only=it.post_only,
            replaces=replaces or self.engine.traits['edit'] == 'replace',
        )
        return edited

    def _cancel(self, orders: Iterable[Order]) -> int:
        """
        Returns how many there were. Raises `Refusal` where there is none.
        """
        found = [order for order in orders if order.state == 'open']
        if not found:
            raise Refusal('order_not_found')
        for order in found:
            bucket = self.bucket('order', order.account, order.market)
            bucket.spend(trio.current_time(), self._cost(order, _CANCEL))
            self.exchange.cancel(order)
        return len(found)

    def _find(self, account: Account, order_id: str, client_id: str = '') -> Order:
        """
        Raises `Refusal`.
        """
        if order_id:
            return self.exchange.order(account, order_id)
        for order in account.by_client_id.get(client_id, []):
            if order.state == 'open':
                return order
        raise Refusal('order_not_found', client_id)

    def _cancel_after(self, account: Account, seconds: int) -> Row:
        now = self.engine.clock.now()
        self.exchange.cancel_after(account, seconds)
        until = iso(now + 1000 * seconds) if seconds else '0'
        return {'currentTime': iso(now), 'triggerTime': until}

    # by HTTP

    @method('private/AddOrder', does='place')
    def add_order(self, session: Session, it: _Added) -> Row:
        market, account = self.pair(it.pair), self.account(session)
        if it.validate:
            self.engine.market(market.name).check_order(it.amount, it.price)
            return {'descr': {'order': f'{it.side} {it.amount} {it.pair}'}}
        order = self._place(account, market.name, it)
        row = {'descr': described(market, order), 'txid': [order.order_id]}
        return row | {'cl_ord_id': it.client_id} if it.client_id else row

    @method('private/AmendOrder', does='edit')
    def amend_order(self, session: Session, it: _Change) -> Row:
        order = self._find(self.account(session), it.order_id, it.client_id)
        edited = self._change(order, it, False)
        return {'amend_id': amend_id(edited.order_id, edited.updated)}

    @method('private/EditOrder', does='edit')
    def edit_order(self, session: Session, it: _Change) -> Row:
        old = self._find(self.account(session), it.order_id)
        new = self._change(old, it, True)
        row = described(self.engine.known[new.market], new)
        return {
            'status': 'ok',
            'txid': new.order_id,
            'originaltxid': old.order_id,
            'volume': order_row(self.engine, new)['vol'],
            'price': row['price'],
            'orders_cancelled': 1,
            'descr': {'order': row['order']},
        }

    @method('private/CancelOrder', does='cancel')
    def cancel_order(
        self, session: Session, order_id: str = '', client_id: str = ''
    ) -> Row:
        account = self.account(session)
        if order_id.isdigit():
            group = int(order_id)
            orders = [it for it in account.open_orders.values() if it.group == group]
        else:
            orders = [self._find(account, order_id, client_id)]
        return {'count': self._cancel(orders)}

    @method('private/CancelAll', does='cancel')
    def cancel_all(self, session: Session) -> Row:
        orders = list(self.account(session).open_orders.values())
        return {'count': self._cancel(orders) if orders else 0}

    @method('private/CancelAllOrdersAfter', does='cancel_after')
    def cancel_all_orders_after(self, session: Session, timeout: int) -> Row:
        return self._cancel_after(self.account(session), timeout)

    # by WebSocket

    @method('v2/add_order', does='place')
    def add_order_by_socket(self, session: Session, it: _Added) -> Row:
        account = self.account(session, it.token)
        market = self.engine.instrument(it.symbol).name
        return _placed(self._place(account, market, it))

    @method('v2/batch_add', does='place')
    def batch_add(
        self,
        session: Session,
        symbol: str,
        orders: Annotated[list[_Added], Meta(min_length=2, max_length=15)],
        deadline: datetime | None = None,
        token: str = '',
    ) -> Row:
        account, market = self.account(session, token), self.engine.instrument(symbol)
        self._check_deadline(deadline)
        rows: list[Row] = []
        for it in orders:
            try:
                placed = self._place(account, market.name, it)
                rows.append({**_placed(placed), 'success': True})
            except Refusal as refusal:
                error = self.explain(refusal, 'place')
                rows.append(
                    {'cl_ord_id': it.client_id, 'success': False, 'error': error}
                )
        return {'orders': rows}

    @method('v2/amend_order', does='edit')
    def amend_order_by_socket(self, session: Session, it: _Change) -> Row:
        order = self._find(self.account(session, it.token), it.order_id, it.client_id)
        edited = self._change(order, it, False)
        row = {
            'amend_id': amend_id(edited.order_id, edited.updated),
            'order_id': edited.order_id,
        }
        return row | {'cl_ord_id': edited.client_id} if it.client_id else row

    @method('v2/edit_order', does='edit')
    def edit_order_by_socket(self, session: Session, it: _Change) -> Row:
        old = self._find(self.account(session, it.token), it.order_id)
        new = self._change(old, it, True)
        return {'order_id': new.order_id, 'original_order_id': old.order_id}

    @method('v2/cancel_order', does='cancel')
    def cancel_order_by_socket(self, session: Session, it: _Cancelled) -> Any:
        account = self.account(session, it.token)
        acks = Each()
        for order_id, client_id in [
            *((each, '') for each in it.order_id),
            *(('', each) for each in it.client_id),
        ]:
            ids = {'order_id': order_id} if order_id else {'cl_ord_id': client_id}
            try:
                order = self._find(account, order_id, client_id)
                self._cancel([order])
                acks.append(ids | {'order_id': order.order_id})
            except Refusal as refusal:
                acks.append(ids | {'error': self.explain(refusal, 'cancel')})
        for order in list(account.open_orders.values()):
            if order.group in it.group:
                self._cancel([order])
                acks.append({'order_id': order.order_id})
        if not acks:
            raise Refusal('order_not_found')
        return acks

    @method('v2/batch_cancel', does='cancel')
    def batch_cancel(self, session: Session, it: _Cancelled) -> Row:
        account = self.account(session, it.token)
        ids = [
            *((each, '') for each in it.orders),
            *(('', each) for each in it.client_id),
        ]
        if not 2 <= len(ids) <= _MOST:
            raise Refusal('bad_params', 'orders')
        return {'count': self._cancel([self._find(account, *each) for each in ids])}

    @method('v2/cancel_all', does='cancel')
    def cancel_all_by_socket(self, session: Session, token: str = '') -> Row:
        orders = list(self.account(session, token).open_orders.values())
        return {'count': self._cancel(orders) if orders else 0}

    @method('v2/cancel_all_orders_after', does='cancel_after')
    def cancel_all_after_by_socket(
        self, session: Session, timeout: int, token: str = ''
    ) -> Row:
        return self._cancel_after(self.account(session, token), timeout)


def _placed(order: Order) -> Row:
    row: Row = {'order_id': order.order_id, 'order_userref': order.group}
    return row | {'cl_ord_id': order.client_id} if order.client_id else row
