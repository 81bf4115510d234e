"""
`private/*`, the channels `user.*`, and more controls for tests.

A connection becomes an account's by
    public/auth     {grant_type: 'client_signature', client_id, timestamp: ms, nonce,
                    signature, data=''} -> {account}; the signature is the hexadecimal
                    HMAC-SHA256, keyed by the secret, of timestamp, nonce and data, one
                    a line (there is no newline at the end). A timestamp that is off by
                    more than 5 s is refused, and so is a nonce that was used before.

Private methods
    private/buy, sell           {instrument_name, amount, type: limit|market='limit',
                                price?, post_only=false, label=''} -> {order, trades};
                                an account uses a label once
    private/edit                {order_id, amount, price} -> {order, trades}; the amount
                                is the new total
    private/cancel              {order_id} -> order
    private/cancel_all          -> how many
    private/enable_cancel_on_disconnect
                                -> 'ok': orders placed on this connection from now on
                                are cancelled when it ends
    private/get_open_orders     {instrument_name?} -> [order]
    private/get_order_state     {order_id} or {label} -> order
    private/get_user_trades     {start_id?, limit=100} -> [user trade]: ascending from
                                the `user_seq` start_id, or else the newest
    private/get_positions       -> [{instrument_name, size, average_price}]: the net of
                                all trades, of spot markets too
    private/get_balances        -> [{currency, balance, available}]

Channels
    user.orders         {seq, orders: [order]}, in their new state
    user.trades         {seq, trades: [user trade]}
    user.positions      {seq, positions: [position]}

    order       order_id, label, instrument_name, direction, order_type,
                order_state: open|filled|cancelled, price (null: market), amount,
                filled_amount, average_price, post_only, creation_timestamp,
                last_update_timestamp, cancel_reason
    user trade  user_seq (1, 2, 3, ... per account), trade_id (as in `trades.*`),
                order_id, label, instrument_name, direction, price, amount, fee,
                fee_currency, liquidity: maker|taker, timestamp

What a request changes is told after its reply. An order that is marketable trades with
the book at once: up to ten prices of the market maker, and orders of other accounts
before him at the same price. One at rest is filled, at its own price, as trades of
others come to it. Fees are in the quote currency.

Errors: 10004 order_not_found; 10009 not_enough_funds; 11030 other_reject; 11044
not_open_order; 11054 post_only_reject; 13004 invalid_credentials; 13009 unauthorized.

Controls
    sim/depth       {instrument_name, amount?, levels=1}: the market maker bids and
                    offers `amount` at so many prices each; without it, as usual
    sim/order       {account, direction, ...as private/buy}: an order from elsewhere
    sim/account     {account} -> {orders, trades, positions, balances}, all there are

The accounts are in the environment: SIMVENUE_ACCOUNTS, a JSON object of
{key: {secret, balances?: {currency: decimal string}}}; by default there is one with the
key `simkey` and the secret `simsecret`.
"""

from __future__ import annotations

import hmac
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..accounts import Account, Credentials
from ..exchange import (
    ORDER_NOT_FOUND,
    BalanceView,
    Exchange,
    OrderReply,
    OrderView,
    PositionView,
    UserTrade,
)
from ..matching import Order, OrderType
from ..server import (
    INVALID_PARAMS,
    UNKNOWN_CHANNEL,
    Channels,
    Method,
    RpcError,
    Session,
    Venue,
)
from ..source import Direction

INVALID_CREDENTIALS = 13004
UNAUTHORIZED = 13009

_MAX_SKEW = 5000

