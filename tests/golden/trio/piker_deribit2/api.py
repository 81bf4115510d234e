"""
The venue's API: JSON-RPC 2.0 over one WebSocket.
"""

from __future__ import annotations

import hmac
import math
import os
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from decimal import Decimal
from itertools import count
from typing import Any, Literal, NoReturn, TypeVar

import msgspec
import trio
from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketConnection,
    connect_websocket_url,
)
from wsproto.utilities import ProtocolError

from ._config import NAME
from ._piker import (
    Asset,
    BrokerError,
    DataThrottle,
    Struct,
    SymbolNotFound,
    config,
    get_logger,
    open_nursery,
)

T = TypeVar('T')

log = get_logger(f'{NAME}.api')

# TODO: the venue's own limits, from its API documentation.
_heartbeat: float = 10
"""
Seconds between heartbeats. After twice that without a word, or without a reply to some
request, a connection is lost.
"""
_max_in_flight: int = 64
"""Requests that may wait for their replies at a time."""
_max_attempts: int = 5
"""How often to make a request that was lost or came at a bad time."""
_min_backoff: float = 0.1
_max_backoff: float = 10
"""The pause before a new connection doubles from one to the other, s..."""
_stable: float = 1
"""... and starts over with a connection that lasts this long, s."""
_connect_timeout: float = 10
"""Seconds that a connection may take to open."""
_patience: float = 30
"""How long a request waits for a connection, s."""
_max_unread: int = 2**14
"""Messages that wait for a slow consumer of a channel before it is cut off."""
_min_pause: float = 0.05
"""The pause that the venue asks for is at least this long, s..."""
_max_pause: float = 60
"""... and at most this, whatever it says."""
_usual_pause: float = 1
"""The pause where the venue does not say how long, s."""


class ConnectionLost(BrokerError):
    """
    The connection broke down, or what came over it made no sense.
    """


class NotConnected(ConnectionLost):
    """
    There is no connection, and has not been for a while.
    """


class Overrun(BrokerError):
    """
    The consumer of a channel was too slow, and has missed messages.
    """


class Throttled(DataThrottle):
    """
    The venue does not take requests just now; this one was not carried out.
    """

    def __init__(self, message: str, pause: float) -> None:
        super().__init__(message)
        self.pause = pause
        """Seconds until the next attempt."""


# TODO: the codes by which the venue says "not now": too many requests, maintenance.
_not_now: dict[int, str] = {
    10028: 'too many requests',
    13028: 'temporarily unavailable',
}


class AuthError(BrokerError):
    """
    The venue does not accept the credentials, or there are none.
    """


class OrderRejected(BrokerError):
    """
    The venue refuses an order, or has none of that name.
    """


# TODO: the venue's own error codes.
_errors: dict[int, type[BrokerError]] = {
    10004: OrderRejected,  # order_not_found
    10009: OrderRejected,  # not_enough_funds
    11030: OrderRejected,  # other_reject
    11044: OrderRejected,  # not_open_order
    11050: SymbolNotFound,
    11054: OrderRejected,  # post_only_reject
    13004: AuthError,  # invalid_credentials
    13009: AuthError,  # unauthorized
}


class Pair(Struct, frozen=True):
    """
    A market, as the venue describes it. Prices are in the quote currency, amounts in
    the base currency.

    Decimals stay the strings that they are on the wire: a symbology cache is written
    as TOML, which would make them floats.
    """

    # TODO: the fields of the venue's own schema; none of them may be None.
    instrument_name: str
    kind: Literal['spot', 'perp']
    base_currency: str
    quote_currency: str
    tick_size: str
    amount_step: str
    min_trade_amount: str
    is_active: bool
    maker_fee: str
    taker_fee: str
    creation_timestamp: int
    """Epoch ms."""

    ns_path: str = f'{__name__}:Pair'
    """Where a symbology cache that is read from a file finds this type."""

    @property
    def bs_mktid(self) -> str:
        return self.instrument_name

    @property
    def bs_fqme(self) -> str:
        return f'{self.base_currency}{self.quote_currency}.{self.venue}'.lower()

    @property
    def venue(self) -> str:
        return self.kind

    @property
    def atype(self) -> str:
        return {'spot': 'crypto', 'perp': 'perpetual_future'}[self.kind]


