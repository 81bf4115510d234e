"""
A bare connection to the venue, for tests and for a look at what it says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from itertools import count
from typing import Any

import msgspec
from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketConnection,
    open_websocket_url,
)


class SimVenueError(Exception):
    """
    The venue did not start, cannot be reached, or refuses a request.
    """


class Refused(SimVenueError):
    """
    The error in a reply.
    """

    def __init__(self, method: str, code: int, message: str, data: Any = None) -> None:
        super().__init__(f'{method}: {message} ({code})')
        self.code = code
        self.data = data


class Wire:
    """
    One request at a time, and notifications.
    """

    def __init__(self, websocket: WebSocketConnection) -> None:
        self.websocket = websocket
        self.notifications: list[Any] = []
        """Those that came while a reply was waited for."""
        self._ids = count(1)

    async def receive(self) -> Any:
        """
        The next message, of any kind.
        """
        return msgspec.json.decode(await self.websocket.get_message())

    async def send(self, method: str, /, **params: object) -> int:
        """
        Send a request, and return its id.
        """
        request_id = next(self._ids)
        request = {'id': request_id, 'method': method, 'params': params}
        await self.websocket.send_message(msgspec.json.encode(request).decode())
        return request_id

    async def request(self, method: str, /, **params: object) -> Any:
        """
        The result of a request. Raises `Refused`.
        """
        request_id = await self.send(method, **params)
        while (message := await self.receive()).get('id') != request_id:
            self.notifications.append(message['params'])
        if error := message.get('error'):
            raise Refused(method, **error)
        return message['result']

    async def notification(self) -> Any:
        """
        The next one: `channel` and `data`, or a heartbeat's `type`.
        """
        if self.notifications:
            return self.notifications.pop(0)
        return (await self.receive())['params']


@acm
async def open_wire(url: str) -> AsyncIterator[Wire]:
    """
    Connect to the venue at `url`. Raises `SimVenueError`.
    """
    try:
        async with open_websocket_url(url, max_message_size=2**24) as websocket:
            yield Wire(websocket)
    except (HandshakeError, ConnectionClosed) as err:
        raise SimVenueError(f'{url} is gone: {err!r}') from err


async def call(url: str, method: str, /, **params: object) -> Any:
    """
    The result of a request to the venue at `url`, over a connection of its own.
    Raises `SimVenueError`.
    """
    async with open_wire(url) as wire:
        return await wire.request(method, **params)
