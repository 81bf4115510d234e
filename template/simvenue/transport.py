"""
HTTP and WebSocket on one stream.
"""

from __future__ import annotations

from collections.abc import Iterable

import h11
import trio
from msgspec import Struct
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

_LARGEST = 2**22
"""Bytes of a request."""


class Gone(Exception):
    """
    The other side is gone, or does not keep to the protocol.
    """


class HttpRequest(Struct, frozen=True):
    method: str
    target: str
    """The path, and the query."""
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition('?')[0]

    @property
    def query(self) -> str:
        return self.target.partition('?')[2]

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), '')

    @property
    def wants_socket(self) -> bool:
        return self.header('upgrade').lower() == 'websocket'


class HttpConnection:
    """
    Requests and replies, one after the other.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._conn = h11.Connection(h11.SERVER)

    async def receive(self) -> HttpRequest:
        """
        The next request. Raises `Gone`.
        """
        if self._conn.our_state is h11.DONE:
            self._conn.start_next_cycle()
        head: h11.Request | None = None
        body = bytearray()
        try:
            while True:
                event = self._conn.next_event()
                if event is h11.NEED_DATA:
                    if self._conn.they_are_waiting_for_100_continue:
                        await self._send(
                            h11.InformationalResponse(status_code=100, headers=[])
                        )
                    self._conn.receive_data(await self.stream.receive_some())
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > _LARGEST:
                        raise Gone('too much')
                elif isinstance(event, h11.EndOfMessage) and head:
                    return HttpRequest(
                        head.method.decode(),
                        head.target.decode(),
                        [(key.decode(), value.decode()) for key, value in head.headers],
                        bytes(body),
                    )
                else:
                    raise Gone
        except (h11.RemoteProtocolError, UnicodeDecodeError) as err:
            raise Gone(str(err)) from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as err:
            raise Gone from err

    async def _send(self, *events: h11.Event) -> None:
        try:
            data = b''.join(self._conn.send(event) or b'' for event in events)
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, h11.LocalProtocolError) as err:
            raise Gone from err

    async def reply(
        self,
        status: int,
        body: bytes,
        *,
        kind: str = 'application/json',
        headers: Iterable[tuple[str, str]] = (),
        only: int | None = None,
    ) -> None:
        """
        Answer the request; or with `only` so many bytes of what was announced. Raises
        `Gone`.
        """
        length = ('content-length', str(len(body)))
        response = h11.Response(
            status_code=status, headers=[('content-type', kind), length, *headers]
        )
        if only is not None:
            await self._send(response, h11.Data(data=body[:only]))
            raise Gone
        await self._send(response, h11.Data(data=body), h11.EndOfMessage())

    @property
    def rest(self) -> bytes:
        """
        What came after the request that wants a socket.
        """
        return self._conn.trailing_data[0]


class WebSocket:
    """
    A connection that was HTTP.
    """

    def __init__(self, connection: HttpConnection) -> None:
        self._stream = connection.stream
        self._rest = connection.rest
        self._ws = WSConnection(ConnectionType.SERVER)
        self._lock = trio.Lock()

    async def accept(self, request: HttpRequest) -> None:
        """
        Raises `Gone`.
        """
        headers = [(k.encode(), v.encode()) for k, v in request.headers]
        try:
            self._ws.initiate_upgrade_connection(headers, request.target)
            for event in self._ws.events():
                if isinstance(event, Request):
                    await self.send(self._ws.send(AcceptConnection()))
                elif isinstance(event, RejectConnection):
                    raise Gone
        except (RemoteProtocolError, LocalProtocolError) as err:
            raise Gone(str(err)) from None
        if self._rest:
            self._ws.receive_data(self._rest)

    async def receive(self) -> bytes:
        """
        The next message. Raises `Gone`.
        """
        parts: list[bytes] = []
        try:
            while True:
                for event in self._ws.events():
                    match event:
                        case Ping():
                            await self.send(self._ws.send(event.response()))
                        case CloseConnection():
                            await self.send(self._ws.send(event.response()))
                            raise Gone
                        case Message():
                            text = isinstance(event, TextMessage)
                            data = event.data.encode() if text else bytes(event.data)
                            parts.append(data)
                            if sum(map(len, parts)) > _LARGEST:
                                raise Gone
                            if event.message_finished:
                                return b''.join(parts)
                data = bytes(await self._stream.receive_some())
                self._ws.receive_data(data or None)
        except (RemoteProtocolError, LocalProtocolError) as err:
            raise Gone(str(err)) from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as err:
            raise Gone from err

    async def send(self, data: bytes) -> None:
        """
        Frames. Raises `Gone`.
        """
        try:
            async with self._lock:
                await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as err:
            raise Gone from err

    async def close(self, code: int, reason: str = '') -> None:
        """
        Say goodbye. Raises `Gone` where the other side was quicker.
        """
        try:
            goodbye = self._ws.send(CloseConnection(code=code, reason=reason))
        except LocalProtocolError as err:
            raise Gone from err
        await self.send(goodbye)


def frame(message: bytes) -> bytes:
    """
    A text message from the server.
    """
    size = len(message)
    if size < 126:
        return b'\x81' + bytes([size]) + message
    if size < 2**16:
        return b'\x81\x7e' + size.to_bytes(2, 'big') + message
    return b'\x81\x7f' + size.to_bytes(8, 'big') + message


class Outbox:
    """
    What waits to be sent on a socket: frames, and the code of its end, 0 for one
    without a word.
    """

    _UNREAD = 10_000
    """Messages that may wait for a client to read them, before it is dropped."""
    _AT_ONCE = 100
    """Messages that are sent together."""

    def __init__(self) -> None:
        self._in, self._out = trio.open_memory_channel[bytes | int](self._UNREAD)

    def put(self, message: bytes | int) -> bool:
        """
        Returns whether there was room for it.
        """
        try:
            self._in.send_nowait(message)
        except trio.WouldBlock:
            return False
        return True

    async def feed(self, message: bytes) -> None:
        """
        Wait until there is room for it.
        """
        await self._in.send(message)

    async def send(self, socket: WebSocket) -> None:
        """
        Send all that is put in, until the end. Raises `Gone`.
        """
        async for message in self._out:
            frames: list[bytes] = []
            code = message
            while isinstance(code, bytes):
                frames.append(code)
                if len(frames) == self._AT_ONCE:
                    break
                try:
                    code = self._out.receive_nowait()
                except trio.WouldBlock:
                    break
            await socket.send(b''.join(frames))
            if isinstance(code, int):
                if code:
                    await socket.close(code)
                return