class Ticker(Struct, frozen=True):
    instrument_name: str
    timestamp: int
    """Epoch ms, as everywhere in this module."""
    last_price: float
    best_bid_price: float
    best_bid_amount: float
    best_ask_price: float
    best_ask_amount: float
    volume_24h: float


class Candles(Struct, frozen=True):
    """
    OHLCV bars as columns of one length, ascending by the time at which they open.
    """

    time: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class Trade(Struct, frozen=True):
    trade_id: int
    """Ids of one market are contiguous."""
    timestamp: int
    price: float
    amount: float
    direction: Literal['buy', 'sell']
    """The side of the taker."""


class TradesMsg(Struct, frozen=True):
    """
    From the channel `trades.<instrument>`.
    """

    seq: int
    instrument_name: str
    trades: list[Trade]


class QuoteMsg(Struct, frozen=True):
    """
    The best bid and offer, from the channel `quote.<instrument>`.
    """

    seq: int
    instrument_name: str
    timestamp: int
    best_bid_price: float
    best_bid_amount: float
    best_ask_price: float
    best_ask_amount: float


class Reconnected(Struct, frozen=True):
    """
    The connection is a new one: what the channel said in between is missing.
    """


class Credentials:
    """
    An API key and its secret. They show themselves to nobody.
    """

    def __init__(self, key: str, secret: str) -> None:
        self.key = key
        self._secret = secret

    def __repr__(self) -> str:
        return 'Credentials(...)'

    def sign(self, message: str) -> str:
        return hmac.new(self._secret.encode(), message.encode(), 'sha256').hexdigest()


class Order(Struct, frozen=True):
    order_id: str
    label: str
    """Given by whoever placed it."""
    instrument_name: str
    direction: Literal['buy', 'sell']
    order_type: Literal['limit', 'market']
    order_state: Literal['open', 'filled', 'cancelled']
    price: float | None
    """None for a market order."""
    amount: float
    """In total, filled or not."""
    filled_amount: float
    average_price: float
    """Of what is filled; 0 where nothing is."""
    post_only: bool
    creation_timestamp: int
    last_update_timestamp: int
    cancel_reason: str


class UserTrade(Struct, frozen=True):
    """
    One of the account's own trades.
    """

    user_seq: int
    """Counts the account's trades: 1, 2, 3, ..."""
    trade_id: int
    """Of the `Trade` in the market."""
    order_id: str
    label: str
    instrument_name: str
    direction: Literal['buy', 'sell']
    price: float
    amount: float
    fee: float
    fee_currency: str
    liquidity: Literal['maker', 'taker']
    timestamp: int


class OrderReply(Struct, frozen=True):
    """
    An order as the venue took it, and the trades that came of it at once.
    """

    order: Order
    trades: list[UserTrade]


class Position(Struct, frozen=True):
    """
    The net of the account's trades in a market, spot or not.
    """

    instrument_name: str
    size: float
    """In base currency, negative when short."""
    average_price: float


class Balance(Struct, frozen=True):
    currency: str
    balance: float
    available: float
    """What no order and no position needs."""


class OrdersMsg(Struct, frozen=True):
    """
    The new state of orders, from the channel `user.orders`.
    """

    seq: int
    orders: list[Order]


class UserTradesMsg(Struct, frozen=True):
    """
    From the channel `user.trades`.
    """

    seq: int
    trades: list[UserTrade]


class PositionsMsg(Struct, frozen=True):
    """
    The new state of positions, from the channel `user.positions`.
    """

    seq: int
    positions: list[Position]


VenueMsg = TradesMsg | QuoteMsg | OrdersMsg | UserTradesMsg | PositionsMsg

_msg_types: dict[str, type[VenueMsg]] = {
    'trades.': TradesMsg,
    'quote.': QuoteMsg,
    'user.orders': OrdersMsg,
    'user.trades': UserTradesMsg,
    'user.positions': PositionsMsg,
}
"""What comes from a channel, by the beginning of its name."""

ChannelMsg = VenueMsg | Reconnected


