"""
The server: connections, requests, subscriptions.
"""

from __future__ import annotations

import inspect
import math
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, NoReturn, get_type_hints

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from .clock import Clock
from .faults import Fault, Faults
from .journal import Journal
from .market import Market

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
TOO_MANY_REQUESTS = 10028
TEMPORARILY_UNAVAILABLE = 13028
UNKNOWN_INSTRUMENT = 11050
UNKNOWN_CHANNEL = 11051


class RpcError(Exception):
    """
    An error for the client: code, message, data.
    """

    def __init__(self, code: int, message: str, **data: Any) -> None:
        super().__init__(code, message)
        self.fields = {
            'code': code,
            'message': message,
            **({'data': data} if data else {}),
        }


class Request(msgspec.Struct):
    id: int | str
    method: str
    params: dict[str, Any] = {}


class Method:
    """
    A function `(session, **params) -> result`, called with checked parameters.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        hints = get_type_hints(function, include_extras=True)
        _, *parameters = inspect.signature(function).parameters.values()
        self._params = msgspec.defstruct(
            'Params',
            [
                (
                    it.name,
                    hints[it.name],
                    msgspec.NODEFAULT if it.default is it.empty else it.default,
                )
                for it in parameters
            ],
            forbid_unknown_fields=True,
        )

    def __call__(self, session: Session, params: dict[str, Any]) -> Any:
        try:
            checked = msgspec.convert(params, self._params)
        except msgspec.ValidationError as err:
            raise RpcError(INVALID_PARAMS, f'Invalid params: {err}') from None
        return self._function(session, **msgspec.structs.asdict(checked))


class Channels(msgspec.Struct):
    """
    A family of channels, whose names begin with the same word.
    """

    topic: Callable[[Session, str], str]
    """
    `(session, channel)`: what a subscriber gets to hear, the argument of
    `Venue.publish()`. Raises `RpcError` where there is no such channel for it.
    """
    snapshot: Callable[[str], dict[str, Any]] | None = None
    """Of a topic, the message to begin with."""


class Venue:
    """
    The exchange: its markets, what may be called and subscribed to, and by whom.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        markets: list[Market],
        requests_per_second: float,
        burst: int,
    ) -> None:
        self.clock = clock
        self.journal = journal
        self.markets = {market.name: market for market in markets}
        self.requests_per_second = requests_per_second
        self.burst = burst
        self.faults = Faults()
        self.sessions: set[Session] = set()
        self.methods: dict[str, Method] = {}
        self.channels: dict[str, Channels] = {}
        self._subscribers: defaultdict[str, dict[Session, str]] = defaultdict(dict)
        self._news: list[tuple[str, dict[str, Any]]] = []

    def expose(self, prefix: str, service: object) -> None:
        """
        Make every public method of `service` callable as `<prefix>/<name>`.
        """
        for name, function in inspect.getmembers(service, inspect.ismethod):
            if not name.startswith('_'):
                self.methods[f'{prefix}/{name}'] = Method(function)

    def market(self, instrument_name: str) -> Market:
        try:
            return self.markets[instrument_name]
        except KeyError:
            raise RpcError(
                UNKNOWN_INSTRUMENT, f'unknown_instrument: {instrument_name}'
            ) from None

    def subscribe(self, session: Session, channels: list[str]) -> None:
        """
        Raises `RpcError`, and subscribes to none, where one of them does not exist.
        """
        topics: dict[str, tuple[str, Channels]] = {}
        for channel in channels:
            family = self.channels.get(channel.partition('.')[0])
            if family is None:
                raise RpcError(UNKNOWN_CHANNEL, f'unknown_channel: {channel}')
            topics[family.topic(session, channel)] = channel, family
        for topic, (channel, family) in topics.items():
            if session not in self._subscribers[topic]:
                self._subscribers[topic][session] = channel
                if family.snapshot:
                    session.after_reply.append((channel, family.snapshot(topic)))

    def unsubscribe(self, session: Session, channels: list[str] | None = None) -> None:
        """
        End its subscriptions to these channels; without a list, to all.
        """
        for subscribers in self._subscribers.values():
            if channels is None or subscribers.get(session) in channels:
                subscribers.pop(session, None)

    def is_heard(self, topic: str) -> bool:
        """
        Whether it is worth while to `publish()`.
        """
        return bool(self._subscribers[topic])

    def publish(self, topic: str, data: dict[str, Any]) -> None:
        """
        Tell the subscribers at the next `flush()`.
        """
        self._news.append((topic, data))

    def flush(self) -> None:
        """
        After something has happened: remember it, then tell the world.
        """
        self.journal.commit()
        news, self._news = self._news, []
        for topic, data in news:
            for session, channel in self._subscribers[topic].items():
                session.notify(channel, data)

    def subscriptions(self) -> Counter[str]:
        """
        How many connections are subscribed to each channel.
        """
        return Counter(
            channel
            for subscribers in self._subscribers.values()
            for channel in subscribers.values()
        )

    async def serve(self, port: int, started: Callable[[int], None]) -> None:
        """
        Serve on loopback until cancelled; `started` is told the port.
        """
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(port, host='127.0.0.1')
            started(listener.socket.getsockname()[1])
            nursery.start_soon(self._trade)
            await trio.serve_listeners(self._connected, [listener])

    async def _trade(self) -> NoReturn:
        while True:
            for market in self.markets.values():
                market.advance()
            self.flush()
            due = min(market.next_due() for market in self.markets.values())
            await trio.sleep(self.clock.seconds_until(due))

    async def _connected(self, stream: trio.SocketStream) -> None:
        session = Session(self)
        self.sessions.add(session)
        try:
            await session.run(stream)
        finally:
            self.sessions.discard(session)
            self.unsubscribe(session)
            for callback in session.on_close:
                callback()
            self.flush()


