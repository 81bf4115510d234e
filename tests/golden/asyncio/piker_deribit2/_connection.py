"""
One connection to the venue, from its first message to its last: JSON-RPC 2.0 over a
WebSocket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager as acm
from itertools import count
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec
import trio

from ._config import NAME, Limits
from ._errors import ConnectionLost, ReplyLost, Unexpected
from ._piker import BrokerError, Struct, get_logger, open_nursery
from ._proxy import open_client_proxy
from ._redaction import hide_userinfo
from ._tap import Tap, describe, open_tap
from ._websocket import WebSocket, open_websocket

T = TypeVar('T')

PROTOCOL: str = 'jsonrpc'

log = get_logger(f'{NAME}.connection')


class Language(Protocol):
    """
    What a connection asks of the author's `Client`.
    """

    limits: Limits
    secrets: frozenset[str]
    """Fields whose values are for nobody's eyes."""

    @property
    def mk_error(self) -> Callable[[str, int, str, Any], BrokerError]:
        """What a refusal stands for: of a method, by a code, a message and data."""


class _Error(Struct, frozen=True):
    code: int
    message: str = ''
    data: Any = None


class _Message(Struct, frozen=True):
    """
    Anything that the venue sends: a reply with the `id` of its request, or a
    notification with a `method`.
    """

    id: int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None
    method: str = ''
    params: msgspec.Raw = msgspec.Raw()


class _Call:
    """
    A request on its way.
    """

    def __init__(self, method: str) -> None:
        self.method = method
        self.since = time.monotonic()
        self.reply: _Message | None = None
        self.done = asyncio.Event()


class Connection:
    """
    Requests overtake each other freely, and a caller may be cancelled at any point: all
    writing is left to one task and all reading to another. Lives on asyncio.

    TODO: where the vendor has an SDK, that can be the connection instead: see
    `Client.open_connection`. It needs coroutine methods that raise, and a callback for
    what comes unasked.
    """

    def __init__(
        self,
        url: str,
        language: Language,
        on_notification: Callable[[Connection, str, msgspec.Raw], None],
    ) -> None:
        self._url = url
        self._limits = language.limits
        self._secrets = language.secrets
        self._tap: Tap | None = None
        self._on_notification = on_notification
        self._language = language
        self._ids = count(1)
        self._calls: dict[int, _Call] = {}
        self._websocket: WebSocket | None = None
        self.sent = self.heard = time.monotonic()
        """When the last message went out, and when one came."""
        self._slots = asyncio.Semaphore(self._limits.in_flight)
        self._opened = asyncio.Event()

    async def run(self) -> NoReturn:
        """
        Connect, and read. Raises `ConnectionLost` in the end, and `BrokerError` for a
        URL that is none.
        """
        try:
            async with open_websocket(
                self._url, self._limits.message, self._limits.silence
            ) as websocket:
                self._tap = open_tap(self._url, PROTOCOL, 'ws', self._secrets, 'id')
                self._websocket = websocket
                self._opened.set()
                while True:
                    self._handle(await websocket.receive())
        except OSError as err:
            raise ConnectionLost(str(err) or repr(err)) from err
        except _nonsense as err:
            if self._websocket:
                raise ConnectionLost(f'the venue sent nonsense: {err}') from err
            url = hide_userinfo(self._url)
            raise BrokerError(f'{url!r} is no WebSocket URL: {err}') from err
        finally:
            if self._tap:
                self._tap.closed()
            self._websocket = None
            for call_id in list(self._calls):
                self._settle(call_id, None)

    async def wait_open(self) -> None:
        await self._opened.wait()

    def post(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        call_id: int = 0,
    ) -> None:
        """
        Send a request, but wait for nothing: nobody's `call_id` is 0.
        """
        assert self._websocket
        self.sent = time.monotonic()
        request = {
            'jsonrpc': '2.0',
            'id': call_id,
            'method': method,
            'params': params or {},
        }
        message = msgspec.json.encode(request).decode()
        self._websocket.post(message)
        if self._tap:
            self._tap.sent(message, method)

    async def call(
        self,
        method: str,
        result: type[T],
        params: Mapping[str, object],
    ) -> T:
        """
        Make a request, and return its result.

        Raises `ConnectionLost`, or what the venue's error stands for.
        """
        await self._slots.acquire()
        call_id, call = next(self._ids), _Call(method)
        self._calls[call_id] = call
        if self._websocket:
            self.post(method, params, call_id)
        else:
            self._settle(call_id, None)
        # from here on the slot is the reply's, whether or not the caller stays
        await call.done.wait()
        if call.reply is None:
            raise ConnectionLost(f'{method}: connection lost before the reply')
        content = _read_reply(self._language, method, call.reply)
        try:
            return msgspec.json.decode(content, type=result)
        except _nonsense as err:
            raise ReplyLost(f'{method}: no such reply: {err}') from err

    def _settle(self, call_id: int, reply: _Message | None) -> None:
        if call := self._calls.pop(call_id, None):
            call.reply = reply
            call.done.set()
            self._slots.release()

    def _handle(self, data: str | bytes) -> None:
        self.heard = time.monotonic()
        if self._tap:
            self._tap.received(data)
        message = _decode_message(data)
        if message.id is not None:
            self._settle(message.id, message)
        else:
            try:
                self._on_notification(self, message.method, message.params)
            except Unexpected:
                said = describe(data, self._secrets)
                log.warning('unexpected message from the venue: %s', said)
        # the venue is there, but a reply that is overdue got lost
        for call in self._calls.values():
            if time.monotonic() - call.since > self._limits.reply:
                raise ConnectionLost(
                    f'{call.method}: no reply for {self._limits.reply:g} s'
                )
            break  # the others are younger


def read_reply(
    language: Language, method: str, data: bytes, over: str = 'ws'
) -> msgspec.Raw:
    """
    The result in a reply. Raises what a refusal stands for.
    """
    return _read_reply(language, method, _decode_message(data))


def _read_reply(language: Language, method: str, reply: _Message) -> msgspec.Raw:
    if error := reply.error:
        raise language.mk_error(method, error.code, error.message, error.data)
    return reply.result


def read_news(language: Language, data: bytes) -> tuple[str, msgspec.Raw] | None:
    """
    The name and the content of what came unasked; None for a reply.
    """
    message = _decode_message(data)
    return (message.method, message.params) if message.id is None else None


_decode_message = msgspec.json.Decoder(_Message).decode

_nonsense = (msgspec.MsgspecError, RecursionError, ValueError)
"""What comes of a message that is cut short, of another type, or nested without end."""


@acm
async def open_connection(
    url: str,
    language: Language,
    on_notification: Callable[[Connection, str, msgspec.Raw], None],
) -> AsyncIterator[Connection]:
    """
    A connection for as long as the block is open. Raises `ConnectionLost` out of it.
    """
    connection = Connection(url, language, on_notification)
    async with (
        open_client_proxy(connection) as connection,
        open_nursery() as tn,
    ):
        tn.start_soon(connection.run)
        with trio.fail_after(language.limits.connect):
            await connection.wait_open()
        yield connection
        tn.cancel_scope.cancel()
