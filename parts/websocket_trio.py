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
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException
from websockets.trio.client import ClientConnection, connect

from ._piker import open_nursery


class WebSocket:
    """
    Raises nothing but `OSError` where the connection breaks.
    """

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._heard = trio.current_time()
        self._outbox, self._unsent = trio.open_memory_channel[str](math.inf)

    def post(self, message: str) -> None:
        self._outbox.send_nowait(message)

    async def write(self) -> None:
        # where the connection is lost, the reader says so
        with suppress(ConnectionClosed):
            async for message in self._unsent:
                await self._websocket.send(message)

    async def watch(self, silence: float) -> NoReturn:
        # once in a while, where a timeout of each message would cost more than itself
        while True:
            left = self._heard + silence - trio.current_time()
            if left <= 0:
                raise TimeoutError('the venue has fallen silent')
            await trio.sleep(left)

    async def receive(self) -> str | bytes:
        try:
            message = await self._websocket.recv(decode=False)
        except ConnectionClosed as err:
            raise ConnectionError(f'the venue hung up: {err}') from None
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
            connecting = connect(
                url,
                open_timeout=None,
                ping_interval=None,
                close_timeout=0.1,
                max_size=max_size,
                max_queue=64,
                proxy=None,
            )
            # entered as a context it would have a nursery of its own, which takes an
            # exception out of its group
            connection = await connecting.connect(tn)
        except InvalidURI as err:
            raise ValueError(str(err)) from None
        except (WebSocketException, EOFError) as err:
            raise ConnectionError(f'no WebSocket at {url}: {err!r}') from err
        except trio.BrokenResourceError as err:  # from the handshake of TLS
            raise ConnectionError(f'no TLS at {url}: {err.__cause__!r}') from err
        websocket = WebSocket(connection)
        tn.start_soon(websocket.write)
        tn.start_soon(websocket.watch, silence)
        try:
            yield websocket
        finally:
            # the connection's own task closes the socket as it is cancelled
            tn.cancel_scope.cancel()