class Session:
    """
    One connection.
    """

    _UNREAD = 10_000
    """Messages that may wait for a client to read them, before it is dropped."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.answered = True
        """Whether the client has called public/test since the last heartbeat."""
        self.on_close: list[Callable[[], object]] = []
        self.after_reply: list[tuple[str, dict[str, Any]]] = []
        """Notifications due as soon as the current request has its reply."""
        self._nursery: trio.Nursery
        self._heartbeat = trio.CancelScope()
        self._outbox, self._unsent = trio.open_memory_channel[str](self._UNREAD)
        self._seqs: Counter[str] = Counter()
        self._held: dict[str, str] = {}
        self._silent_until = 0.0
        self._tokens = float(venue.burst)
        self._refilled = trio.current_time()

    async def run(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                with trio.fail_after(5):
                    request = await wrap_server_stream(self._nursery, stream)
                    websocket = await request.accept()
                self._nursery.start_soon(self._write, websocket)
                while True:
                    self._handle(await websocket.get_message())
        except* (ConnectionClosed, trio.TooSlowError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _write(self, websocket: WebSocketConnection) -> None:
        async for message in self._unsent:
            await websocket.send_message(message)

    def abort(self) -> None:
        """
        Cut the connection off, without a word.
        """
        self._nursery.cancel_scope.cancel()

    def be_silent(self, seconds: float) -> None:
        self._silent_until = trio.current_time() + seconds

    @property
    def _silent(self) -> bool:
        return trio.current_time() < self._silent_until

    def set_heartbeat(self, interval: float) -> None:
        """
        From now on, every `interval` seconds.
        """
        self._heartbeat.cancel()
        self._heartbeat = trio.CancelScope()
        self._nursery.start_soon(self._beat, interval, self._heartbeat)

    async def _beat(self, interval: float, scope: trio.CancelScope) -> None:
        with scope:
            self.answered = True
            await trio.sleep(interval)
            while self.answered or self._silent:
                self.answered = False
                self._push(_TEST_REQUEST)
                await trio.sleep(interval)
            self.abort()

    def notify(self, channel: str, data: dict[str, Any]) -> None:
        """
        Send the next message of a channel.
        """
        self._seqs[channel] += 1
        params = {'channel': channel, 'data': {'seq': self._seqs[channel], **data}}
        message = _encode({'method': 'subscription', 'params': params})
        if channel in self._held:
            self._push(message)
            self._push(self._held.pop(channel))
            return
        fault = self.venue.faults.take(
            self, 'repeat', 'reorder', 'skip', 'malformed', 'nested', channel=channel
        )
        match fault:
            case Fault(kind='skip'):
                pass
            case Fault(kind='reorder'):
                self._held[channel] = message
            case Fault(kind='repeat'):
                self._push(message)
                self._push(message)
            case Fault(kind='malformed'):
                self._push(_cut(message))
            case Fault(kind='nested'):
                self._push(_NESTED)
            case _:
                self._push(message)

    def _push(self, message: str) -> None:
        if self._silent:
            return
        try:
            self._outbox.send_nowait(message)
        except trio.WouldBlock:
            self.abort()

    def _handle(self, message: str | bytes) -> None:
        if self._silent:
            return
        try:
            request = msgspec.json.decode(message, type=Request)
        except msgspec.ValidationError as err:
            self._push(
                _error(None, RpcError(INVALID_REQUEST, f'Invalid Request: {err}'))
            )
            return
        except msgspec.DecodeError as err:
            self._push(_error(None, RpcError(PARSE_ERROR, f'Parse error: {err}')))
            return

        reply = self._answer(request)
        self.venue.journal.commit()
        fault = self.venue.faults.take(
            self, 'malformed', 'nested', 'delay', 'lose_reply', method=request.method
        )
        match fault:
            case Fault(kind='lose_reply'):
                self.abort()
            case Fault(kind='delay', seconds=seconds):
                self._nursery.start_soon(self._push_late, seconds, reply)
            case Fault(kind='malformed'):
                self._push(_cut(reply))
            case Fault(kind='nested'):
                self._push(_NESTED)
            case _:
                self._push(reply)
        notifications, self.after_reply = self.after_reply, []
        for channel, data in notifications:
            self.notify(channel, data)
        self.venue.flush()

    def _answer(self, request: Request) -> str:
        try:
            self._admit(request.method)
            try:
                method = self.venue.methods[request.method]
            except KeyError:
                raise RpcError(
                    METHOD_NOT_FOUND, f'Method not found: {request.method}'
                ) from None
            return _encode({'id': request.id, 'result': method(self, request.params)})
        except RpcError as err:
            return _error(request.id, err)
        except Exception:
            traceback.print_exc()
            return _error(request.id, RpcError(INTERNAL_ERROR, 'Internal error'))

    def _admit(self, method: str) -> None:
        """
        Take a token for a request, as long as there are any.
        """
        if method == 'public/test' or method.startswith('sim/'):
            return
        if self.venue.faults.take(self, 'maintenance', method=method):
            raise RpcError(TEMPORARILY_UNAVAILABLE, 'temporarily_unavailable')
        if fault := self.venue.faults.take(self, 'rate_limit', method=method):
            raise RpcError(
                TOO_MANY_REQUESTS, 'too_many_requests', retry_after=fault.seconds
            )
        now, rate = trio.current_time(), self.venue.requests_per_second
        self._tokens += (now - self._refilled) * rate
        self._tokens = min(self._tokens, self.venue.burst)
        self._refilled = now
        if self._tokens < 1:
            raise RpcError(
                TOO_MANY_REQUESTS,
                'too_many_requests',
                # rounded up, so that one who waits that long is let in
                retry_after=math.ceil((1 - self._tokens) / rate * 1000) / 1000,
            )
        self._tokens -= 1

    async def _push_late(self, seconds: float, message: str) -> None:
        await trio.sleep(seconds)
        self._push(message)


def _encode(fields: dict[str, Any]) -> str:
    return msgspec.json.encode({'jsonrpc': '2.0', **fields}).decode()


def _error(request_id: int | str | None, error: RpcError) -> str:
    return _encode({'id': request_id, 'error': error.fields})


def _cut(message: str) -> str:
    return message[: len(message) // 2]


_NESTED = '{"nested":' + 100_000 * '[' + 100_000 * ']' + '}'
_TEST_REQUEST = _encode({'method': 'heartbeat', 'params': {'type': 'test_request'}})
