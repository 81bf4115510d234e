"""
Channels that are out of step, and channels that nobody reads any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager as cm
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked


class Venue:
    """
    One that goes on telling of a channel until it has heard that nobody wants it.
    """

    def __init__(self, mod: ModuleType) -> None:
        self._error = import_module(f'{mod.__name__}._errors').OutOfStep
        channels = import_module(f'{mod.__name__}._channels')
        self._stream: Any = channels.ChannelStream
        self._mark: Any = channels.Reconnected
        subscriptions = import_module(f'{mod.__name__}._subscriptions')
        limits = SimpleNamespace(min_backoff=0)
        self.subscriptions = subscriptions.Subscriptions(self, limits)
        self.asked: list[tuple[str, list[str]]] = []
        self.is_quick = True
        self.hears = trio.Event()

    async def subscribe(self, caller: Any, channels: list[str]) -> list[str]:
        self.asked.append(('subscribe', sorted(channels)))
        return channels

    async def unsubscribe(self, caller: Any, channels: list[str]) -> None:
        if not self.is_quick:
            await self.hears.wait()
        self.asked.append(('unsubscribe', sorted(channels)))
        for channel in channels:
            self.tell(channel, 'gap')

    def tell(self, channel: str, msg: str) -> None:
        self.subscriptions.on_notification(None, channel, msg)

    def on_notification(self, connection: Any, name: str, content: Any) -> Any:
        if content == 'gap':
            raise self._error(name)
        return name, content

    @cm
    def reading(self, *channels: str) -> Iterator[Any]:
        stream = self._stream(channels, 9)
        self.subscriptions.add(stream)
        yield stream
        self.subscriptions.remove(stream)

    async def heard(self, stream: Any) -> list[Any]:
        return [
            'gap' if isinstance(it, self._mark) else it
            for it in await stream.receive_all()
        ]


async def test_what_is_out_of_step_begins_anew(mod: ModuleType) -> None:
    """
    Once, whatever comes until it has; and what else there is goes on.
    """
    venue = Venue(mod)
    with venue.reading('a') as one, venue.reading('a', 'b') as both:
        async with trio.open_nursery() as tn:
            tn.start_soon(venue.subscriptions.tidy, None)
            venue.tell('a', '1')
            venue.tell('a', 'gap')
            venue.tell('a', 'gap')
            venue.tell('b', '2')
            await wait_all_tasks_blocked()
            venue.tell('a', '3')
            assert venue.asked == [('unsubscribe', ['a']), ('subscribe', ['a'])]
            assert await venue.heard(one) == ['1', 'gap', '3']
            assert await venue.heard(both) == ['1', '2', 'gap', '3']
            tn.cancel_scope.cancel()


async def test_what_nobody_reads_does_not_begin_anew(
    mod: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Nor is it said to.
    """
    venue = Venue(mod)
    async with trio.open_nursery() as tn:
        tn.start_soon(venue.subscriptions.tidy, None)
        with venue.reading('a'), venue.reading('b'):
            pass
        await wait_all_tasks_blocked()
        assert venue.asked == [('unsubscribe', ['a', 'b'])]
        # and who reads it from now on hears of it
        with venue.reading('a') as stream:
            venue.tell('a', '1')
            assert await venue.heard(stream) == ['1']
        tn.cancel_scope.cancel()
    assert 'anew' not in caplog.text


async def test_who_comes_while_a_channel_is_left_hears_of_it(mod: ModuleType) -> None:
    """
    Even where the venue is told to leave it after it was asked for it.
    """
    venue = Venue(mod)
    venue.is_quick = False
    async with trio.open_nursery() as tn:
        tn.start_soon(venue.subscriptions.tidy, None)
        with venue.reading('a'):
            pass
        await wait_all_tasks_blocked()
        with venue.reading('a'):
            await venue.subscribe(None, ['a'])
            venue.hears.set()
            await wait_all_tasks_blocked()
            asked = [what for what, _ in venue.asked]
            assert asked == ['subscribe', 'unsubscribe', 'subscribe']
        tn.cancel_scope.cancel()
