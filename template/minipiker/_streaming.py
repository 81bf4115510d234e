"""
Streams between actors that lose nothing, however slow the consumer.

The release blocks a sender at a full stream; git main has no backpressure at all
and hangs, overruns or drops. So the consumer grants credit by the message, and the
producer sends only what it has credit for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import tractor
import trio

from ._tractor import wait_for_result

_window: int = 32
"""Messages under way at most. Well below what either runtime buffers."""


class CreditSender:
    """
    The producer's end of a context's stream.
    """

    def __init__(self, stream: tractor.MsgStream) -> None:
        self._stream = stream
        self._credit = _window

    async def send(self, msg: Any) -> None:
        """
        Send `msg`, as soon as the consumer has room for it.
        """
        while not self._credit:
            self._credit += await self._stream.receive()
        self._credit -= 1
        await self._stream.send(msg)


class CreditReceiver:
    """
    The consumer's end: an async iterator over the messages, in order.
    """

    def __init__(self, stream: tractor.MsgStream) -> None:
        self._stream = stream
        self._taken = 0

    async def receive(self) -> Any:
        """
        The next message. Raises what the producer raised, or `trio.EndOfChannel`
        where it just ended.
        """
        if self._taken >= _window // 2:
            # granted on taking the next, so that a consumer who is still at work
            # on the last ones is sent no more than its window
            taken, self._taken = self._taken, 0
            await self._stream.send(taken)
        try:
            msg = await self._stream.receive()
        except trio.EndOfChannel:
            # the release ends the stream first, and tells the error on request
            await wait_for_result(self._stream._ctx)
            raise
        self._taken += 1
        return msg

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
