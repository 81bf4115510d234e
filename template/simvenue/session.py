"""
One connection to the venue, and what is said on it. What that means is the dialect's.
"""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec
import trio
from msgspec import Struct

from .bucket import Bucket
from .faults import MESSAGE, STREAM, Fault, alter, spoil
from .hub import Fields, Hub, Status
from .operations import Topic
from .refusals import Refusal
from .transport import Gone, HttpConnection, HttpRequest, Outbox, WebSocket, frame

_encode = msgspec.json.Encoder(decimal_format='number').encode
"""Of a number that is a `Decimal` all digits are written."""
_REFUSED = ('maintenance', 'rate_limit', 'stale_nonce', 'expired_token')
_UNHEARD = ('lose_request', 'server_error', 'throttle')
_REPLY = ('malformed', 'partial_frame', 'nested', 'huge', 'delay', 'lose_reply')


class Call(Struct):
    """
    A request, as the dialect has taken it apart.
    """

    operation: str
    """What is asked for, see `operations`; '' where it is nothing that is known."""
    market: str
    act: Callable[[], Any]
    """Does it, and returns the result. Raises `Refusal`."""
    reply: Callable[[Any], Fields]
    """The message with a result."""
    refuse: Callable[[Refusal], tuple[Status, Fields]]
    """The message that says no, and its status by HTTP."""


class Subscription(Struct, eq=False):
    """
    What a connection wants to hear, under the name that it has on the wire.
    """

    session: Session
    channel: str
    event: type
    """The kind of the engine's events."""
    topics: tuple[Topic, ...]
    """What it is about."""
    markets: tuple[str, ...] = ()
    """The markets of the events; none: of any event."""
    account: str = ''
    """Of whose events; it ends when that account logs out."""
    wants: Callable[[Any], bool] | None = None
    """Of these events, which."""
    interval: float = 0
    """Events are gathered for so long (s)."""
    label: str = ''
    filter: Any = None
    """The dialect's."""
    pending: list[Any] = msgspec.field(default_factory=list)

    @property
    def market(self) -> str:
        return self.markets[0] if len(self.markets) == 1 else ''

    @property
    def keys(self) -> tuple[str, ...]:
        """
        The markets, or the account, of the events; of any event, if there is neither.
        """
        return self.markets or (self.account,)


