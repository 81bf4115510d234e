"""
A WebSocket, on trio: the protocol is that of websockets, which does no I/O by itself.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from typing import NoReturn

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState, InvalidURI, WebSocketException
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from ._piker import open_nursery
from ._redaction import hide_userinfo


class WebSocket:
    """
    Raises nothing but `OSError` where the connection breaks.
    """

    def __init__(self, stream: trio.abc.Stream, protocol: ClientProtocol) -> None:
        self._stream = stream
        self._protocol = protocol
        self._heard = trio.current_time()
        self._outbox, self._unsent = trio.open_memory_channel[bytes](math.inf)
        self._unread: deque[bytes] = deque()
        self._fragments: list[bytes] = []

    async def greet(self) -> None:
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while self._protocol.state is State.CONNECTING:
            await self._read()
            if error := self._protocol.handshake_exc:
                raise error

    def post(self, message: str) -> None:
        # where the connection is lost, the reader says so
        with suppress(InvalidState):
            self._protocol.send_text(message.encode())
        self._flush()

    async def write(self) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in self._unsent:
                await self._stream.send_all(data)

    async def watch(self, silence: float) -> NoReturn:
        # once in a while, where a timeout of each message would cost more than itself
        while True:
            left = self._heard + silence - trio.current_time()
            if left <= 0:
                raise TimeoutError('the venue has fallen silent')
            await trio.sleep(left)

    async def receive(self) -> bytes:
        """
        The next message. Of those that have come together only the first one takes a
        turn of the loop, which costs more than a message.
        """
        while not self._unread:
            if self._protocol.state is not State.OPEN:
                self._protocol.receive_eof()  # no more of it is read
                raise ConnectionError(f'the venue hung up: {self._protocol.close_exc}')
            await self._read()
        return self._unread.popleft()

    async def _read(self) -> None:
        """
        Take in what has come.
        """
        try:
            data = await self._stream.receive_some()
        except trio.BrokenResourceError as err:
            raise ConnectionError(f'it broke: {err.__cause__ or err!r}') from err
        if data:
            self._heard = trio.current_time()
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
                self._fragments.append(bytes(event.data))
                if event.fin:
                    self._unread.append(b''.join(self._fragments))
                    self._fragments.clear()
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._outbox.send_nowait(data)


@acm
async def open_websocket(
    url: str, max_size: int, silence: float
) -> AsyncIterator[WebSocket]:
    """
    Connect, for as long as the block is open. Raises `ValueError` for a URL that is
    none, and `OSError`, be it that nothing comes for `silence` s.
    """
    where = hide_userinfo(url)
    try:
        uri = parse_uri(url)
    except InvalidURI as err:
        raise ValueError(hide_userinfo(str(err))) from None
    dial = trio.open_ssl_over_tcp_stream if uri.secure else trio.open_tcp_stream
    stream = await dial(uri.host, uri.port)
    websocket = WebSocket(stream, ClientProtocol(uri, max_size=max_size))
    try:
        async with open_nursery() as tn:
            tn.start_soon(websocket.write)
            tn.start_soon(websocket.watch, silence)
            try:
                if isinstance(stream, trio.SSLStream):
                    await stream.do_handshake()
                await websocket.greet()
            except trio.BrokenResourceError as err:
                raise ConnectionError(f'no TLS at {where}: {err.__cause__!r}') from err
            except WebSocketException as err:
                raise ConnectionError(f'no WebSocket at {where}: {err!r}') from err
            try:
                yield websocket
            finally:
                tn.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)
