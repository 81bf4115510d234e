"""
What an account has: its orders and trades, by HTTP, its balances, and its channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from msgspec import Struct

from ..accounts import Account, AccountNews, Fill
from ..matching import Order
from ..methods import method
from ..refusals import Refusal
from ..session import Session, Subscription
from .listing import asset_id, trade_id
from .messages import Row
from .orders import Orders
from .private_messages import (
    balance_row,
    balance_text,
    execution,
    fill_row,
    ledger_rows,
    of_trade,
    order_row,
)
from .public import Channel, said

_PAGE = 50
_CHANNELS = ('executions', 'balances')


class _Page(Struct, kw_only=True):
    """
    Which orders or trades.
    """

    trades: bool = False
    group: int | None = None
    client_id: str | None = None
    start: str = ''
    end: str = ''
    ofs: int = 0
    closetime: Literal['open', 'close', 'both'] = 'both'

    def wants(self, order: Order) -> bool:
        return self.group in (None, order.group) and self.client_id in (
            None,
            order.client_id,
        )


class _Account(Struct):
    """
    What a subscriber has heard.
    """

    asked: Channel
    sequence: int = 0
    known: dict[str, tuple[int, int | None]] = {}
    """Orders, by id: their amounts and prices."""


class Private(Orders):
    @method('private/OpenOrders', does='open_orders')
    def open_orders(self, session: Session, it: _Page) -> Row:
        account = self.account(session)
        return {
            'open': {
                order.order_id: self._order(account, order, it.trades)
                for order in account.open_orders.values()
                if it.wants(order)
            }
        }

    def _order(self, account: Account, order: Order, trades: bool) -> Row:
        if not trades:
            return order_row(self.engine, order)
        fills = [it for it in account.fills if it.order_id == order.order_id]
        return order_row(self.engine, order, fills)

    @method('private/ClosedOrders', does='order')
    def closed_orders(self, session: Session, it: _Page) -> Row:
        account = self.account(session)
        times = {key: order.updated for key, order in account.orders.items()}
        if it.closetime == 'open':
            times = {key: order.created for key, order in account.orders.items()}
        start, end = _between(it, times)
        found = [
            order
            for key, order in account.orders.items()
            if order.state != 'open' and it.wants(order) and start < times[key] <= end
        ]
        found.sort(key=lambda order: -times[order.order_id])
        page = found[it.ofs : it.ofs + _PAGE]
        closed = {each.order_id: self._order(account, each, it.trades) for each in page}
        return {'closed': closed, 'count': len(found)}

    @method('private/QueryOrders', does='order')
    def query_orders(
        self, session: Session, order_id: str | list[str], trades: bool = False
    ) -> Row:
        account = self.account(session)
        wanted = order_id.split(',') if isinstance(order_id, str) else order_id
        if len(wanted) > _PAGE:
            raise Refusal('bad_params', 'txid')
        orders = [self.exchange.order(account, each) for each in wanted]
        return {it.order_id: self._order(account, it, trades) for it in orders}

    @method('private/TradesHistory', does='fills')
    def trades_history(self, session: Session, it: _Page) -> Row:
        account = self.account(session)
        times = {}
        if not (it.start + it.end).replace('.', '').isdigit():
            times = {self._fill_id(account, it): it.timestamp for it in account.fills}
        start, end = _between(it, times)
        found = [each for each in account.fills if start < each.timestamp <= end]
        page = found[::-1][it.ofs : it.ofs + _PAGE]
        rows = {
            self._fill_id(account, each): self._fill(account, each) for each in page
        }
        return {'trades': rows, 'count': len(found)}

    @method('private/QueryTrades', does='fills')
    def query_trades(self, session: Session, order_id: str | list[str]) -> Row:
        account = self.account(session)
        wanted = order_id.split(',') if isinstance(order_id, str) else order_id
        found = {
            key: self._fill(account, it)
            for it in account.fills
            if (key := self._fill_id(account, it)) in wanted
        }
        if len(wanted) > 20 or len(found) < len(wanted):
            raise Refusal('bad_params', 'txid')
        return found

    def _fill_id(self, account: Account, fill: Fill) -> str:
        return trade_id(account.number, fill.seq)

    def _fill(self, account: Account, fill: Fill) -> Row:
        return fill_row(self.engine, account, fill, self.numbered)

    @method('private/OpenPositions', does='positions')
    def open_positions(self, session: Session) -> Row:
        self.account(session)
        return {}

    @method('private/Balance', does='balances')
    def balance(self, session: Session) -> Row:
        account = self.account(session)
        return {
            asset_id(name): balance_text(amount)
            for name, amount in account.balances.items()
        }

    @method('private/BalanceEx', does='balances')
    def balance_ex(self, session: Session) -> Row:
        account = self.account(session)
        return {
            asset_id(name): {
                'balance': balance_text(amount),
                'hold_trade': balance_text(account.bound(name)),
            }
            for name, amount in account.balances.items()
        }

    # channels

    def is_whole(self, channel: str) -> bool:
        return channel in _CHANNELS or super().is_whole(channel)

    def subscription(
        self, session: Session, it: Channel, markets: tuple[str, ...]
    ) -> Subscription:
        if it.channel not in _CHANNELS:
            return super().subscription(session, it, markets)
        key = self.account(session, it.token).key
        return Subscription(
            session,
            it.channel,
            AccountNews,
            ('orders', 'fills') if it.channel == 'executions' else ('balances',),
            account=key,
            filter=_Account(it),
        )

    def ack(self, found: Subscription, it: Channel, snapshot: bool) -> Row:
        row = super().ack(found, it, snapshot)
        if it.channel == 'executions':
            row['maxratecount'] = int(self.server.limits['order_burst'])
        return row

    def first(self, found: Subscription, it: Channel) -> list[Row]:
        if it.channel not in _CHANNELS:
            return super().first(found, it)
        account = self.exchange.accounts[found.session.account]
        if it.channel == 'balances':
            rows = [balance_row(account, name) for name in account.balances]
            return [self._numbered_news(found, rows, 'snapshot')]
        rows = []
        if it.snap_orders:
            rows += [self._now(order, 'new') for order in account.open_orders.values()]
        if it.snap_trades:
            rows += self._last_trades(account)
        known = found.filter.known
        known.update({key: _terms(it) for key, it in account.open_orders.items()})
        return [self._numbered_news(found, rows, 'snapshot')]

    def _numbered_news(
        self, it: Subscription, rows: list[Row], kind: str = 'update'
    ) -> Row:
        it.filter.sequence += 1
        return said(it.channel, rows, kind) | {'sequence': it.filter.sequence}

    def tell(self, it: Subscription, events: Sequence[Any]) -> list[Row]:
        if it.event is not AccountNews:
            return super().tell(it, events)
        told = []
        for news in events:
            if it.channel == 'balances':
                rows = [
                    row
                    for fill in news.fills
                    for row in ledger_rows(self.engine, news.account, fill)
                ]
                if rows:
                    told.append(self._numbered_news(it, rows))
                continue
            # each event is a message of its own
            told += [
                self._numbered_news(it, [row])
                for row in self._executions(it.filter, news)
            ]
        return told

    def _executions(self, subscriber: _Account, news: AccountNews) -> list[Row]:
        rows = []
        for order in news.orders:
            fills = [it for it in news.fills if it.order_id == order.order_id]
            filled = order.filled - sum(it.amount for it in fills)
            turnover = order.turnover - sum(it.price * it.amount for it in fills)
            before = subscriber.known.get(order.order_id)
            status = 'partially_filled' if filled else 'new'
            state = partial(execution, self.engine, order)
            if before is None:
                rows += [
                    state(kind, kind, filled, turnover, order.created)
                    for kind in ('pending_new', 'new')
                ]
            elif before != _terms(order):
                rows.append(state('amended', status, filled, turnover, order.updated))
            for fill in fills:
                filled += fill.amount
                turnover += fill.price * fill.amount
                rows.append(self._trade(news.account, fill, filled, turnover))
            if order.state == 'open':
                subscriber.known[order.order_id] = _terms(order)
                continue
            subscriber.known.pop(order.order_id, None)
            kind = 'filled' if order.state == 'filled' else 'canceled'
            rows.append(self._now(order, kind))
        return rows

    def _now(self, order: Order, kind: str) -> Row:
        """
        An order as it is.
        """
        status = 'partially_filled' if kind == 'new' and order.filled else kind
        return execution(
            self.engine,
            order,
            kind,
            status,
            order.filled,
            order.turnover,
            order.updated,
        )

    def _trade(self, account: Account, fill: Fill, filled: int, turnover: int) -> Row:
        """
        A trade, with what was filled of its order by then.
        """
        order = account.orders[fill.order_id]
        status = 'filled' if filled == order.amount else 'partially_filled'
        row = execution(
            self.engine, order, 'trade', status, filled, turnover, fill.timestamp
        )
        return row | of_trade(self.engine, account, fill, self.numbered)

    def _last_trades(self, account: Account) -> list[Row]:
        rows = []
        filled: Counter[str] = Counter()
        turnover: Counter[str] = Counter()
        for fill in account.fills:
            key = fill.order_id
            filled[key] += fill.amount
            turnover[key] += fill.price * fill.amount
            if fill.seq > len(account.fills) - _PAGE:
                rows.append(self._trade(account, fill, filled[key], turnover[key]))
        return rows


def _terms(order: Order) -> tuple[int, int | None]:
    return order.amount, order.price


def _between(it: _Page, times: Mapping[str, float]) -> tuple[float, float]:
    """
    After which time, and until which (ms): either is said in seconds, or by the id of
    what was then. Raises `Refusal`.
    """

    def time_of(name: str, text: str, default: float) -> float:
        try:
            return times[text] if text in times else 1000 * float(text or default)
        except ValueError:
            raise Refusal('bad_params', name) from None

    return time_of('start', it.start, -1), time_of('end', it.end, 2**53)
