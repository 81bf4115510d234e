"""
A WebSocket, on asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

from ._redaction import hide_userinfo


class WebSocket:
    """
    Raises nothing but `OSError` where the connection breaks.
    """

    def __init__(self, websocket: ClientConnection, silence: float) -> None:
        self._websocket = websocket
        self._silence = silence
        self._outbox: asyncio.Queue[str] = asyncio.Queue()

    def post(self, message: str) -> None:
        self._outbox.put_nowait(message)

    async def write(self) -> None:
        # where the connection is lost, the reader says so
        with suppress(ConnectionClosed):
            while True:
                await self._websocket.send(await self._outbox.get())

    async def receive(self) -> str | bytes:
        try:
            async with asyncio.timeout(self._silence):
                return await self._websocket.recv(decode=False)
        except TimeoutError:
            raise TimeoutError('the venue has fallen silent') from None
        except ConnectionClosed as err:
            raise ConnectionError(f'the venue hung up: {err}') from None


@acm
async def open_websocket(
    url: str, max_size: int, silence: float
) -> AsyncIterator[WebSocket]:
    """
    Connect, for as long as the block is open. Raises `ValueError` for a URL that is
    none, and `OSError`, be it that nothing comes for `silence` s.
    """
    try:
        connection = await connect(
            url,
            open_timeout=None,
            ping_interval=None,
            close_timeout=0.1,
            max_size=max_size,
            max_queue=64,
            proxy=None,
        )
    except InvalidURI as err:
        raise ValueError(hide_userinfo(str(err))) from None
    except (WebSocketException, EOFError) as err:
        where = hide_userinfo(url)
        raise ConnectionError(f'no WebSocket at {where}: {err!r}') from err
    async with connection:
        websocket = WebSocket(connection, silence)
        writer = asyncio.create_task(websocket.write())
        try:
            yield websocket
        finally:
            writer.cancel()
