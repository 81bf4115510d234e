"""
What the consumers of a session read, and what the venue is asked for their sake.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import trio

from . import _calls
from ._channels import ChannelStream
from ._config import NAME, Limits
from ._errors import OutOfStep
from ._pacer import Caller
from ._piker import BrokerError, get_logger
from ._venue import Venue

log = get_logger(f'{NAME}.session')


class Subscriptions:
    """
    Who reads which channels, whatever connection they come over.
    """

    def __init__(self, venue: Venue, limits: Limits) -> None:
        self._venue = venue
        self._limits = limits
        self._streams: dict[str, list[ChannelStream[Any]]] = {}
        self._unread: set[str] = set()
        """Channels that nobody reads any more, and which are to be left."""
        self._broken: set[str] = set()
        """Channels that are out of step, and are to begin anew."""
        self._tidy = trio.Event()
        self._heard: set[str] | None = set() if _calls.is_noted() else None
        """Channels of which that is noted; None where nothing is, see `_calls.py`."""
        self._quiet: set[str] = set()
        """Channels of which nothing was heard since `wait_quiet()` has listed them."""

    @property
    def channels(self) -> list[str]:
        """
        Those that somebody reads.
        """
        return [*self._streams]

    def consumers(
        self, channels: Iterable[str] | None = None
    ) -> set[ChannelStream[Any]]:
        """
        The streams of those who read these channels, or any.
        """
        chosen = self._streams if channels is None else channels
        return {it for name in chosen for it in self._streams.get(name, ())}

    def add(self, stream: ChannelStream[Any]) -> None:
        for channel in stream.channels:
            self._streams.setdefault(channel, []).append(stream)
            self._unread.discard(channel)

    def remove(self, stream: ChannelStream[Any]) -> None:
        for channel in stream.channels:
            streams = self._streams[channel]
            streams.remove(stream)
            if not streams:
                del self._streams[channel]
                self._unread.add(channel)
        stream.caught_up.set()
        self._tidy.set()

    def begin(self) -> None:
        """
        There is a new connection, and nothing is subscribed to.
        """
        self._unread.clear()
        self._broken.clear()

    def on_notification(self, connection: object, name: str, content: Any) -> None:
        """
        Hand what came unasked to those who read its channel. One that is out of step is
        left to `tidy()`. Raises what `Venue.on_notification()` does otherwise.
        """
        try:
            event = self._venue.on_notification(connection, name, content)
        except OutOfStep as err:
            # of one that was left, the last messages may be under way
            if err.channel in self._streams.keys() - self._broken:
                log.warning('%s: it is subscribed to anew', err)
                self._broken.add(err.channel)
                self._tidy.set()
            return
        if event:
            channel, msg = event
            if self._heard is not None and channel not in self._heard:
                self._heard.add(channel)
                _calls.note_channel(channel)
            self._quiet.discard(channel)
            if msg is not None:
                for stream in self._streams.get(channel, ()):
                    stream.push(msg)

    async def restore(self, caller: Caller, channels: list[str]) -> None:
        """
        Subscribe to channels that are read already.
        """
        # a consumer that asks for what it missed gets its answer after we are
        # subscribed again, so that nothing falls in between
        for stream in self.consumers(channels):
            stream.mark_gap()
        if channels:
            accepted = await self._venue.subscribe(caller, channels)
            for channel in {*channels} - {*accepted}:
                error = BrokerError(f'the venue has no channel {channel} any more')
                for stream in self.consumers([channel]):
                    stream.fail(error)

    async def wait_caught_up(self) -> None:
        """
        Wait for those consumers that are to know first what they have missed.
        """
        for stream in self.consumers():
            if stream.is_behind:
                await stream.caught_up.wait()

    async def tidy(self, caller: Caller) -> NoReturn:
        """
        Leave what nobody reads, and begin anew what is out of step.
        """
        while True:
            await self._tidy.wait()
            self._tidy = trio.Event()
            left = self._unread | (self._broken & self._streams.keys())
            if not left:
                continue
            self._unread.clear()
            try:
                await self._venue.unsubscribe(caller, [*left])
            except BrokerError as err:
                log.warning('%s', err)
            # of what was on its way until now nothing more comes
            self._broken.clear()
            # somebody may have come to read what was just being left
            if anew := left & self._streams.keys():
                await self.restore(caller, [*anew])
                # where that does not help, it is not done again and again at once
                await trio.sleep(self._limits.min_backoff)

    async def wait_quiet(self) -> list[str]:
        """
        Wait until there are channels of which nothing is heard for long: these.
        """
        while True:
            self._quiet = {*self._streams}
            await trio.sleep(self._limits.quiet)
            if quiet := self._quiet & self._streams.keys():
                return [*quiet]

    def fail(self, error: Exception) -> None:
        """
        Tell all consumers of a mistake of ours, after which nothing comes any more.
        """
        for stream in self.consumers():
            broken = BrokerError(f'{NAME} broke: {error!r}')
            broken.__cause__ = error
            stream.fail(broken)
