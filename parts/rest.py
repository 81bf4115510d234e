"""
One connection to the venue, from its first message to its last: requests by HTTP, and
WebSockets for what is live. It lasts for as long as all of its sockets do.
"""

from __future__ import annotations

#{% if client == 'asyncio' %}
import asyncio
#{% endif %}
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager as acm
from itertools import count
from typing import Any, NoReturn, Protocol, TypeVar

import httpx
import msgspec
import trio
from msgspec import field

from ._config import NAME, Limits
from ._errors import AuthError, ConnectionLost, ReplyLost, Throttled, Unexpected
from ._http import check_url, open_http, read_pause
from ._piker import BrokerError, Struct, get_logger, open_nursery
#{% if client == 'asyncio' %}
from ._proxy import open_client_proxy
#{% endif %}
from ._tap import Tap, describe, open_tap
from ._websocket import WebSocket, open_websocket

T = TypeVar('T')

PROTOCOL: str = 'rest'

HTTP = 'http'
"""The way of a request by HTTP, whatever else is under way..."""
IN_TURN = 'in turn'
"""... and of one that is made when the one before has its reply."""

log = get_logger(f'{NAME}.connection')


class Request(Struct, frozen=True):
    """
    A request by HTTP.
    """

    verb: str
    path: str
    """With the query."""
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ''


class Language(Protocol):
    """
    What a connection asks of the author's `Client`.
    """

    limits: Limits
    secrets: frozenset[str]
    """Fields and headers whose values are for nobody's eyes."""
    id_field: str
    """On sockets, the one with the `call_id`."""

    def sockets(self, url: str) -> dict[str, str]:
        """Where they are, by their names."""

    def probe(self, name: str) -> str:
        """A message that the venue answers, while it says nothing on that socket."""

    def way(self, method: str, params: Mapping[str, object]) -> str:
        """How a request is made: `HTTP`, `IN_TURN`, or on the socket of that name."""

    def mk_request(self, method: str, params: Mapping[str, object]) -> Request:
        """It by HTTP."""

    def mk_message(
        self, method: str, params: Mapping[str, object], call_id: int
    ) -> str:
        """It on a socket. The reply has the `call_id`."""

    def read_message(self, data: str | bytes) -> tuple[int | None, str, Any]:
        """
        What came over a socket: the `call_id` of a reply, None and a name for what came
        unasked, and the content.
        """

    def read_reply(self, method: str, content: Any) -> msgspec.Raw:
        """
        The result in a socket's reply, or in the body of one by HTTP, whatever its
        status is. Raises what a refusal stands for.
        """


class _Call:
    """
    A request on its way.
    """

    def __init__(self, method: str, way: str) -> None:
        self.method = method
        self.way = way
        self.since = time.monotonic()
        self.reply: Any = None
        self.error: BrokerError | None = None
        """What came instead."""
#{% if client == 'asyncio' %}
        self.done = asyncio.Event()
#{% else %}
        self.done = trio.Event()
#{% endif %}


class Connection:
#{% if client == 'asyncio' %}
    """
    Requests overtake each other freely, and a caller may be cancelled at any point:
    what is under way is left to tasks of the connection. Lives on asyncio.

    TODO: where the vendor has an SDK, that can be the connection instead: see
    `Client.open_connection`. It needs coroutine methods that raise, and a callback for
    what comes unasked.
    """
#{% else %}
    """
    Requests overtake each other freely, and a caller may be cancelled at any point:
    what is under way is left to tasks of the connection.
    """
#{% endif %}

    def __init__(
        self,
        url: str,
        language: Language,
        on_notification: Callable[[Connection, str, Any], None],
    ) -> None:
        self._url = url
        self._language = language
        self._limits = language.limits
        self._on_notification = on_notification
        self._ids = count(1)
        self._calls: dict[int, _Call] = {}
        self._sockets: dict[str, tuple[WebSocket, Tap | None]] = {}
        self._tap: Tap | None = None
        """Of what goes by HTTP."""
        self._http: httpx.AsyncClient
        self.sent = self.heard = time.monotonic()
        """When the last message went out, and when one came."""
#{% if client == 'asyncio' %}
        self._tasks: asyncio.TaskGroup
        self._slots = asyncio.Semaphore(self._limits.in_flight)
        self._turn = asyncio.Lock()
        self._opened = asyncio.Event()
#{% else %}
        self._tasks: trio.Nursery
        self._slots = trio.Semaphore(self._limits.in_flight)
        self._turn = trio.Lock()
        self._opened = trio.Event()