class _Currency(Struct, frozen=True):
    currency: str
    kind: Literal['crypto', 'fiat']
    decimals: int


class _Error(Struct, frozen=True):
    code: int
    message: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class _Notification(Struct, frozen=True):
    channel: str = ''
    data: msgspec.Raw = msgspec.Raw()
    type: str = ''


class _Message(Struct, frozen=True):
    """
    Anything that the venue sends: a reply with the `id` of its request, or a
    notification with a `method`.
    """

    id: int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None
    method: str = ''
    params: _Notification = _Notification()


_venue_errors: tuple[type[Exception], ...] = (
    BrokerError,
    ConnectionClosed,
    HandshakeError,
    OSError,
    ProtocolError,
    trio.TooSlowError,
)
"""What a venue or a network may cause: a reason to try again."""


class _Call:
    """
    A request on its way.
    """

    def __init__(self) -> None:
        self.done = trio.Event()
        self.reply: _Message | None = None


class Connection:
    """
    One WebSocket to the venue, from its first message to its last.

    Requests overtake each other freely, and a caller may be cancelled at any point:
    all writing is left to one task and all reading to another.
    """

    def __init__(
        self,
        websocket: WebSocketConnection,
        on_message: Callable[[str, VenueMsg], None],
    ) -> None:
        self._websocket = websocket
        self._on_message = on_message
        self._ids = count(1)
        self._calls: dict[int, _Call] = {}
        self._slots = trio.Semaphore(_max_in_flight)
        self._overdue: set[int] = set()
        self._seqs: dict[str, int] = {}
        self._is_open = True
        self._outbox, self._unsent = trio.open_memory_channel[str](math.inf)

    async def read(self) -> NoReturn:
        """
        Raises `ConnectionLost` in the end.
        """
        try:
            while True:
                with trio.fail_after(2 * _heartbeat):
                    message = await self._websocket.get_message()
                self._handle(_decode(message, _Message))
        except ConnectionClosed as err:
            raise ConnectionLost(f'the venue hung up: {err.reason}') from None
        except trio.TooSlowError:
            raise ConnectionLost('the venue has fallen silent') from None
        finally:
            self._is_open = False
            for call_id in list(self._calls):
                self._settle(call_id, None)

    async def write(self) -> None:
        # where the connection is lost, the reader says so
        with suppress(ConnectionClosed):
            async for message in self._unsent:
                await self._websocket.send_message(message)

    def post(self, method: str, params: dict[str, Any], call_id: int = 0) -> None:
        """
        Send a request, but wait for nothing: nobody's `call_id` is 0.
        """
        request = {'jsonrpc': '2.0', 'id': call_id, 'method': method, 'params': params}
        self._outbox.send_nowait(msgspec.json.encode(request).decode())

    async def request(self, method: str, params: dict[str, Any]) -> _Message:
        """
        Send a request and wait for its reply. Raises `ConnectionLost`.
        """
        await self._slots.acquire()
        call_id, call = next(self._ids), _Call()
        self._calls[call_id] = call
        if self._is_open:
            self.post(method, params, call_id)
        else:
            self._settle(call_id, None)
        # from here on the slot is the reply's, whether or not the caller stays
        await call.done.wait()
        if call.reply is None:
            raise ConnectionLost(f'{method}: connection lost before the reply')
        return call.reply

    def _settle(self, call_id: int, reply: _Message | None) -> None:
        if call := self._calls.pop(call_id, None):
            call.reply = reply
            call.done.set()
            self._slots.release()

    async def call(self, method: str, params: dict[str, Any], type: type[T]) -> T:
        """
        Make a request, and return its result.

        Raises `ConnectionLost`, or what the venue's error stands for.
        """
        return _result(method, await self.request(method, params), type)

    def _handle(self, message: _Message) -> None:
        match message:
            case _Message(id=int(call_id)):
                self._settle(call_id, message)
            case _Message(params=_Notification(type='test_request')):
                self.post('public/test', {})
                # what was unanswered at the last heartbeat, and still is, got lost
                if self._overdue & self._calls.keys():
                    raise ConnectionLost(f'no reply for {_heartbeat:g} s')
                self._overdue = {*self._calls}
            case _Message(method='subscription', params=notification):
                self._notify(notification.channel, notification.data)
            case _:
                log.warning('unexpected message from the venue: %.200r', message)

    def _notify(self, channel: str, data: msgspec.Raw) -> None:
        msg_types = [_msg_types[it] for it in _msg_types if channel.startswith(it)]
        if not msg_types:
            log.warning('a message from %.200r, which nobody asked for', channel)
            return
        msg = _decode(data, msg_types[0])
        # each channel counts its messages from 1: a repeated one is dropped, and
        # where one is missing or out of order only a new start is certain to mend it
        last = self._seqs.get(channel, 0)
        if msg.seq > last + 1:
            raise ConnectionLost(f'{channel}: {msg.seq - last - 1} messages missing')
        if msg.seq > last:
            self._seqs[channel] = msg.seq
            self._on_message(channel, msg)


