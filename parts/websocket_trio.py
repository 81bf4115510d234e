"""
A WebSocket, on trio.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from typing import NoReturn
from urllib.parse import urlsplit

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ._piker import open_nursery

_chunk: int = 2**14
"""Bytes that are taken in at once, before anybody else has a turn."""
_closed = (trio.BrokenResourceError, trio.ClosedResourceError)


class WebSocket:
    """
    All that has come is taken in at once: a turn of the loop for each message would
    cost more than the message. Raises nothing but `OSError` where the connection
    breaks.
    """

    def __init__(self, stream: trio.abc.Stream, max_size: int) -> None:
        self._stream = stream
        self._max_size = max_size
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._accepted = False
        self._parts: list[str | bytes] = []
        """Of a message that has not come whole."""
        self._size = 0
        self._unread: list[str | bytes] = []
        self._end: str | None = None
        """Why there will be no more."""
        self._heard = trio.current_time()
        self._unsent = b''
        self._posted = trio.Event()

    def post(self, message: str) -> None:
        self._send(TextMessage(message))

    def _send(self, event: Event) -> None:
        # where the connection is lost, the reader says so
        with suppress(LocalProtocolError):
            self._unsent += self._protocol.send(event)
            self._posted.set()

    async def write(self) -> None:
        with suppress(*_closed):
            while True:
                await self._posted.wait()
                self._posted = trio.Event()
                data, self._unsent = self._unsent, b''
                await self._stream.send_all(data)

    async def watch(self, silence: float) -> NoReturn:
        # once in a while, where a timeout of each message would cost more than itself
        while True:
            left = self._heard + silence - trio.current_time()
            if left <= 0:
                raise TimeoutError('the venue has fallen silent')
            await trio.sleep(left)

    async def shake_hands(self, host: str, target: str) -> None:
        self._send(Request(host=host, target=target))
        while not self._accepted:
            await self._read()

    async def receive(self) -> list[str | bytes]:
        """
        The messages that have come since the last call, one at least.
        """
        while not self._unread:
            await self._read()
        self._heard = trio.current_time()
        messages, self._unread = self._unread, []
        return messages

    async def _read(self) -> None:
        if self._end is not None:
            raise ConnectionError(f'the venue hung up: {self._end}')
        try:
            data = await self._stream.receive_some(_chunk)
            self._protocol.receive_data(bytes(data) or None)
            for event in self._protocol.events():
                self._handle(event)
        except (*_closed, RemoteProtocolError) as err:
            self._end = str(err)

    def _handle(self, event: Event) -> None:
        match event:
            case Message(data=data):
                self._size += len(data)
                if self._size > self._max_size:
                    raise ConnectionError(f'a message of more than {self._max_size} B')
                self._parts.append(data)
                if event.message_finished:
                    self._unread.append(type(data)().join(self._parts))
                    self._parts, self._size = [], 0
            case AcceptConnection():
                self._accepted = True
            case RejectConnection(status_code=status):
                raise ConnectionError(f'its answer is HTTP {status}')
            case Ping():
                self._send(event.response())
            case CloseConnection(reason=reason):
                self._end = reason or ''
                self._send(event.response())


@acm
async def open_websocket(
    url: str, max_size: int, silence: float
) -> AsyncIterator[WebSocket]:
    """
    Connect, for as long as the block is open. Raises `ValueError` for a URL that is
    none, and `OSError`, be it that nothing comes for `silence` s.
    """
    at = urlsplit(url)
    if at.scheme not in ('ws', 'wss') or not at.hostname:
        raise ValueError('it does not begin with ws:// or wss://, and a host')
    stream: trio.abc.Stream
    if at.scheme == 'ws':
        stream = await trio.open_tcp_stream(at.hostname, at.port or 80)
    else:
        stream = await trio.open_ssl_over_tcp_stream(
            at.hostname,
            at.port or 443,
            ssl_context=ssl.create_default_context(),
            https_compatible=True,
        )
    websocket = WebSocket(stream, max_size)
    target = at.path or '/'
    async with open_nursery() as tn:
        tn.start_soon(websocket.write)
        try:
            try:
                await websocket.shake_hands(
                    at.netloc, f'{target}?{at.query}' if at.query else target
                )
            except ConnectionError as err:
                raise ConnectionError(f'no WebSocket at {url}: {err}') from err
            tn.start_soon(websocket.watch, silence)
            yield websocket
        finally:
            # first, or `Cancelled` would take the place of the error
            await trio.aclose_forcefully(stream)
            tn.cancel_scope.cancel()
