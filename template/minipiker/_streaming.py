"""
Streams between actors that lose nothing, however slow the consumer.

The release blocks a sender at a full stream; git main has no backpressure at all
and hangs, overruns or drops. So each end grants the other credit by the message, and
sends only what it has credit for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from contextlib import asynccontextmanager as acm
from typing import Any, TypeVar

import msgspec
import tractor
import trio

from ._tractor import wait_for_result

T = TypeVar('T')

_window: int = 32
"""Messages under way at most. Well below what either runtime buffers."""
_max_batch: int = 31
"""How many more things go in one message with another, if they have come by then."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class CreditStream:
    """
    One end of a context's stream, for one task that sends and one that receives.
    Messages go as bytes, and credit as ints: the runtime prints what it sends, several
    times on its way, to a log that nobody reads, which costs more than to encode it.
    """

    def __init__(self, stream: tractor.MsgStream) -> None:
        self._stream = stream
        self._credit = _window
        self._taken = 0
        self._inbox: deque[Any] = deque()
        """What came while credit was awaited; the other end's credit bounds it."""
        self._turn = trio.Lock()

    async def send(self, msg: Any) -> None:
        """
        Send `msg`, as soon as the other end has room for it. Raises
        `trio.BrokenResourceError` where that has ended the stream instead.
        """
        try:
            await self._read_until(lambda: self._credit)
        except trio.EndOfChannel:
            raise trio.BrokenResourceError from None
        self._credit -= 1
        await self._stream.send(_encode(msg))

    async def receive(self) -> Any:
        """
        The next message. Raises what the other end raised, or `trio.EndOfChannel`
        where it just ended.
        """
        if self._taken >= _window // 2:
            # granted on taking the next, so that a consumer who is still at work
            # on the last ones is sent no more than its window
            taken = self._taken
            await self._stream.send(taken)
            self._taken -= taken
        await self._read_until(lambda: self._inbox)
        self._taken += 1
        return self._inbox.popleft()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def _read_until(self, is_there: Callable[[], object]) -> None:
        """
        Read the stream until there is what the caller waits for. The two tasks take
        turns: what one reads may be for the other, and a `trio.Lock` is fair. Whose
        turn it is must read, or the two hand it to each other for ever.
        """
        while not is_there():
            try:
                self._turn.acquire_nowait()
            except trio.WouldBlock:
                await self._turn.acquire()
            try:
                if not is_there():
                    await self._read()
            finally:
                self._turn.release()

    async def _read(self) -> None:
        try:
            msg = await self._stream.receive()
        except trio.EndOfChannel:
            ctx = self._stream._ctx
            if ctx._portal is not None:  # we opened it
                # the release ends the stream first, and tells the error on request
                await wait_for_result(ctx)
            raise
        if isinstance(msg, int):
            self._credit += msg
        else:
            self._inbox.append(_decode(msg))


def take_unread(chan: trio.MemoryReceiveChannel[T]) -> Iterator[T]:
    """
    What can be received at once, as much as may go in one message with what was
    received before: to send one costs far more than what is in it.
    """
    with suppress(trio.WouldBlock, trio.EndOfChannel):
        for _ in range(_max_batch):
            yield chan.receive_nowait()


@acm
async def open_endpoint(
    daemon: AbstractAsyncContextManager[tractor.Portal],
    endpoint: Callable[..., Any],
    **kwargs: Any,
) -> AsyncIterator[tuple[Any, tractor.MsgStream]]:
    """
    Open an `endpoint` of a `daemon`: its first value and its stream. The endpoint is
    cancelled when the block is left.
    """
    async with (
        daemon as portal,
        portal.open_context(endpoint, **kwargs) as (ctx, first),
        ctx.open_stream() as stream,
    ):
        yield first, stream
        await ctx.cancel()