class ChannelStream(trio.abc.ReceiveChannel[ChannelMsg]):
    """
    What a consumer reads: the messages of some channels, in order and complete, but
    for the gaps that a `Reconnected` marks.
    """

    def __init__(self, channels: tuple[str, ...]) -> None:
        self.channels = channels
        self._send, self._receive = trio.open_memory_channel[ChannelMsg](_max_unread)
        self._error: BrokerError | None = None

    def push(self, msg: ChannelMsg) -> None:
        try:
            self._send.send_nowait(msg)
        except trio.WouldBlock:
            names = ', '.join(self.channels)
            self.fail(Overrun(f'{names}: more than {_max_unread} messages unread'))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    def fail(self, error: BrokerError) -> None:
        """
        Raise `error` in the consumer, after the messages that it has not read yet.
        """
        self._error = self._error or error
        self._send.close()

    async def receive(self) -> ChannelMsg:
        """
        The next message. Raises `Overrun` where it is missing, and `BrokerError`
        where there will be none, since the client has ended.
        """
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            assert self._error
            raise self._error from self._error.__cause__

    async def aclose(self) -> None:
        await self._receive.aclose()


def _decode(data: str | bytes | msgspec.Raw, type: type[T]) -> T:
    """
    Raises `ConnectionLost` for what is nothing of the kind: cut short, of another
    type, nested without end, a number with a million digits.
    """
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, RecursionError, ValueError) as err:
        raise ConnectionLost(f'the venue sent a malformed message: {err}') from err


def _get_pause(method: str, data: dict[str, Any]) -> float:
    """
    How long to wait before the next attempt: what the venue says, within reason.
    """
    # TODO: where the venue says how much later.
    told = data.get('retry_after', _usual_pause)
    if not isinstance(told, int | float):
        told = _usual_pause
    pause = float(min(max(told, _min_pause), _max_pause))
    if pause != told:
        log.warning(
            '%s: the venue says to wait %g s, we wait %g s', method, told, pause
        )
    return pause


def _result(method: str, reply: _Message, type: type[T]) -> T:
    """
    The result in a reply, or the error in it raised.
    """
    match reply.error:
        case None:
            pass
        case _Error(code, _, data) if code in _not_now:
            raise Throttled(f'{method}: {_not_now[code]}', _get_pause(method, data))
        case _Error(code, message):
            raise _errors.get(code, BrokerError)(f'{method}: {message} ({code})')
    try:
        return _decode(reply.result, type)
    except ConnectionLost as err:
        raise BrokerError(f'{method}: not the reply that was expected: {err}') from err


# What the venue lists, for the actor's life: a host asks that a pair be one and the
# same object whichever client it came by.
_pairs: dict[str, Pair] = {}
_assets: dict[str, Asset] = {}


