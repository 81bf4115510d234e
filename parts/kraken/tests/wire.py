"""
A bare connection to the simulated venue, in its own language.
"""

from __future__ import annotations

#{% if trading %}
import hmac
#{% endif %}
import json
#{% if trading %}
from base64 import b64decode, b64encode
#{% endif %}
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from decimal import Decimal
#{% if trading %}
from hashlib import sha256
#{% endif %}
from itertools import count
#{% if trading %}
from time import time_ns
#{% endif %}
from typing import Any
#{% if trading %}
from urllib.parse import urlencode
#{% endif %}

import httpx
import msgspec
from trio_websocket import WebSocketConnection, open_websocket_url

BTC = 'BTC/USD'
PAIR = 'XXBTZUSD'

#{% if trading %}
_nonces = count(time_ns())
#{% endif %}
_encode = msgspec.json.Encoder(decimal_format='number').encode


class Refused(Exception):
    """
    The error in a reply.
    """


class Rest:
#{% if trading %}
    """
    Requests by HTTP, those that are private signed.
    """

    def __init__(self, http: httpx.AsyncClient, key: str, secret: str) -> None:
        self.http = http
        self._key, self._secret = key, secret
#{% else %}
    """
    Requests by HTTP.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
#{% endif %}

    async def get(self, name: str, /, **params: Any) -> Any:
        """
        The result. Raises `Refused`.
        """
        return _result(await self.http.get(f'/0/public/{name}', params=params))
#{% if trading %}

    async def post(self, name: str, /, **params: Any) -> Any:
        return _result(await self.send(name, **params))

    async def send(
        self, name: str, /, nonce: int | None = None, **params: Any
    ) -> httpx.Response:
        nonce = next(_nonces) if nonce is None else nonce
        path = f'/0/private/{name}'
        body = urlencode({'nonce': nonce, **params})
        digest = sha256(f'{nonce}{body}'.encode()).digest()
        secret = b64decode(self._secret)
        sign = hmac.new(secret, path.encode() + digest, 'sha512').digest()
        headers = {
            'API-Key': self._key,
            'API-Sign': b64encode(sign).decode(),
            'Content-Type': 'application/x-www-form-urlencoded',
        }
        return await self.http.post(path, content=body, headers=headers)
#{% endif %}


def _result(reply: httpx.Response) -> Any:
    assert reply.status_code == 200
    message = reply.json()
    if message['error']:
        raise Refused(*message['error'])
    return message['result']


def open_http(url: str) -> httpx.AsyncClient:
    # without TLS: to load the certificates that it would go by takes a while
    return httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=20)


#{% if trading %}
@acm
async def open_rest(
    url: str, key: str = 'simkey', secret: str = 'simsecretkey'
) -> AsyncIterator[Rest]:
    async with open_http(url) as http:
        yield Rest(http, key, secret)
#{% else %}
@acm
async def open_rest(url: str) -> AsyncIterator[Rest]:
    async with open_http(url) as http:
        yield Rest(http)
#{% endif %}


class Wire:
    """
    A bare socket: one request at a time, and what is told.
    """

    def __init__(self, websocket: WebSocketConnection, token: str = '') -> None:
        self.websocket = websocket
        self.token = token
        self.told: list[Any] = []
        self._ids = count(1)

    async def receive(self) -> Any:
        # numbers as they are written
        return json.loads(await self.websocket.get_message(), parse_float=Decimal)

    async def send(self, method: str, /, **params: object) -> int:
        req_id = next(self._ids)
        if self.token:
            params = {'token': self.token, **params}
        request = {'req_id': req_id, 'method': method, 'params': params}
        await self.websocket.send_message(_encode(request).decode())
        return req_id

    async def reply(self, method: str, /, **params: object) -> Any:
        req_id = await self.send(method, **params)
        return await self.answer(req_id)

    async def answer(self, req_id: int) -> Any:
        while (message := await self.receive()).get('req_id') != req_id:
            self.told.append(message)
        return message

    async def request(self, method: str, /, **params: object) -> Any:
        """
        The result. Raises `Refused`.
        """
        message = await self.reply(method, **params)
        if not message['success']:
            raise Refused(message['error'])
        return message['result']

    async def subscribe(self, channel: str, *symbols: str, **params: object) -> Any:
        if symbols:
            params['symbol'] = symbols
        return await self.request('subscribe', channel=channel, **params)

    async def news(self, channel: str, kind: str = '') -> Any:
        """
        The next message of that channel.
        """
        while True:
            message = self.told.pop(0) if self.told else await self.receive()
            if message.get('channel') == channel and message['type'].startswith(kind):
                return message

    async def rows(self, channel: str, kind: str = 'update') -> Any:
        return (await self.news(channel, kind))['data']


#{% if trading %}
async def get_token(url: str, key: str = 'simkey') -> str:
    async with open_rest(url, key) as rest:
        token: str = (await rest.post('GetWebSocketsToken'))['token']
        return token


@acm
async def open_account(url: str, key: str = 'simkey') -> AsyncIterator[Wire]:
    async with open_wire(url, '/auth/v2', await get_token(url, key)) as wire:
        yield wire


#{% endif %}
@acm
async def open_wire(
    url: str, path: str = '/v2', token: str = ''
) -> AsyncIterator[Wire]:
    socket = url.replace('http://', 'ws://') + path
    async with open_websocket_url(socket, max_message_size=2**28) as websocket:
        yield Wire(websocket, token)
