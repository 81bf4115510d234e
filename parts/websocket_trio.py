"""
A WebSocket, on trio.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress

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
        self._outbox, self._unsent = trio.open_memory_channel[str](math.inf)

    def post(self, message: str) -> None:
        self._outbox.send_nowait(message)

    async def write(self) -> None:
        # where the connection is lost, the reader says so
        with suppress(ConnectionClosed, ProtocolError, OSError):
            async for message in self._unsent:
                await self._websocket.send_message(message)

    async def receive(self, within: float) -> str | bytes:
        """
        The next message, if one comes within `within` s.
        """
        try:
            with trio.fail_after(within):
                message: str | bytes = await self._websocket.get_message()
        except trio.TooSlowError:
            raise TimeoutError('the venue has fallen silent') from None
        except ConnectionClosed as err:
            raise ConnectionError(f'the venue hung up: {err.reason}') from None
        return message


@acm
async def open_websocket(url: str, max_size: int) -> AsyncIterator[WebSocket]:
    """
    Connect, for as long as the block is open. Raises `ValueError` for a URL that is
    none, and `OSError`.
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
        try:
            yield websocket
        finally:
            tn.cancel_scope.cancel()
            await trio.aclose_forcefully(connection)
