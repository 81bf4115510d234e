"""
What consumers of the venue's channels read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec
import trio

from ._errors import Overrun, Unexpected
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

    def __init__(
        self,
        channels: tuple[str, ...],
        max_unread: int,
        before_orders: bool = False,
    ) -> None:
        self.channels = channels
        self.before_orders = before_orders
        """Whether its consumer makes up for a gap before anything is ordered."""
        self.caught_up = trio.Event()
        """Unless there is a gap for which it has not made up yet."""
        self.caught_up.set()
        self._max_unread = max_unread
        self._send, self._receive = trio.open_memory_channel[M | Mark](max_unread)
        self._error: BrokerError | None = None

    @property
    def is_behind(self) -> bool:
        """
        Whether orders have to wait for it: to wait for what is so already would cost
        each of them a turn of the loop.
        """
        return self.before_orders and not self.caught_up.is_set()

    def mark_gap(self) -> None:
        """
        Push a `Reconnected`. Whoever has read it, and asks for more, has dealt with it.
        """
        if self.caught_up.is_set():
            self.caught_up = trio.Event()
        self.push(Reconnected())

    def push(self, msg: M | Mark) -> None:
        try:
            self._send.send_nowait(msg)
        except trio.WouldBlock:
            names = ', '.join(self.channels)
            self.fail(Overrun(f'{names}: more than {self._max_unread} messages unread'))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # nobody reads it any more

    def fail(self, error: BrokerError) -> None:
        """
        Raise `error` in the consumer, after what it has not read yet.
        """
        self._error = self._error or error
        self._send.close()
        self.caught_up.set()

    async def receive(self) -> M | Mark:
        """
        The next message. Raises `Overrun` where it is missing, and `BrokerError` where
        there will be none.
        """
        if not (
            self.caught_up.is_set() or self._receive.statistics().current_buffer_used
        ):
            self.caught_up.set()
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            assert self._error
            raise self._error from self._error.__cause__

    async def receive_all(self) -> list[M | Mark]:
        """
        All that have come since, one at least.
        """
        msgs = [await self.receive()]
        with suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                msgs.append(self._receive.receive_nowait())
        return msgs

    async def aclose(self) -> None:
        self.caught_up.set()
        await self._receive.aclose()


def mk_decoder(types: Mapping[str, Any]) -> Callable[[str, msgspec.Raw], Any]:
    """
    What reads a message in JSON, by the name of its channel: as the type that `types`
    has for what the name begins with, up to a dot. It raises `Unexpected` for a channel
    of no such kind.
    """
    decoders = {kind: msgspec.json.Decoder(it).decode for kind, it in types.items()}

    @cache
    def find(channel: str) -> Callable[[msgspec.Raw], Any]:
        for kind, decode in decoders.items():
            if f'{channel}.'.startswith(f'{kind}.'):
                return decode
        raise Unexpected(channel)

    return lambda channel, data: find(channel)(data)
