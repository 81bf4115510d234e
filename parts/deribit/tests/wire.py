"""
A bare connection to the simulated venue, in its own language.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from itertools import count
from typing import Any

import httpx
import msgspec
from trio_websocket import WebSocketConnection, open_websocket_url

BTC = 'BTC-PERPETUAL'


class Refused(Exception):
    """
    The error in a reply.
    """


class Wire:
    """
    A bare connection: one request at a time, and notifications.
    """

    def __init__(self, websocket: WebSocketConnection) -> None:
        self.websocket = websocket
        self.notifications: list[Any] = []
        self._ids = count(1)

    async def receive(self) -> Any:
        return msgspec.json.decode(await self.websocket.get_message())

    async def send(self, method: str, /, **params: object) -> int:
        request_id = next(self._ids)
        request = {'id': request_id, 'method': method, 'params': params}
        await self.websocket.send_message(msgspec.json.encode(request).decode())
        return request_id

    async def reply(self, method: str, /, **params: object) -> Any:
        request_id = await self.send(method, **params)
        while (message := await self.receive()).get('id') != request_id:
            self.notifications.append(message['params'])
        return message

    async def request(self, method: str, /, **params: object) -> Any:
        """
        The result. Raises `Refused`.
        """
        message = await self.reply(method, **params)
        if error := message.get('error'):
            raise Refused(error['code'], error['message'], error['data'])
        return message['result']

    async def subscribe(self, *channels: str) -> Any:
        return await self.request('public/subscribe', channels=channels)

    async def notification(self, channel: str = '') -> Any:
        """
        The next one, if need be of that channel: its data.
        """
        while True:
            told = self.notifications or [(await self.receive())['params']]
            params = told.pop(0)
            if not channel:
                return params
            if params.get('channel') == channel:
                return params['data']


@acm
async def open_wire(url: str) -> AsyncIterator[Wire]:
    async with open_websocket_url(url, max_message_size=2**28) as websocket:
        yield Wire(websocket)


def rest(url: str) -> httpx.AsyncClient:
    base = url.replace('ws://', 'http://').replace('/ws/', '/')
    return httpx.AsyncClient(base_url=base, trust_env=False, verify=False, timeout=20)


async def log_in(wire: Wire, key: str = 'simkey', **params: object) -> Any:
    return await wire.request(
        'public/auth',
        grant_type='client_credentials',
        client_id=key,
        client_secret='simsecretkey',
        **params,
    )


@acm
async def open_account(url: str, key: str = 'simkey') -> AsyncIterator[Wire]:
    async with open_wire(url) as wire:
        await log_in(wire, key)
        yield wire
