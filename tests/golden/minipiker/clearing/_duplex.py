"""
Streams between actors that lose nothing in either direction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from typing import Any

import tractor
import trio

from .._streaming import _window
from .._tractor import open_nursery


class Duplex:
    """
    One end of a context's stream, on which both ends send and grant each other
    credit, as `minipiker._streaming` does for one direction. Messages are not ints:
    those are the credit.
    """

    def __init__(self, stream: tractor.MsgStream) -> None:
        self._stream = stream
        self._credit = trio.Semaphore(_window)
        self._taken = 0
        # the other end's credit bounds it
        self._to_reader, self._inbox = trio.open_memory_channel[Any](_window)

    async def send(self, msg: Any) -> None:
        """
        Send `msg`, as soon as the other end has room for it.
        """
        await self._credit.acquire()
        await self._stream.send(msg)

    async def receive(self) -> Any:
        if self._taken >= _window // 2:
            taken, self._taken = self._taken, 0
            await self._stream.send(taken)
        msg = await self._inbox.receive()
        self._taken += 1
        return msg

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def _read(self) -> None:
        with self._to_reader:
            async for msg in self._stream:
                if isinstance(msg, int):
                    for _ in range(msg):
                        self._credit.release()
                else:
                    self._to_reader.send_nowait(msg)


@acm
async def open_duplex(ctx: tractor.Context) -> AsyncIterator[Duplex]:
    """
    Open the context's stream as one that loses nothing, on both of its ends.
    """
    async with ctx.open_stream() as stream, open_nursery() as tn:
        duplex = Duplex(stream)
        tn.start_soon(duplex._read)
        yield duplex
        tn.cancel_scope.cancel()
