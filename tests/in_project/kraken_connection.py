"""
A connection to the venue: that of python-kraken-sdk.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager as acm
from itertools import count
from typing import Any, NoReturn, TypeVar

import aiohttp
import msgspec
import trio
from kraken.exceptions import KrakenAuthenticationError
from kraken.spot import SpotWSClient
from websockets.exceptions import WebSocketException

from ._connection import HTTP, IN_TURN
from ._errors import AuthError, ConnectionLost, ReplyLost, Unexpected
from ._piker import get_logger, open_nursery
from ._proxy import EventRelay
from .messages import SocketMessage
from .sdk import SpotWSClientMethods, open_sdk

T = TypeVar('T')

log = get_logger('connection')


class Reply:
    def __init__(self) -> None:
        self.come = trio.Event()
        self.message: SocketMessage | None = None


class Client(SpotWSClient):
    """
    Keeps replies for those who wait for them, and hands on what comes unasked. Lives on
    asyncio.
    """

    def __init__(
        self, url: str, language: Any, on_notification: Callable[[Any, str, Any], None]
    ) -> None:
        sockets, keys = language.sockets(url), language.credentials
        super().__init__(
            keys.key if keys else '',
            keys.reveal() if keys else '',
            rest_url=url,
            ws_url=sockets['public'].removesuffix('/v2'),
            auth_ws_url=sockets.get('private', '').removesuffix('/v2'),
        )
        self._on_notification = on_notification
        self._greetings = len(sockets)
        self.replies: dict[int, Reply] = {}
        self.lost = trio.Event()
        self.heard = time.monotonic()

    async def on_message(self, message: Any) -> None:
        self.heard = time.monotonic()
        # it has read the JSON, of which we have types
        said = msgspec.json.decode(json.dumps(message), type=SocketMessage)
        if said.channel == 'status':
            # it connects again by itself, and nobody else would know
            self._greetings -= 1
            if self._greetings < 0:
                self.lost.set()
        if self.lost.is_set():
            return
        if reply := self.replies.pop(said.req_id or 0, None):
            reply.message = said
            reply.come.set()
        elif said.req_id is None:
            try:
                self._on_notification(self, said.channel, said)
            except Unexpected as err:
                log.warning('unexpected message from the venue: %s', err)

    def end(self) -> None:
        """
        Let nobody wait any longer.
        """
        self.lost.set()
        for reply in self.replies.values():
            reply.come.set()

    async def request(  # type: ignore[override]
        self, *args: Any, return_raw: bool = False, **other: Any
    ) -> Any:
        reply: Any = await super().request(*args, return_raw=return_raw, **other)
        return await reply.read() if return_raw else reply

    async def close(self) -> None:
        # it would wait for what comes next
        for connection in (self._pub_conn, self._priv_conn):
            if connection and connection.socket:
                connection.keep_alive = False
                await connection.close_connection()
        await super().close()


class Connection:
    """
    See `_pacer.Connection`.
    """

    def __init__(self, sdk: SpotWSClientMethods, client: Client, language: Any) -> None:
        self._sdk = sdk
        self._client = client
        self._language = language
        self._ids = count(1)
        self._turn = trio.Lock()
        self.sent = time.monotonic()

    @property
    def heard(self) -> float:
        return self._client.heard

    async def call(
        self, method: str, result: type[T], params: Mapping[str, object]
    ) -> T:
        given = msgspec.json.decode(msgspec.json.encode(params))
        self.sent = time.monotonic()
        reply: Any
        try:
            match self._language.way(method, given):
                case way if way == HTTP:
                    reply = await self._fetch('GET', method, given)
                case way if way == IN_TURN:
                    async with self._turn:
                        reply = await self._fetch('POST', method, given)
                case _:
                    reply = await self._ask(method, given)
        except KrakenAuthenticationError as err:
            raise AuthError(f'{method}: there are no credentials') from err
        except aiohttp.ClientConnectorError as err:
            raise ConnectionLost(f'{method}: {err}') from err
        except (aiohttp.ClientError, OSError) as err:
            raise ReplyLost(f'{method}: no reply: {err!r}') from err
        content = self._language.read_reply(method, reply)
        try:
            return msgspec.json.decode(content, type=result)
        except msgspec.MsgspecError as err:
            raise ReplyLost(f'{method}: no such reply: {err}') from err

    async def _fetch(self, verb: str, method: str, params: dict[str, Any]) -> bytes:
        body: bytes = await self._sdk.request(
            verb, f'/0/{method}', params, auth=verb == 'POST', return_raw=True
        )
        return body

    async def _ask(self, method: str, params: dict[str, Any]) -> SocketMessage:
        call_id, reply = next(self._ids), Reply()
        self._client.replies[call_id] = reply
        message = {'method': method, 'req_id': call_id, 'params': params}
        try:
            await self._send(message)
            with trio.fail_after(self._language.limits.reply):
                await reply.come.wait()
        except trio.TooSlowError:
            raise ConnectionLost(f'{method}: no reply') from None
        finally:
            self._client.replies.pop(call_id, None)
        if reply.message is None:
            raise ConnectionLost(f'{method}: connection lost before the reply')
        return reply.message

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._sdk.send_message(message)
        except (WebSocketException, OSError) as err:
            raise ConnectionLost(f'nothing can be sent: {err!r}') from err

    async def watch(self, silence: float) -> NoReturn:
        while not self._client.lost.is_set():
            with trio.move_on_after(silence / 4):
                await self._client.lost.wait()
            if time.monotonic() - self.heard > silence:
                raise ConnectionLost('the venue has fallen silent')
            await self._send({'method': 'ping'})
        raise ConnectionLost('the connection broke')


@acm
async def open_connection(
    url: str,
    language: Any,
    on_notification: Callable[[Any, str, Any], None],
) -> AsyncIterator[Connection]:
    """
    See `_venue.OpenConnection`.
    """
    client = Client(url, language, on_notification)
    async with (
        open_sdk(client, EventRelay()) as sdk,
        open_nursery() as tn,
    ):
        connection = Connection(sdk, client, language)
        tn.start_soon(connection.watch, language.limits.silence)
        try:
            yield connection
        finally:
            client.end()
        tn.cancel_scope.cancel()