Positive = Annotated[float, Meta(gt=0)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Label = Annotated[str, Meta(max_length=64)]


class Logins:
    """
    Which connection is which account's.
    """

    def __init__(self, venue: Venue, credentials: dict[str, Credentials]) -> None:
        self._clock = venue.clock
        self._credentials = credentials
        self._nonces: dict[tuple[str, str], int] = {}
        self._keys: dict[Session, str] = {}

    def auth(
        self,
        session: Session,
        grant_type: Literal['client_signature'],
        client_id: str,
        timestamp: int,
        nonce: Annotated[str, Meta(min_length=1, max_length=64)],
        signature: str,
        data: str = '',
    ) -> dict[str, str]:
        credentials = self._credentials.get(client_id)
        secret = credentials.secret if credentials else ''
        signed = f'{timestamp}\n{nonce}\n{data}'
        expected = hmac.new(secret.encode(), signed.encode(), 'sha256').hexdigest()
        if not (credentials and hmac.compare_digest(expected, signature)):
            raise _refusal('unknown key, or wrong signature')
        now = self._clock.now()
        if abs(timestamp - now) > _MAX_SKEW:
            raise _refusal(f'the timestamp is off by {timestamp - now} ms')
        if (client_id, nonce) in self._nonces:
            raise _refusal('the nonce was used before')
        # older ones are refused by their timestamp
        self._nonces = {
            used: when for used, when in self._nonces.items() if when >= now - _MAX_SKEW
        }
        self._nonces[client_id, nonce] = timestamp
        self._keys[session] = client_id
        session.on_close.append(lambda: self._keys.pop(session, None))
        return {'account': client_id}

    def key(self, session: Session) -> str:
        """
        The account's key. Raises `RpcError` where the connection has none.
        """
        try:
            return self._keys[session]
        except KeyError:
            raise RpcError(UNAUTHORIZED, 'unauthorized') from None


def _refusal(why: str) -> RpcError:
    return RpcError(INVALID_CREDENTIALS, f'invalid_credentials: {why}')


def _placer(direction: Direction) -> Callable[..., OrderReply]:
    def place(
        self: Private,
        session: Session,
        instrument_name: str,
        amount: Positive,
        type: OrderType = 'limit',
        price: Positive | None = None,
        post_only: bool = False,
        label: Label = '',
    ) -> OrderReply:
        bound = self._bound.get(session)
        order, fills = self._exchange.place(
            self._account(session),
            self._venue.market(instrument_name),
            direction,
            amount,
            price,
            order_type=type,
            post_only=post_only,
            label=label,
            cancel_on_disconnect=bound is not None,
        )
        if bound is not None:
            bound.append(order)
        return self._exchange.reply(order, fills)

    return place


class Private:
    def __init__(self, venue: Venue, exchange: Exchange, logins: Logins) -> None:
        self._venue = venue
        self._exchange = exchange
        self._logins = logins
        self._bound: dict[Session, list[Order]] = {}
        """The orders that end with a connection."""

    def _account(self, session: Session) -> Account:
        return self._exchange.accounts[self._logins.key(session)]

    def _order(self, session: Session, order_id: str) -> Order:
        try:
            return self._account(session).orders[order_id]
        except KeyError:
            raise RpcError(ORDER_NOT_FOUND, 'order_not_found') from None

    buy = _placer('buy')
    sell = _placer('sell')

    def edit(
        self,
        session: Session,
        order_id: str,
        amount: Positive,
        price: Positive,
    ) -> OrderReply:
        order = self._order(session, order_id)
        fills = self._exchange.edit(order, amount, price)
        return self._exchange.reply(order, fills)

    def cancel(self, session: Session, order_id: str) -> OrderView:
        order = self._order(session, order_id)
        self._exchange.cancel(order)
        return self._exchange.order_view(order)

    def cancel_all(self, session: Session) -> int:
        orders = list(self._account(session).open_orders.values())
        for order in orders:
            self._exchange.cancel(order)
        return len(orders)

    def enable_cancel_on_disconnect(self, session: Session) -> str:
        self._account(session)

        def disconnected() -> None:
            for order in self._bound.pop(session, ()):
                if order.state == 'open':
                    self._exchange.cancel(order, 'disconnected')

        if session not in self._bound:
            self._bound[session] = []
            session.on_close.append(disconnected)
        return 'ok'

    def get_open_orders(
        self,
        session: Session,
        instrument_name: str | None = None,
    ) -> list[OrderView]:
        return [
            self._exchange.order_view(order)
            for order in self._account(session).open_orders.values()
            if instrument_name in (None, order.instrument)
        ]

    def get_order_state(
        self,
        session: Session,
        order_id: str = '',
        label: Label = '',
    ) -> OrderView:
        if label:
            order = self._account(session).labels.get(label)
            order_id = order.order_id if order else ''
        return self._exchange.order_view(self._order(session, order_id))

    def get_user_trades(
        self,
        session: Session,
        start_id: Annotated[int, Meta(ge=1)] | None = None,
        limit: Limit = 100,
    ) -> list[UserTrade]:
        fills = self._account(session).fills
        start = max(0, len(fills) - limit) if start_id is None else start_id - 1
        return [self._exchange.trade_view(it) for it in fills[start : start + limit]]

    def get_positions(self, session: Session) -> list[PositionView]:
        return self._exchange.position_views(self._account(session))

    def get_balances(self, session: Session) -> list[BalanceView]:
        return self._exchange.balance_views(self._account(session))


class Controls:
    def __init__(self, venue: Venue, exchange: Exchange) -> None:
        self._venue = venue
        self._exchange = exchange

    def _account(self, key: str) -> Account:
        try:
            return self._exchange.accounts[key]
        except KeyError:
            raise RpcError(
                INVALID_PARAMS, f'Invalid params: no account {key}'
            ) from None

    def depth(
        self,
        session: Session,
        instrument_name: str,
        amount: Annotated[float, Meta(ge=0)] | None = None,
        levels: Annotated[int, Meta(ge=1, le=1000)] = 1,
    ) -> str:
        market = self._venue.market(instrument_name)
        try:
            steps = None if amount is None else market.amounts.count(amount)
        except ValueError as err:
            raise RpcError(INVALID_PARAMS, f'Invalid params: {err}') from None
        self._exchange.books[instrument_name].set_depth(steps, levels)
        market.requote()
        return 'ok'

    def order(
        self,
        session: Session,
        account: str,
        instrument_name: str,
        direction: Direction,
        amount: Positive,
        type: OrderType = 'limit',
        price: Positive | None = None,
        post_only: bool = False,
        label: Label = '',
    ) -> OrderReply:
        order, fills = self._exchange.place(
            self._account(account),
            self._venue.market(instrument_name),
            direction,
            amount,
            price,
            order_type=type,
            post_only=post_only,
            label=label,
        )
        return self._exchange.reply(order, fills)

    def account(self, session: Session, account: str) -> dict[str, Any]:
        it = self._account(account)
        return {
            'orders': [
                self._exchange.order_view(order) for order in it.orders.values()
            ],
            'trades': [self._exchange.trade_view(fill) for fill in it.fills],
            'positions': self._exchange.position_views(it),
            'balances': self._exchange.balance_views(it),
        }


def install(venue: Venue) -> None:
    accounts = os.environ.get(
        'SIMVENUE_ACCOUNTS', '{"simkey": {"secret": "simsecret"}}'
    )
    try:
        credentials = msgspec.json.decode(accounts, type=dict[str, Credentials])
    except msgspec.DecodeError as err:
        sys.exit(f'simvenue: SIMVENUE_ACCOUNTS: {err}')
    exchange = Exchange(
        venue,
        {key: Account(key, it.balances) for key, it in credentials.items()},
    )
    logins = Logins(venue, credentials)

    def topic(session: Session, channel: str) -> str:
        if channel not in ('user.orders', 'user.trades', 'user.positions'):
            raise RpcError(UNKNOWN_CHANNEL, f'unknown_channel: {channel}')
        return f'{channel} {logins.key(session)}'

    venue.methods['public/auth'] = Method(logins.auth)
    venue.expose('private', Private(venue, exchange, logins))
    venue.expose('sim', Controls(venue, exchange))
    venue.channels['user'] = Channels(topic)