class Session:
    """
    One connection.
    """

    def __init__(self, server: Hub, stream: trio.SocketStream) -> None:
        self.server = server
        self.path = ''
        """Of the socket, if it is one."""
        self.account = ''
        """Whose it is, if it has logged in."""
        self.data: Any = None
        """The dialect's."""
        self.subscriptions: dict[str, Subscription] = {}
        self.sent = 0
        """How many messages there were on the socket."""
        self.after_reply: list[Callable[[], None]] = []
        """What is due as soon as the current request has its reply."""
        self._buckets: dict[str, Bucket] = {}
        self._heart = trio.CancelScope()
        self._http = HttpConnection(stream)
        self._nursery: trio.Nursery
        self._outbox = Outbox()
        self._held: dict[str, bytes] = {}
        self._due: defaultdict[float, list[Subscription]] = defaultdict(list)
        self._silent_until = 0.0

    # the transport

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    await self._serve_http()
                finally:
                    self.abort()
        except* Gone:
            pass

    async def _read(self, receive: Callable[[], Awaitable[Any]]) -> Any:
        message = await receive()
        if fault := self.server.faults.take('slow_reads'):
            await trio.sleep(fault.seconds or 0)
        return message

    async def _serve_http(self) -> None:
        while True:
            request: HttpRequest = await self._read(self._http.receive)
            if self._silent:
                await trio.sleep(max(0, self._silent_until - trio.current_time()))
            elif request.wants_socket and self.server.dialect.is_socket(request.path):
                self.path = request.path
                return await self._serve_socket(request)
            else:
                await self._answer_http(request)

    async def _serve_socket(self, request: HttpRequest) -> None:
        socket = WebSocket(self._http)
        await socket.accept(request)
        self._nursery.start_soon(self._write, socket)
        self.server.dialect.opened(self)
        while True:
            message = await self._read(socket.receive)
            if not self._silent:
                call = self.server.dialect.read(self, message)
                if fault := self._note(call):
                    self.spawn(self._answer_late, fault, call)
                else:
                    self._answer(call)

    async def _write(self, socket: WebSocket) -> None:
        await self._outbox.send(socket)
        self.abort()

    @property
    def is_socket(self) -> bool:
        return bool(self.path)

    def spawn(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """
        Run a task that ends with the connection.
        """
        # nothing begins on one that is being cut off
        if not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(function, *args)

    def beat(self, seconds: float, function: Callable[[], None]) -> None:
        """
        Call it every so many seconds of the venue's, instead of what was called before.
        """
        self.stop_beating()
        self._heart = trio.CancelScope()
        self.spawn(self._beat, seconds, function, self._heart)

    def stop_beating(self) -> None:
        self._heart.cancel()

    async def _beat(
        self, seconds: float, function: Callable[[], None], scope: trio.CancelScope
    ) -> None:
        with scope:
            while True:
                await self.server.engine.sleep(seconds)
                function()

    def abort(self) -> None:
        """
        Cut the connection off, without a word.
        """
        self._nursery.cancel_scope.cancel()

    def close(self, code: int) -> None:
        """
        End a socket, when all is sent.
        """
        self._push(code)

    def be_silent(self, seconds: float) -> None:
        self._silent_until = trio.current_time() + seconds

    @property
    def _silent(self) -> bool:
        return trio.current_time() < self._silent_until

    def _push(self, message: bytes | int) -> None:
        self.sent += 1
        if not self._silent and not self._outbox.put(message):
            self.abort()

    def send(self, fields: Fields) -> None:
        """
        A message on a socket that is no reply.
        """
        self._push(frame(_encode(fields)))

    async def send_in_turn(self, fields: Fields) -> None:
        """
        The same, but wait for a client that is slow.
        """
        self.sent += 1
        if not self._silent:
            await self._outbox.feed(frame(_encode(fields)))

    def send_all(self, messages: Callable[[], Iterable[Fields]]) -> None:
        """
        Those that there are by now.
        """
        for fields in messages():
            self.send(fields)

    # requests

    def count(self, limit: str) -> None:
        """
        Take one from `<limit>_burst`, which fills up again by `<limit>_rate` a second.
        Raises `Refusal`.
        """
        now, limits = trio.current_time(), self.server.limits
        if limit not in self._buckets:
            burst, rate = limits[f'{limit}_burst'], limits[f'{limit}_rate']
            self._buckets[limit] = Bucket(burst, rate, now)
        if not self._buckets[limit].take(now):
            raise Refusal('too_many')

    def log_out(self) -> None:
        """
        Be nobody's any more.
        """
        self.account = ''
        for channel, subscription in list(self.subscriptions.items()):
            if subscription.account:
                self.server.unsubscribe(self, channel)
        self.server.dialect.logged_out(self)

    def _note(self, call: Call) -> Fault | None:
        """
        A request has come. The fault, if any, for which it is carried out later.
        """
        self.server.requests[call.operation] += 1
        self.server.recent.append(call.operation)
        return self.server.faults.take(
            'defer', operation=call.operation, market=call.market
        )

    async def _defer(self, fault: Fault, usually: float = float('inf')) -> None:
        seconds = usually if fault.seconds is None else fault.seconds
        with trio.move_on_after(seconds):
            await self.server.behaves.wait()

    def _perform(self, call: Call) -> tuple[Status, bytes, Fault | None]:
        """
        Carry out a request: the status, the reply, and what is to happen to it.
        """
        server = self.server

        def take(*kinds: str) -> Fault | None:
            return server.faults.take(
                *kinds, operation=call.operation, market=call.market
            )

        if take('unauthorized'):
            self.log_out()
        before = take(*_REFUSED, *_UNHEARD)
        if before and before.kind in _UNHEARD:
            return 0, b'', before
        altered = None
        try:
            match before:
                case Fault(kind='maintenance'):
                    raise Refusal('maintenance')
                case Fault(kind='rate_limit', seconds=seconds):
                    raise Refusal('too_many', wait=seconds)
                case Fault(kind='stale_nonce'):
                    raise Refusal('stale_nonce')
                case Fault(kind='expired_token'):
                    self.log_out()
                    raise Refusal('token_expired')
            result = call.act()
            altered = take('wrong_type', 'unknown_field', 'missing_field')
            status = 200
            body = _encode(call.reply(alter(altered, result)))
        except Exception as err:
            refusal = err if isinstance(err, Refusal) else Refusal('internal')
            if refusal is not err:
                traceback.print_exc()
            status, fields = call.refuse(refusal)
            body = _encode(fields)
        server.engine.journal.commit()
        fault = altered or take(*_REPLY)
        return status, spoil(fault, body), fault

    def _done(self) -> None:
        due, self.after_reply = self.after_reply, []
        for callback in due:
            callback()
        self.server.flush()

    def _answer(self, call: Call) -> None:
        _, body, fault = self._perform(call)
        message = frame(body)
        match fault:
            case Fault(kind='lose_request' | 'lose_reply'):
                self.abort()
            case Fault(kind='server_error'):
                self.close(1011)
            case Fault(kind='throttle'):
                self.close(1008)
            case Fault(kind='partial_frame'):
                self._push_half(message)
            case Fault(kind='delay'):
                self.spawn(self._push_late, fault, message)
            case _:
                self._push(message)
        self._done()

    async def _answer_late(self, fault: Fault, call: Call) -> None:
        await self._defer(fault)
        self._answer(call)

    async def _push_late(self, fault: Fault, message: bytes) -> None:
        await self._defer(fault, 0.1)
        self._push(message)

    def _push_half(self, message: bytes) -> None:
        """
        Cut a message, and then the connection.
        """
        self._push(message[: len(message) // 2])
        self.close(0)

    async def _answer_http(self, request: HttpRequest) -> None:
        call = self.server.dialect.read_http(self, request)
        if fault := self._note(call):
            await self._defer(fault)
        status, body, fault = self._perform(call)
        self._done()
        match fault:
            case Fault(kind='lose_request' | 'lose_reply'):
                raise Gone
            case Fault(kind='server_error'):
                await self._http.reply(
                    502, b'<html>Bad Gateway</html>', kind='text/html'
                )
            case Fault(kind='throttle', seconds=seconds):
                wait = [] if seconds is None else [('retry-after', f'{seconds:g}')]
                html = b'<html>Too Many Requests</html>'
                await self._http.reply(429, html, kind='text/html', headers=wait)
            case Fault(kind='partial_frame'):
                await self._http.reply(status, body, only=len(body) // 2)
            case Fault(kind='delay'):
                await self._defer(fault, 0.1)
                await self._http.reply(status, body)
            case _:
                await self._http.reply(status, body)

    # streams

    def hear(self, subscription: Subscription, events: list[Any]) -> None:
        """
        Tell of events, now or together with those that come soon.
        """
        if not subscription.interval:
            self._tell(subscription, events)
            return
        if not subscription.pending:
            due = self._due[subscription.interval]
            due.append(subscription)
            if len(due) == 1:
                self.spawn(self._tell_later, subscription.interval)
        subscription.pending += events

    async def _tell_later(self, interval: float) -> None:
        await trio.sleep(interval)
        for subscription in self._due.pop(interval):
            events, subscription.pending = subscription.pending, []
            if self.subscriptions.get(subscription.channel) is subscription:
                self._tell(subscription, events)

    def _tell(self, subscription: Subscription, events: Sequence[Any]) -> None:
        for fields in self.server.dialect.tell(subscription, events):
            self._publish(subscription, fields)

    def _publish(self, subscription: Subscription, fields: Fields) -> None:
        fault = self.server.faults.take(
            *STREAM, *MESSAGE, topics=subscription.topics, market=subscription.market
        )
        body = _encode(alter(fault, fields))
        message = frame(spoil(fault, body))
        channel = subscription.channel
        if channel in self._held:
            self._push(message)
            self._push(self._held.pop(channel))
            return
        match fault:
            case Fault(kind='skip'):
                pass
            case Fault(kind='reorder'):
                self._held[channel] = message
            case Fault(kind='repeat'):
                self._push(message)
                self._push(message)
            case Fault(kind='partial_frame'):
                self._push_half(message)
            case _:
                self._push(message)
