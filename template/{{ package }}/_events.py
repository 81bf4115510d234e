"""
What a client on asyncio calls back with, for each trio task that listens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager as cm
from contextlib import suppress
from threading import get_ident
from typing import Generic, TypeVar

import trio
from tractor.trionics import Lagged

from ._errors import ConnectionLost

T = TypeVar('T')


class RelayDown(ConnectionLost):
    """
    The asyncio side is gone: it died of `__cause__` or, if there is none, the block
    of `open_client_proxy()` was left.
    """


class EventStream(trio.abc.ReceiveChannel[T]):
    """
    The events that one subscriber has not read yet, the newest `maxlen` of them.
    """

    def __init__(self, maxlen: int) -> None:
        self._send, self._recv = trio.open_memory_channel[T](maxlen)
        self._missed: int = 0
        self._down: RelayDown

    async def receive(self) -> T:
        """
        The next event. Raises `Lagged`, once, where the subscriber was too slow and
        missed some, and `RelayDown` after the last one.
        """
        if self._missed:
            await trio.lowlevel.checkpoint()
            missed, self._missed = self._missed, 0
            raise Lagged(f'{missed} events missed')
        try:
            return await self._recv.receive()
        except trio.EndOfChannel:
            raise self._down from self._down.__cause__

    async def aclose(self) -> None:
        await self._recv.aclose()

    def push(self, event: T) -> None:
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            self._recv.receive_nowait()
            self._send.send_nowait(event)
            self._missed += 1
        except trio.BrokenResourceError:
            pass  # closed by its subscriber

    def fail(self, down: RelayDown) -> None:
        self._down = down
        self._send.close()


class EventRelay(Generic[T]):
    """
    Fans out what a client calls back with: `emit` is the callback to give it, and
    each trio task that listens has a `subscribe()` of its own.
    """

    def __init__(self) -> None:
        self._streams: set[EventStream[T]] = set()
        self._feeds: int = 0
        self._mk_down: Callable[[], RelayDown] | None = None
        self._thread: int | None = None
        self._token: trio.lowlevel.TrioToken

    def emit(self, event: T) -> None:
        """
        Give `event` to all subscribers. May be called from any thread.
        """
        if self._thread == get_ident():
            for stream in self._streams:
                stream.push(event)
        elif self._thread is not None:  # else nobody has subscribed yet
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self.emit, event)

    @cm
    def subscribe(self, maxlen: int = 256) -> Iterator[EventStream[T]]:
        """
        Yield a stream of the events from now on. Raises `ValueError` for a `maxlen`
        below 1.
        """
        if maxlen < 1:
            raise ValueError(f'maxlen must be at least 1, not {maxlen}')
        self._note_thread()
        stream = EventStream[T](maxlen)
        if self._mk_down is None:
            self._streams.add(stream)
        else:
            stream.fail(self._mk_down())
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    def start(self) -> None:
        """
        One more proxy feeds this.
        """
        self._note_thread()
        self._feeds += 1
        self._mk_down = None

    def fail(self, mk_down: Callable[[], RelayDown]) -> None:
        """
        One of them is down. The last one to go ends the streams.
        """
        self._feeds -= 1
        if self._feeds:
            return
        self._mk_down = mk_down
        while self._streams:
            self._streams.pop().fail(mk_down())

    def _note_thread(self) -> None:
        self._thread = get_ident()
        self._token = trio.lowlevel.current_trio_token()
