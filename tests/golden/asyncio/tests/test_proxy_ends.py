"""
However a proxy ends, every caller is told, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from vendor_client import Venue, VenueError, cancel_task, until

from minipiker._tractor import open_nursery
from piker_deribit2 import _proxy
from piker_deribit2._proxy import (
    EventRelay,
    RelayDown,
    log,
    open_client_proxy,
)

pytestmark = pytest.mark.usefixtures('silent')


@pytest.fixture
def logged(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> pytest.LogCaptureFixture:
    """
    What the proxy itself says.
    """
    caplog.set_level('ERROR', log.name)
    monkeypatch.setattr(log, 'handlers', [caplog.handler])
    monkeypatch.setattr(log, 'propagate', False)
    return caplog


@pytest.mark.in_actor
async def test_a_method_that_ignores_cancel_stops_nobody(
    logged: pytest.LogCaptureFixture,
) -> None:
    venue = Venue()
    try:
        async with open_client_proxy(venue, slots=2, grace=0.1) as proxy:
            with trio.move_on_after(0.01) as scope:
                await proxy.ignore_cancel()
            assert scope.cancelled_caught
            for value in range(5):
                assert await proxy.echo(value) == value
            assert not logged.messages
            left_at = trio.current_time()
        assert trio.current_time() - left_at > 0.09
        (ignored,) = logged.messages
        assert ignored.startswith('ignores that it was cancelled: ')
        assert "name='ignore_cancel:0'" in ignored
        logged.clear()
    finally:
        # or asyncio waits for it for ever
        venue.open.set()
    await until(lambda: venue.running == 0)
    await trio.testing.wait_all_tasks_blocked()


@pytest.mark.in_actor
async def test_leaving_cancels_a_call_whose_own_timeout_is_just_over() -> None:
    venue = Venue()

    async def caller() -> None:
        with pytest.raises(RelayDown):
            await proxy.retry()

    async with trio.open_nursery() as outside, open_client_proxy(venue) as proxy:
        outside.start_soon(caller)
        await until(lambda: venue.running == 1)
        cancel_task('retry')
    assert venue.running == 0


@pytest.mark.in_actor
async def test_what_calls_leave_behind_ends_with_the_block() -> None:
    before = asyncio.all_tasks()
    venue = Venue()
    async with open_client_proxy(venue) as other:
        async with open_client_proxy(venue) as proxy:
            await proxy.beat()
            await until(lambda: venue.running == 2)
            with trio.move_on_after(0.01):
                await proxy.hang()
        assert venue.beats.cancelled()
        # each of them once, and with the time to clean up
        assert venue.cancels == venue.cleaned == 3

        # and nobody else's
        await other.beat()
        async with open_client_proxy(venue):
            pass
        assert venue.running == 2
    assert venue.cancels == venue.cleaned == 5
    assert asyncio.all_tasks() <= before


@pytest.mark.in_actor
async def test_what_a_call_cancels_itself_is_cancelled_once() -> None:
    venue = Venue()
    with trio.CancelScope() as scope:
        async with open_client_proxy(venue) as proxy, trio.open_nursery() as tn:
            tn.start_soon(proxy.hang_twice)
            await until(lambda: venue.running == 2)
            scope.cancel()
    assert venue.cancels == venue.cleaned == 2


@pytest.mark.in_actor
async def test_what_starts_itself_anew_is_not_waited_for_for_ever(
    logged: pytest.LogCaptureFixture,
) -> None:
    class Undead(Venue):
        async def beat(self) -> None:
            self.beats = asyncio.create_task(self.rise())
            await asyncio.sleep(0)

        async def rise(self) -> None:
            try:
                await self.open.wait()
            finally:
                self.beats = asyncio.create_task(self.rise())

    venue = Undead()
    async with open_client_proxy(venue, grace=0.01) as proxy:
        await proxy.beat()
    await until(venue.beats.done)
    assert 'Undead.rise' in logged.messages[-1]
    logged.clear()


@pytest.mark.in_actor
async def test_what_is_left_behind_and_ignores_cancel_is_named(
    logged: pytest.LogCaptureFixture,
) -> None:
    class Stubborn(Venue):
        beats: asyncio.Task[Any]

        async def beat(self) -> None:
            self.beats = asyncio.create_task(self.ignore_cancel())

        async def beat_later(self) -> None:
            asyncio.get_running_loop().call_later(0, self.start)

        def start(self) -> None:
            if venue.running:
                asyncio.get_running_loop().call_later(0, self.start)
            else:
                self.beats = asyncio.create_task(self.echo(1))

    venue = Stubborn()
    async with open_client_proxy(venue, grace=0.01) as proxy:
        await proxy.beat()
        await until(lambda: venue.running == 1)
        await proxy.beat_later()
    (ignored,) = logged.messages
    assert ignored.startswith('ignores that it was cancelled: ')
    assert 'Venue.ignore_cancel' in ignored
    logged.clear()

    venue.open.set()
    await until(lambda: bool(logged.messages) and venue.beats.done())
    (late,) = logged.messages
    assert late.startswith('started after its client was left: ')
    assert 'Venue.echo' in late
    assert venue.calls == []
    logged.clear()


def kill_relay(before: set[asyncio.Task[Any]]) -> None:
    (relay,) = (
        task for task in asyncio.all_tasks() - before if ':' not in task.get_name()
    )
    relay.cancel('the vendor cancels all there is')


@pytest.mark.in_actor
@pytest.mark.case('RULE-RELAY')
async def test_a_dead_relay_fails_every_caller_at_once() -> None:
    before = asyncio.all_tasks()
    venue = Venue()
    events = EventRelay[int]()
    errors: list[BaseException] = []

    async def caller() -> None:
        try:
            await proxy.hang()
        except RelayDown as err:
            errors.append(err)

    async def listener() -> None:
        with events.subscribe() as stream:
            listening.set()
            try:
                await stream.receive()
            except RelayDown as err:
                errors.append(err)

    listening = trio.Event()
    async with trio.open_nursery() as outside:
        outside.start_soon(listener)
        with pytest.raises(RelayDown) as raised:
            async with open_client_proxy(venue, slots=10, events=events) as proxy:
                for _ in range(20):
                    outside.start_soon(caller)
                await listening.wait()
                await until(lambda: venue.running == 10)
                await trio.testing.wait_all_tasks_blocked()
                kill_relay(before)
                await trio.sleep_forever()

    errors.append(raised.value)
    with pytest.raises(RelayDown) as raised:
        await proxy.echo(1)
    errors.append(raised.value)

    assert len(set(map(id, errors))) == len(errors) == 23
    for err in errors:
        assert 'the vendor cancels all there is' in str(err)
        assert isinstance(err.__cause__, asyncio.CancelledError)
    assert venue.cleaned == 10


@pytest.mark.in_actor
@pytest.mark.filterwarnings('ignore:.*strict_exception_groups')
async def test_a_relay_that_dies_under_a_caller_is_one_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # minipiker's makes one of errors that are alike
    lenient = partial(trio.open_nursery, strict_exception_groups=False)
    monkeypatch.setattr(_proxy, 'open_nursery', lenient)
    before = asyncio.all_tasks()
    with pytest.raises(RelayDown):
        async with open_client_proxy(Venue()) as proxy:
            asyncio.get_running_loop().call_soon(kill_relay, before)
            await proxy.hang()


@pytest.mark.in_actor
async def test_a_relay_that_dies_as_it_is_left_waits_no_longer(
    logged: pytest.LogCaptureFixture,
) -> None:
    before = asyncio.all_tasks()
    venue = Venue()
    try:
        async with open_client_proxy(venue, grace=3600) as proxy:
            with trio.move_on_after(0.01):
                await proxy.ignore_cancel()
            # comes after what is about to wake the relay, which then waits for the call
            asyncio.get_running_loop().call_later(0, kill_relay, before)
        (ignored,) = logged.messages
        assert ignored.startswith('ignores that it was cancelled: ')
        assert "name='ignore_cancel:0'" in ignored
        logged.clear()
    finally:
        venue.open.set()
    await until(lambda: venue.running == 0)
    await trio.testing.wait_all_tasks_blocked()


@pytest.mark.in_actor
async def test_a_left_proxy_fails_its_callers() -> None:
    venue = Venue()
    errors: list[RelayDown] = []

    async def caller() -> None:
        try:
            await proxy.hang()
        except RelayDown as err:
            errors.append(err)

    async with trio.open_nursery() as outside, open_client_proxy(venue) as proxy:
        for _ in range(20):
            outside.start_soon(caller)
        await until(lambda: venue.running == 20)
    assert len(errors) == 20
    assert venue.cleaned == 20
    with pytest.raises(RelayDown, match='closed'):
        await proxy.echo(1)


@pytest.mark.in_actor
async def test_reopening_fifty_times_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    venue = Venue()
    for i in range(50):
        async with open_client_proxy(venue) as proxy, trio.open_nursery() as tn:
            for _ in range(5):
                tn.start_soon(proxy.hang)
            await until(lambda: venue.running == 5)
            tn.cancel_scope.cancel()
        assert venue.cleaned == 5 * (i + 1)
        assert asyncio.all_tasks() <= before

        with trio.move_on_after(0):
            async with open_client_proxy(venue):
                await trio.sleep_forever()
        assert asyncio.all_tasks() <= before


@pytest.mark.in_actor
async def test_every_way_out_with_calls_in_flight_is_clean() -> None:
    @acm
    async def open_busy_proxy() -> AsyncIterator[Venue]:
        venue = Venue()
        try:
            async with open_nursery() as outside, open_client_proxy(venue) as proxy:
                for _ in range(20):
                    outside.start_soon(call, proxy)
                await until(lambda: venue.running == 20)
                yield venue
        finally:
            assert venue.cancels == venue.cleaned == 20

    async def call(proxy: Venue) -> None:
        with suppress(RelayDown):
            await proxy.hang()

    async with open_busy_proxy():
        pass

    with trio.CancelScope() as scope:
        async with open_busy_proxy():
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught

    async with open_client_proxy(Venue()) as proxy:
        with pytest.raises(VenueError, match='from the body'):
            async with open_busy_proxy():
                raise VenueError('from the body', 1)
        assert await proxy.echo(1) == 1
