"""
The client's end of the execution management system.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from typing import Any

import trio
from msgspec import convert
from msgspec.structs import replace

from .._streaming import CreditStream, open_endpoint
from ._daemon import maybe_open_emsd
from ._dialog import transitions
from ._ems import _emsd_main
from ._messages import (
    BrokerdPosition,
    Cancel,
    Error,
    ExecMode,
    Order,
    Positions,
    Status,
    check_positions,
)


class OrderClient:
    """
    Sends orders.
    """

    def __init__(self, stream: CreditStream, dialogs: dict[str, Status]) -> None:
        self._stream = stream
        self._sent_orders: dict[str, Order] = {}
        """Until they are over."""
        self._taken: set[str] = set()
        """Those of them that stay what they are where a change of them is refused."""
        for status in dialogs.values():
            self._on_status(status)

    async def send(self, msg: Order) -> Order:
        """
        Open an order dialog.
        """
        self._sent_orders[msg.oid] = msg
        await self._stream.send(msg)
        return msg

    async def update(self, uuid: str, **data: Any) -> Order:
        """
        Change `price` or `size` of the order `uuid`.
        """
        return await self.send(replace(self._sent_orders[uuid], **data))

    async def cancel(self, uuid: str) -> None:
        """
        Cancel the order `uuid`. It is an `Error`, not an exception, if that is over:
        one cannot know.
        """
        order = self._sent_orders.get(uuid)
        await self._stream.send(Cancel(uuid, order.symbol if order else ''))

    def _on_status(self, status: Status) -> None:
        oid, resp, order = status.oid, status.resp, status.req
        if resp == 'error' and oid in self._taken:
            return
        is_alert = order is not None and order.action == 'alert'
        if not transitions[resp] or (is_alert and resp == 'triggered'):
            self._sent_orders.pop(oid, None)
            self._taken.discard(oid)
            return
        if resp in ('dark_open', 'open', 'fill'):
            self._taken.add(oid)
        elif resp == 'triggered':  # now the broker may refuse it
            self._taken.discard(oid)
        if order:  # which somebody else may have sent, or changed
            self._sent_orders[oid] = order


class TradesStream:
    """
    What happens to orders and positions: an async iterator over `Status`, `Error`
    and `BrokerdPosition`, in order, none left out.
    """

    def __init__(self, stream: CreditStream, client: OrderClient) -> None:
        self._stream = stream
        self._client = client
        self._unread: deque[dict[str, Any]] = deque()

    async def receive(self) -> Status | BrokerdPosition:
        """
        The next message. Raises `trio.EndOfChannel` where there will be none.
        """
        if not self._unread:
            self._unread.extend(await self._stream.receive())
        return self._decode(self._unread.popleft())

    def _decode(self, msg: dict[str, Any]) -> Status | BrokerdPosition:
        match msg:
            case {'name': 'position'}:
                return convert(msg, BrokerdPosition)
            case {'resp': 'error'}:
                status: Status = convert(msg, Error)
            case _:
                status = convert(msg, Status)
        self._client._on_status(status)
        return status

    def __aiter__(self) -> AsyncIterator[Status | BrokerdPosition]:
        return self

    async def __anext__(self) -> Status | BrokerdPosition:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None


@acm
async def open_ems(
    fqme: str,
    mode: ExecMode = 'live',
    loglevel: str | None = None,
) -> AsyncIterator[
    tuple[OrderClient, TradesStream, Positions, list[str], dict[str, Status]]
]:
    """
    Trade the market `fqme`, or with the name of a broker all of its markets; spawn
    `emsd` and what it needs if need be.

    Yields a client to send orders with, the stream of what happens to them, the
    positions, the accounts, and the dialogs that are open, by oid. In mode `live`
    without credentials the accounts are `['paper']`.

    Raises `ServiceDied` when `emsd` dies. The orders that it had given to a broker
    stay; a new `emsd` finds them.
    """
    async with open_endpoint(
        maybe_open_emsd(loglevel),
        _emsd_main,
        fqme=fqme,
        exec_mode=mode,
        loglevel=loglevel,
    ) as ((positions, accounts, statuses), raw):
        stream = CreditStream(raw)
        dialogs = {msg['oid']: convert(msg, Status) for msg in statuses}
        client = OrderClient(stream, dialogs)
        yield (
            client,
            TradesStream(stream, client),
            check_positions(positions, accounts),
            accounts,
            dialogs,
        )