#{% endif %}
        self._open = False

    async def run(self) -> None:
        """
        Connect, and read. Raises `ConnectionLost` in the end, and `BrokerError` for a
        URL that is none.
        """
        check_url(self._url)
        urls = self._language.sockets(self._url)
        self._tap = self._open_tap(self._url, 'http')
        try:
            async with (
                open_http(self._url, self._limits) as self._http,
#{% if client == 'asyncio' %}
                asyncio.TaskGroup() as self._tasks,
#{% else %}
                open_nursery() as self._tasks,
#{% endif %}
            ):
                for name, url in urls.items():
#{% if client == 'asyncio' %}
                    self._tasks.create_task(self._listen(name, url, len(urls)))
#{% else %}
                    self._tasks.start_soon(self._listen, name, url, len(urls))
#{% endif %}
        finally:
            self._end()

    def _end(self) -> None:
        if self._open and self._tap:
            self._tap.closed()
        self._open = False
        self._sockets.clear()
        for call_id in list(self._calls):
            self._settle(call_id)

    async def _listen(self, name: str, url: str, how_many: int) -> NoReturn:
        tap: Tap | None = None
        try:
            async with open_websocket(
                url, self._limits.message, self._limits.silence
            ) as websocket:
                tap = self._open_tap(url, 'ws')
#{% if client == 'asyncio' %}
                self._tasks.create_task(self._probe(name, websocket, tap))
#{% else %}
                self._tasks.start_soon(self._probe, name, websocket, tap)
#{% endif %}
                self._sockets[name] = websocket, tap
                if len(self._sockets) == how_many:
                    self._open = True
                    self._opened.set()
                while True:
                    self._handle(await websocket.receive(), tap)
        except OSError as err:
            raise ConnectionLost(str(err) or repr(err)) from err
        except _nonsense as err:
            raise ConnectionLost(f'the venue sent nonsense: {err}') from err
        finally:
            if tap:
                tap.closed()
            self._end()

    def _open_tap(self, url: str, over: str) -> Tap | None:
        language = self._language
        return open_tap(url, PROTOCOL, over, language.secrets, language.id_field)

    async def _probe(
        self, name: str, websocket: WebSocket, tap: Tap | None
    ) -> NoReturn:
        while True:
#{% if client == 'asyncio' %}
            await asyncio.sleep(self._limits.silence / 4)
#{% else %}
            await trio.sleep(self._limits.silence / 4)
#{% endif %}
            message = self._language.probe(name)
            self.sent = time.monotonic()
            websocket.post(message)
            if tap:
                tap.sent(message)

    async def wait_open(self) -> None:
        await self._opened.wait()

    async def call(
        self,
        method: str,
        result: type[T],
        params: Mapping[str, object],
    ) -> T:
        """
        Make a request, and return its result.

        Raises `ConnectionLost`, or what the venue's refusal stands for.
        """
        await self._slots.acquire()
        way = self._language.way(method, params)
        call_id, call = next(self._ids), _Call(method, way)
        self._calls[call_id] = call
        if not self._open:
            self._settle(call_id)
        elif way in (HTTP, IN_TURN):
            self._start(call_id, call, params)
        elif way in self._sockets:
            websocket, tap = self._sockets[way]
            message = self._language.mk_message(method, params, call_id)
            self.sent = time.monotonic()
            websocket.post(message)
            if tap:
                tap.sent(message, method)
        else:
            call.error = AuthError(f'{method}: there are no credentials')
            self._settle(call_id)
        # from here on the slot is the reply's, whether or not the caller stays
        await call.done.wait()
        if call.error:
            raise call.error
        if call.reply is None:
            raise ConnectionLost(f'{method}: connection lost before the reply')
        return self._read(method, result, call.reply)

    def _read(self, method: str, result: type[T], reply: Any) -> T:
        try:
            content = self._language.read_reply(method, reply)
        except _nonsense as err:
            raise ReplyLost(f'{method}: the reply is nonsense: {err}') from err
        try:
            return msgspec.json.decode(content, type=result)
        except _nonsense as err:
            raise ReplyLost(f'{method}: no such reply: {err}') from err

    def _settle(self, call_id: int, reply: Any = None) -> None:
        if call := self._calls.pop(call_id, None):
            call.reply = reply
            call.done.set()
            self._slots.release()

    # sockets

    def _handle(self, data: str | bytes, tap: Tap | None) -> None:
        self.heard = time.monotonic()
        if tap:
            tap.received(data)
        call_id, name, content = self._language.read_message(data)
        if call_id is None:
            try:
                self._on_notification(self, name, content)
            except Unexpected:
                said = describe(data, self._language.secrets)
                log.warning('unexpected message from the venue: %s', said)
        else:
            self._settle(call_id, content)
        # the venue is there, but a reply that is overdue got lost
        for call in self._calls.values():
            if call.way in self._sockets:
                if time.monotonic() - call.since > self._limits.reply:
                    raise ConnectionLost(
                        f'{call.method}: no reply for {self._limits.reply:g} s'
                    )
                break  # the others are younger

    # HTTP

    def _start(self, call_id: int, call: _Call, params: Mapping[str, object]) -> None:
#{% if client == 'asyncio' %}
        ask = self._ask(call_id, call, params)
        try:
            self._tasks.create_task(ask)
        except RuntimeError:  # the group is being left
            ask.close()
            self._settle(call_id)
#{% else %}
        self._tasks.start_soon(self._ask, call_id, call, params)
#{% endif %}

    async def _ask(
        self, call_id: int, call: _Call, params: Mapping[str, object]
    ) -> None:
        reply = None
        try:
            if call.way == HTTP:
                reply = await self._fetch(call.method, params)
            else:
                async with self._turn:
                    reply = await self._fetch(call.method, params)
        except BrokerError as err:
            call.error = err
        finally:
            self._settle(call_id, reply)

    async def _fetch(self, method: str, params: Mapping[str, object]) -> bytes:
        """
        The body of the reply. Raises what there is instead.
        """
        request = self._language.mk_request(method, params)
        self.sent = time.monotonic()
        if tap := self._tap:
            number = tap.asked(method, request)
        body = bytearray()
        try:
            async with self._http.stream(
                request.verb,
                request.path,
                headers=request.headers,
                content=request.body or None,
            ) as reply:
                self.heard = time.monotonic()
                async for chunk in reply.aiter_bytes():
                    body += chunk
                    if len(body) > self._limits.message:
                        raise ReplyLost(f'{method}: the reply has no end')
        except (httpx.ConnectError, httpx.ConnectTimeout) as err:
            raise ConnectionLost(f'{method}: {err or repr(err)}') from err
        except httpx.HTTPError as err:
            raise ReplyLost(f'{method}: no reply: {err!r}') from err
        if tap:
            tap.replied(number, reply.status_code, reply.headers, bytes(body))
        if reply.status_code == 200:
            return bytes(body)
        raise self._mk_error(method, reply, bytes(body))

    def _mk_error(self, method: str, reply: httpx.Response, body: bytes) -> BrokerError:
        """
        What a reply with another status stands for: what the venue says, if it does.
        """
        said = f'{method}: HTTP status {reply.status_code}'
        told: BrokerError | None = None
        try:
            self._language.read_reply(method, body)
        except BrokerError as err:
            told = err
        except _nonsense:
            pass  # whoever is in front of the venue has said it
        if (pause := read_pause(reply.headers.get('retry-after'))) is not None:
            return Throttled(str(told or said), pause)
        if told:
            return told
        match reply.status_code:
            case 429:
                return Throttled(said)
            case 401 | 403:
                return AuthError(said)
            case status if status >= 500:
                return ReplyLost(said)
        return BrokerError(said)


def read_reply(language: Language, method: str, data: bytes, over: str) -> msgspec.Raw:
    """
    The result in a reply. Raises what a refusal stands for.
    """
    content = data if over == HTTP else language.read_message(data)[2]
    return language.read_reply(method, content)


def read_news(language: Language, data: bytes) -> tuple[str, Any] | None:
    """
    The name and the content of what came unasked; None for a reply, as to a probe.
    """
    call_id, name, content = language.read_message(data)
    return (name, content) if call_id is None else None


_nonsense = (msgspec.MsgspecError, RecursionError, ValueError)
"""What comes of a message that is cut short, of another type, or nested without end."""


@acm
async def open_connection(
    url: str,
    language: Language,
    on_notification: Callable[[Connection, str, Any], None],
) -> AsyncIterator[Connection]:
    """
    A connection for as long as the block is open. Raises `ConnectionLost` out of it.
    """
    connection = Connection(url, language, on_notification)
    async with (
#{% if client == 'asyncio' %}
        open_client_proxy(connection) as connection,
#{% endif %}
        open_nursery() as tn,
    ):
        tn.start_soon(connection.run)
        with trio.fail_after(language.limits.connect):
            await connection.wait_open()
        yield connection
        tn.cancel_scope.cancel()
