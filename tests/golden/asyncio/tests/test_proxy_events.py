"""
Every subscriber gets every event, or is told how many it missed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio
from tractor.trionics import Lagged
from vendor_client import Venue, until

from piker_deribit2._proxy import EventRelay, RelayDown, open_client_proxy

pytestmark = pytest.mark.usefixtures('silent')


@pytest.mark.in_actor
async def test_events_reach_every_subscriber() -> None:
    events = EventRelay[int]()
    got: dict[int, list[int]] = {0: [], 1: []}

    class Feed(Venue):
        async def stream(self, count: int) -> None:
            for event in range(count):
                events.emit(event)
                await asyncio.sleep(0)

    async def listener(i: int) -> None:
        with events.subscribe(maxlen=1000) as stream:
            listening.append(i)
            while len(got[i]) < 1000:
                got[i].append(await stream.receive())

    listening: list[int] = []
    async with (
        open_client_proxy(Feed(), events=events) as proxy,
        trio.open_nursery() as tn,
    ):
        tn.start_soon(listener, 0)
        tn.start_soon(listener, 1)
        await until(lambda: len(listening) == 2)
        await proxy.stream(1000)
    assert got == {0: list(range(1000)), 1: list(range(1000))}


@pytest.mark.in_actor
async def test_a_slow_subscriber_misses_events_loudly_and_stalls_nobody() -> None:
    events = EventRelay[int]()
    async with open_client_proxy(Venue(), events=events) as proxy:
        with events.subscribe(maxlen=10) as slow, events.subscribe(maxlen=100) as quick:
            for event in range(50):
                events.emit(event)
            assert [await quick.receive() for _ in range(50)] == list(range(50))
            assert await proxy.echo(1) == 1

            with pytest.raises(Lagged, match='40 events missed'):
                await slow.receive()
            assert [await slow.receive() for _ in range(10)] == list(range(40, 50))

            # who closes its end is not a reason to fail the client's callback
            await slow.aclose()
            events.emit(50)
            assert await quick.receive() == 50
            with pytest.raises(trio.ClosedResourceError):
                await slow.receive()
        assert not events._streams


@pytest.mark.in_actor
async def test_a_subscriber_that_comes_too_late_is_told() -> None:
    events = EventRelay[int]()
    with events.subscribe() as early:
        async with open_client_proxy(Venue(), events=events):
            events.emit(1)
        assert await early.receive() == 1
        with pytest.raises(RelayDown, match='closed'):
            await early.receive()
    with events.subscribe() as late, pytest.raises(RelayDown, match='closed'):
        await late.receive()

    # until it opens again
    async with open_client_proxy(Venue(), events=events):
        with events.subscribe() as stream:
            events.emit(2)
            assert await stream.receive() == 2


@pytest.mark.in_actor
async def test_events_of_a_thread_arrive_in_order() -> None:
    events = EventRelay[int]()
    events.emit(0)  # to nobody

    def read() -> None:
        for event in range(1000):
            events.emit(event)

    async with open_client_proxy(Venue(), events=events) as proxy:
        with events.subscribe(maxlen=1000) as stream:
            async with trio.open_nursery() as tn:
                tn.start_soon(trio.to_thread.run_sync, read)
                assert [await stream.receive() for _ in range(1000)] == list(
                    range(1000)
                )
            assert await proxy.echo(1) == 1
            events.emit(1000)
            assert await stream.receive() == 1000


def test_a_thread_that_outlives_the_actor_is_not_stopped() -> None:
    events = EventRelay[int]()

    async def subscribe() -> None:
        with events.subscribe():
            pass

    trio.run(subscribe)
    with ThreadPoolExecutor() as threads:
        threads.submit(events.emit, 1).result()


@pytest.mark.in_actor
async def test_events_end_with_the_last_proxy_that_feeds_them() -> None:
    events = EventRelay[int]()
    async with open_client_proxy(Venue(), events=events):
        with events.subscribe() as stream:
            async with open_client_proxy(Venue(), events=events):
                pass
            events.emit(1)
            assert await stream.receive() == 1
            with events.subscribe() as late:
                events.emit(2)
                assert await late.receive() == 2

            # one that is never opened is none of them
            with pytest.raises(ValueError, match='slots'):
                async with open_client_proxy(Venue(), events=events, slots=0):
                    pass
    with events.subscribe() as late, pytest.raises(RelayDown, match='closed'):
        await late.receive()


@pytest.mark.in_actor
async def test_a_subscriber_without_room_for_one_event_is_refused() -> None:
    events = EventRelay[int]()
    with (
        pytest.raises(ValueError, match='at least 1, not 0'),
        events.subscribe(maxlen=0),
    ):
        pass
    events.emit(1)
