"""
A WebSocket, on trio.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from typing import NoReturn

import trio
from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketConnection,
    connect_websocket_url,
)
from wsproto.utilities import ProtocolError

from ._piker import open_nursery


class WebSocket:
    """
    Raises nothing but `OSError` where the connection breaks.
    """

    def __init__(self, websocket: WebSocketConnection) -> None:
        self._websocket = websocket
        self._heard = trio.current_time()
        self._outbox, self._unsent = trio.open_memory_channel[str](math.inf)

    def post(self, message: str) -> None:
        self._outbox.send_nowait(message)

    async def write(self) -> None:
        # where the connection is lost, the reader says so
        with suppress(ConnectionClosed, ProtocolError, OSError):
            async for message in self._unsent:
                await self._websocket.send_message(message)

    async def watch(self, silence: float) -> NoReturn:
        # once in a while, where a timeout of each message would cost more than itself
        while True:
            left = self._heard + silence - trio.current_time()
            if left <= 0:
                raise TimeoutError('the venue has fallen silent')
            await trio.sleep(left)

    async def receive(self) -> str | bytes:
        try:
            message: str | bytes = await self._websocket.get_message()
        except ConnectionClosed as err:
            raise ConnectionError(f'the venue hung up: {err.reason}') from None
        self._heard = trio.current_time()
        return message


@acm
async def open_websocket(
    url: str, max_size: int, silence: float
) -> AsyncIterator[WebSocket]:
    """
    Connect, for as long as the block is open. Raises `ValueError` for a URL that is
    none, and `OSError`, be it that nothing comes for `silence` s.
    """
    async with open_nursery() as tn:
        try:
            connection = await connect_websocket_url(
                tn, url, message_queue_size=64, max_message_size=max_size
            )
        except (HandshakeError, ProtocolError) as err:
            raise ConnectionError(f'no WebSocket at {url}: {err!r}') from err
        websocket = WebSocket(connection)
        tn.start_soon(websocket.write)
        tn.start_soon(websocket.watch, silence)
        try:
            yield websocket
        finally:
            tn.cancel_scope.cancel()
            await trio.aclose_forcefully(connection)
