"""
What consumers of the venue's channels read.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import trio

from ._errors import Overrun
from ._piker import BrokerError, Struct

M = TypeVar('M')


class Disconnected(Struct, frozen=True):
    """
    The venue is out of reach; there will be a `Reconnected`.
    """

    reason: str


class Reconnected(Struct, frozen=True):
    """
    The connection is a new one: what the channel said in between is missing.
    """


Mark = Disconnected | Reconnected


class ChannelStream(trio.abc.ReceiveChannel[M | Mark], Generic[M]):
    """
    What a consumer reads: the messages of some channels, in order and complete, but
    for the gaps that a `Reconnected` marks.
    """

    def __init__(self, channels: tuple[str, ...], max_unread: int) -> None:
        self.channels = channels
        self._max_unread = max_unread
        self._unread: deque[M | Mark] = deque()
        self._pushed = trio.Event()
        self._closed = False
        self._error: BrokerError | None = None

    def push(self, msg: M | Mark) -> None:
        if self._closed or self._error:
            return  # nobody reads it any more
        if len(self._unread) == self._max_unread:
            names = ', '.join(self.channels)
            self.fail(Overrun(f'{names}: more than {self._max_unread} messages unread'))
        else:
            self._unread.append(msg)
            self._pushed.set()

    def fail(self, error: BrokerError) -> None:
        """
        Raise `error` in the consumer, after what it has not read yet.
        """
        self._error = self._error or error
        self._pushed.set()

    async def receive(self) -> M | Mark:
        """
        The next message. Raises `Overrun` where it is missing, and `BrokerError` where
        there will be none.

        What has come already is there without a turn of the loop, which would cost more
        than the message.
        """
        while not self._unread:
            if self._closed:
                raise trio.ClosedResourceError
            if self._error:
                raise self._error from self._error.__cause__
            self._pushed = trio.Event()
            await self._pushed.wait()
        return self._unread.popleft()

    async def receive_all(self) -> list[M | Mark]:
        """
        All that have come since, one at least.
        """
        msgs = [await self.receive(), *self._unread]
        self._unread.clear()
        return msgs

    async def aclose(self) -> None:
        self._closed = True
        self._unread.clear()
        self._pushed.set()
        await trio.lowlevel.checkpoint()
