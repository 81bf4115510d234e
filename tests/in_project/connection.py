"""
A connection to the venue: that of typed-deribit.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager as acm
from typing import Any, NoReturn, TypeVar

import msgspec
import trio
from typed_core.exceptions import ApiError, Error
from typed_deribit.core.transport.ws import SocketConnection, SocketRpcStreamClient

from ._connection import Language
from ._errors import ConnectionLost
from ._piker import BrokerError, open_nursery
from ._proxy import EventRelay
from .sdk import SocketRpcStreamClientMethods, open_sdk

T = TypeVar('T')


class Socket(SocketConnection):
    """
    Tells what comes unasked, and when it is lost. Lives on asyncio.
    """

    def __init__(
        self, url: str, on_notification: Callable[[Any, str, Any], None]
    ) -> None:
        super().__init__(url)
        self._on_notification = on_notification
        self.lost = trio.Event()
        self.heard = time.monotonic()

    def parse_msg(self, msg: str | bytes) -> Any:
        self.heard = time.monotonic()
        parsed = super().parse_msg(msg)
        if parsed and parsed['kind'] == 'subscription':
            self._on_notification(self, 'subscription', parsed['notification'])
        return parsed

    async def listener(self, ws: Any) -> None:
        try:
            await super().listener(ws)
        finally:
            self.lost.set()


class Connection:
    """
    See `_pacer.Connection`.
    """

    def __init__(
        self, sdk: SocketRpcStreamClientMethods, socket: Socket, language: Language
    ) -> None:
        self._sdk = sdk
        self._socket = socket
        self._mk_error = language.mk_error
        self.sent = time.monotonic()

    @property
    def heard(self) -> float:
        return self._socket.heard

    async def call(
        self, method: str, result: type[T], params: Mapping[str, object]
    ) -> T:
        self.sent = time.monotonic()
        try:
            reply = await self._sdk.request(method, params=params)
        except ApiError as err:
            raise self._mk_error(method, *err.args) from None
        except (Error, ValueError, RecursionError) as err:
            raise ConnectionLost(f'{method}: {err}') from err
        try:
            return msgspec.convert(reply, result)
        except msgspec.ValidationError as err:
            raise BrokerError(f'{method}: no such reply: {err}') from err


@acm
async def open_connection(
    url: str,
    language: Language,
    on_notification: Callable[[Any, str, Any], None],
) -> AsyncIterator[Connection]:
    """
    See `_venue.OpenConnection`. It connects with its first request.
    """
    socket = Socket(url, on_notification)
    async with (
        open_sdk(SocketRpcStreamClient(conn=socket), EventRelay()) as sdk,
        open_nursery() as tn,
    ):
        tn.start_soon(_watch, socket.lost)
        yield Connection(sdk, socket, language)
        tn.cancel_scope.cancel()


async def _watch(lost: trio.Event) -> NoReturn:
    # the SDK would connect again, but it would not subscribe
    await lost.wait()
    raise ConnectionLost('the connection broke')