class Client:
    """
    The venue, over a connection that is made anew whenever it is lost.

    Methods raise `BrokerError` where the venue refuses, and `SymbolNotFound` for an
    instrument that it does not have. A request that is lost with its connection is
    made again on the next one; a rate limit is waited for.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self.connected = trio.Event()
        self.closed = False
        """By the end of the block of `get_client()`, or by `error`."""
        self.error: Exception | None = None
        self._trouble: str = ''
        """Why there is no connection."""
        self._streams: list[ChannelStream] = []
        self.credentials: Credentials | None = None
        """With which to log in; without, private methods raise `AuthError`."""
        self.on_trouble: Callable[[str], None] = lambda reason: None
        """Called with the reason where a lost connection does not come back at once."""

    async def get_assets(self, reload: bool = False) -> dict[str, Asset]:
        """
        All currencies, by their name in lower case; with `reload` also those that the
        venue has added since.
        """
        if reload or not _assets:
            currencies = await self._request(
                'public/get_currencies', {}, list[_Currency]
            )
            for it in currencies:
                name = it.currency.lower()
                tick = Decimal(1).scaleb(-it.decimals)
                _assets.setdefault(name, Asset(name, it.kind, tick))
        return _assets

    async def get_mkt_pairs(self, reload: bool = False) -> dict[str, Pair]:
        """
        All pairs, by `bs_fqme`; with `reload` also those that the venue has listed
        since. Each is one and the same object at every call.
        """
        if reload or not _pairs:
            pairs = await self._request('public/get_instruments', {}, list[Pair])
            for pair in pairs:
                _pairs.setdefault(pair.bs_fqme, pair)
        return _pairs

    async def search_symbols(self, pattern: str, limit: int = 30) -> dict[str, Pair]:
        """
        The pairs that the venue finds for `pattern`, the best first, by `bs_fqme`.
        """
        found = await self._request(
            'public/search_instruments',
            {'pattern': pattern, 'limit': limit},
            list[Pair],
        )
        pairs = await self.get_mkt_pairs()
        # one that was listed only now is added
        return {it.bs_fqme: pairs.setdefault(it.bs_fqme, it) for it in found}

    async def get_ticker(self, instrument: str) -> Ticker:
        return await self._request(
            'public/ticker', {'instrument_name': instrument}, Ticker
        )

    async def get_candles(
        self,
        instrument: str,
        resolution: int,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 1000,
    ) -> Candles:
        """
        The candles of `resolution` (1 or 60) seconds that open in
        [`start_ms`, `end_ms`]; where there are more than `limit`, the last ones.
        """
        params = {
            'instrument_name': instrument,
            'resolution': resolution,
            'start': start_ms,
            'end': end_ms,
            'limit': limit,
        }
        return await self._request('public/get_candles', params, Candles)

    async def get_trades(
        self,
        instrument: str,
        start_id: int | None = None,
        limit: int = 100,
    ) -> list[Trade]:
        """
        At most `limit` (up to 1000) trades from `start_id` on, ascending; or else the
        last ones.
        """
        params = {'instrument_name': instrument, 'start_id': start_id, 'limit': limit}
        return await self._request('public/get_trades', params, list[Trade])

    async def submit_order(
        self,
        instrument: str,
        direction: Literal['buy', 'sell'],
        amount: float,
        price: float | None = None,
        *,
        order_type: Literal['limit', 'market'] = 'limit',
        post_only: bool = False,
        label: str = '',
    ) -> OrderReply:
        """
        Place an order. The venue takes a `label` only once, ever.

        This, `edit_order()` and `cancel_order()` are never made twice on their own:
        after `ConnectionLost` the venue may or may not have carried them out, and
        `get_order_state()` tells; after any other error it has not.
        """
        params = {
            'instrument_name': instrument,
            'amount': amount,
            'type': order_type,
            'price': price,
            'post_only': post_only,
            'label': label,
        }
        return await self._request_once(f'private/{direction}', params, OrderReply)

    async def edit_order(
        self,
        order_id: str,
        amount: float,
        price: float,
    ) -> OrderReply:
        """
        Give an open order a new price and a new amount, in total.
        """
        params = {'order_id': order_id, 'amount': amount, 'price': price}
        return await self._request_once('private/edit', params, OrderReply)

    async def cancel_order(self, order_id: str) -> Order:
        params = {'order_id': order_id}
        return await self._request_once('private/cancel', params, Order)

    async def cancel_all(self) -> int:
        """
        Cancel all open orders; returns how many there were.
        """
        return await self._request('private/cancel_all', {}, int)

    async def get_open_orders(self) -> list[Order]:
        return await self._request('private/get_open_orders', {}, list[Order])

    async def get_order_state(self, order_id: str = '', label: str = '') -> Order:
        """
        An order, open or not, by either of its names. Raises `OrderRejected` where
        there is none.
        """
        params = {'order_id': order_id, 'label': label}
        return await self._request('private/get_order_state', params, Order)

    async def get_user_trades(
        self,
        start_id: int | None = None,
        limit: int = 100,
    ) -> list[UserTrade]:
        """
        At most `limit` (up to 1000) of the account's trades from the `user_seq`
        `start_id` on, ascending; or else the last ones.
        """
        params = {'start_id': start_id, 'limit': limit}
        return await self._request('private/get_user_trades', params, list[UserTrade])

    async def get_positions(self) -> list[Position]:
        return await self._request('private/get_positions', {}, list[Position])

    async def get_balances(self) -> list[Balance]:
        return await self._request('private/get_balances', {}, list[Balance])

    @acm
    async def open_channel(self, *channels: str) -> AsyncIterator[ChannelStream]:
        """
        Subscribe to channels, any number of them in one stream, while the block is
        open; for their names see the messages above.
        """
        stream = ChannelStream(channels)
        self._streams.append(stream)
        try:
            await self._request('public/subscribe', {'channels': channels}, list[str])
            yield stream
        finally:
            self._streams.remove(stream)
            if self._connection and (unread := {*channels} - self._subscriptions()):
                self._connection.post('public/unsubscribe', {'channels': [*unread]})

    def _subscriptions(self) -> set[str]:
        return {channel for stream in self._streams for channel in stream.channels}

    def _on_message(self, channel: str, msg: VenueMsg) -> None:
        for stream in self._streams:
            if channel in stream.channels:
                stream.push(msg)

    async def _request(self, method: str, params: dict[str, Any], type: type[T]) -> T:
        """
        Make a request that does no harm when it is made twice.
        """
        for _ in range(_max_attempts - 1):
            try:
                return await self._request_once(method, params, type)
            except NotConnected:
                raise
            except ConnectionLost:
                pass
            except Throttled as err:
                await trio.sleep(err.pause)
        return await self._request_once(method, params, type)

    async def _request_once(
        self,
        method: str,
        params: dict[str, Any],
        type: type[T],
    ) -> T:
        connection = await self._wait_connected()
        try:
            return await connection.call(method, params, type)
        except ConnectionLost:
            # which may not be cleared away yet: another attempt is for the next one
            if self._connection is connection:
                self._disconnect()
            raise

    async def _wait_connected(self) -> Connection:
        with trio.move_on_after(_patience):
            while self._connection is None:
                if self.closed:  # no `ConnectionLost`: there is no use in trying again
                    raise self._mk_closed()
                await self.connected.wait()
            return self._connection
        raise NotConnected(
            f'no connection to {self._url} for {_patience:g} s: {self._trouble}'
        )

    def close(self, error: Exception | None = None) -> None:
        """
        Be done, because of `error` if there is one: all who wait for a message or for
        a reply are told, and whoever makes a request from here on.
        """
        self.closed = True
        self.error = self.error or error
        self.connected.set()
        self._disconnect()
        for stream in self._streams:
            stream.fail(self._mk_closed())

    def _mk_closed(self) -> BrokerError:
        if self.error is None:
            return BrokerError('the client is closed')
        closed = BrokerError(f'the client broke down: {self.error!r}')
        closed.__cause__ = self.error
        return closed

    def _disconnect(self) -> None:
        """
        Let requests wait for the next connection.
        """
        self._connection = None
        # nobody waits for one that is set
        if self.connected.is_set():
            self.connected = trio.Event()

    async def run(self) -> None:
        """
        Keep a connection, until cancelled.

        Whatever a venue or a network may do to it, another one is tried, with pauses
        that grow. An error of the first one, and a mistake of ours at any time, ends
        this client, and `close()` tells everybody.
        """
        try:
            await self._keep_connected()
        except Exception as err:
            self.close(err)

    async def _keep_connected(self) -> NoReturn:
        was_connected = False
        told = ''
        pause = _min_backoff
        while True:
            error: BaseException
            connected = False
            since = trio.current_time()
            try:
                async with self._connect():
                    connected = was_connected = True
                    await trio.sleep_forever()
            except* _venue_errors as errors:
                error = errors
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]

            reason = str(error) or repr(error)
            is_refusal = isinstance(error, BrokerError) and not isinstance(
                error, ConnectionLost | Throttled
            )
            if not was_connected:
                if is_refusal:
                    raise error
                raise BrokerError(f'no connection to {self._url}: {reason}') from error
            # pauses grow for as long as no connection lasts
            if trio.current_time() - since > _stable:
                pause = _min_backoff
            pause = min(2 * pause, _max_backoff)
            delay = pause * random.uniform(0.5, 1)
            if isinstance(error, Throttled):
                delay = max(delay, error.pause)
            log.warning('%s; connecting again in %.1f s', reason, delay)
            if connected:
                told = ''  # most come back at once
            elif told != reason:
                told = reason
                self.on_trouble(reason)
            self._trouble = reason
            await trio.sleep(delay)

    @acm
    async def _connect(self) -> AsyncIterator[None]:
        async with open_nursery() as nursery:
            try:
                with trio.fail_after(_connect_timeout):
                    websocket = await connect_websocket_url(
                        nursery,
                        self._url,
                        message_queue_size=64,
                        max_message_size=2**24,
                    )
            except ValueError as err:
                if isinstance(err, OSError):  # as a bad certificate is
                    raise
                raise BrokerError(f'{self._url!r} is no WebSocket URL: {err}') from err
            try:
                connection = Connection(websocket, self._on_message)
                async with open_nursery() as tasks:
                    tasks.start_soon(connection.read)
                    tasks.start_soon(connection.write)
                    await self._greet(connection)
                    self._connection = connection
                    self.connected.set()
                    yield
            finally:
                self._disconnect()
                await trio.aclose_forcefully(websocket)

    async def _greet(self, connection: Connection) -> None:
        """
        Say what every connection has to begin with.
        """
        await connection.call('public/set_heartbeat', {'interval': _heartbeat}, str)
        if self.credentials:
            await self._authenticate(connection, self.credentials)
        if channels := [*self._subscriptions()]:
            # a consumer that asks for what it missed gets its answer after we are
            # subscribed again, so that nothing falls in between
            for stream in self._streams:
                stream.push(Reconnected())
            await connection.call('public/subscribe', {'channels': channels}, list[str])

    async def _authenticate(
        self,
        connection: Connection,
        credentials: Credentials,
    ) -> None:
        # by the venue's clock, since ours may be wrong
        now = await connection.call('public/get_time', {}, int)
        nonce = secrets.token_hex(8)
        # TODO: what the venue wants to have signed, and how.
        login = {
            'grant_type': 'client_signature',
            'client_id': credentials.key,
            'timestamp': now,
            'nonce': nonce,
            'signature': credentials.sign(f'{now}\n{nonce}\n'),
        }
        await connection.call('public/auth', login, dict[str, str])


def get_url() -> str:
    """
    Where the venue is: what the environment says, or else `url` in this backend's
    section of `brokers.toml`.
    """
    name, variable = NAME, f'{NAME.upper()}_URL'
    if url := os.environ.get(variable):
        return url
    conf, path = config.load('brokers')
    if url := conf.get(name, {}).get('url'):
        return str(url)
    # TODO: the venue's own URL, where the user names no other.
    raise BrokerError(
        f'no URL for {name}: set {variable}, or `url` in the section [{name}] of {path}'
    )


@acm
async def get_client(
    credentials: Credentials | None = None,
    **_: Any,
) -> AsyncIterator[Client]:
    """
    A connected client, for as long as the block is open; with `credentials`, one that
    is logged in as well.

    Takes, and ignores, what else hosts pass on occasion (`is_brokercheck`). Raises
    `BrokerError` where the venue cannot be reached, and `AuthError`.
    """
    client = Client(get_url())
    client.credentials = credentials
    async with open_nursery() as nursery:
        nursery.start_soon(client.run)
        await client.connected.wait()
        if client.error:
            raise client.error
        try:
            yield client
        finally:
            client.close()
            nursery.cancel_scope.cancel()
