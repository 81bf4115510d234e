"""
The asyncio proxy: every caller gets the reply to its own call, whatever becomes of
the others, and nothing is left behind.

Most tests are an actor of their own.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

import pytest
import sniffio
import tractor
import trio
import trio.testing
from tractor.to_asyncio import AsyncioCancelled
from tractor.trionics import Lagged

from minipiker._tractor import open_nursery, root_kwargs
from minipiker.service._registry import free_addr
from piker_deribit2 import _proxy
from piker_deribit2._proxy import (
    EventRelay,
    RelayDown,
    log,
    open_client_proxy,
)


@pytest.fixture(autouse=True)
def _silent(
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[None]:
    yield
    assert capfd.readouterr() == ('', '')
    # where asyncio says what it finds fault with
    assert not caplog.get_records('call')


class VenueError(Exception):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Venue:
    """
    A client with all the habits that a vendor's may have.
    """

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.running: int = 0
        self.peak: int = 0
        self.cancels: int = 0
        self.cleaned: int = 0
        self.calls: list[int] = []

    async def echo(self, value: int, delay: float = 0) -> int:
        "Answer `value` after `delay` s."
        self.calls.append(value)
        await asyncio.sleep(delay)
        return value

    async def at_once(self, value: int) -> int:
        return value

    async def fail(self, err: BaseException, delay: float | None = None) -> None:
        if delay is not None:
            await asyncio.sleep(delay)
        raise err

    async def hang(self) -> None:
        "Wait for the gate, and clean up step by step when cancelled."
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancels += 1
            for _ in range(10):
                await asyncio.sleep(0.001)
            self.cleaned += 1
            raise
        finally:
            self.running -= 1

    async def ignore_cancel(self) -> None:
        "Go on until the gate opens, whoever cancels."
        self.running += 1
        while not self.open.is_set():
            with suppress(asyncio.CancelledError):
                await self.open.wait()
        self.running -= 1

    async def retry(self) -> None:
        "Have a timeout of its own, as a task is cancelled by `asyncio.timeout()`."
        self.running += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.uncancel():
                raise  # somebody else has cancelled it, too
            await self.open.wait()
        finally:
            self.running -= 1

    async def cancel_itself(self) -> None:
        response = asyncio.get_running_loop().create_future()
        response.cancel()  # as on a lost connection
        await response

    async def library(self) -> str:
        return sniffio.current_async_library()

    async def request(self, method: str, *, self_: str = '') -> tuple[str, str]:
        return method, self_

    async def _reset(self) -> None: ...

    def is_open(self) -> bool:
        return self.open.is_set()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.testing.wait_all_tasks_blocked(0.001)


def cancel_task(name: str) -> None:
    """
    Cancel an asyncio task, as its client may.
    """
    for task in asyncio.all_tasks():
        if task.get_name().startswith(f'{name}:'):
            task.cancel()


async def expect(value: int, call: Awaitable[int], wrong: list[object]) -> None:
    if (got := await call) != value:
        wrong.append((value, got))


@pytest.mark.in_actor
async def test_methods_are_the_clients_own() -> None:
    venue = Venue()
    async with open_client_proxy(venue) as proxy:
        assert inspect.signature(proxy.echo) == inspect.signature(venue.echo)
        assert proxy.echo.__doc__ == venue.echo.__doc__
        assert inspect.iscoroutinefunction(proxy.echo)
        value: int = await proxy.echo(3, delay=0)
        assert value == 3
        assert await proxy.request(method='GET', self_='me') == ('GET', 'me')
        assert await proxy.library() == 'asyncio'

        with pytest.raises(TypeError, match='unexpected keyword'):
            await proxy.echo(3, late=1)  # type: ignore[call-arg]
        # what needs no loop to run on is the client's own
        assert proxy.open is venue.open
        assert not proxy.is_open()
        for name in ('_reset', 'nonesuch'):
            with pytest.raises(AttributeError, match=name):
                getattr(proxy, name)


async def cancel_every_other(
    echo: Callable[[int], Awaitable[int]],
) -> tuple[list[object], int]:
    """
    What callers got that was not theirs, with every other one of them cancelled in
    mid-flight; and how many were.
    """
    wrong: list[object] = []
    cancelled = 0
    for value in range(20):
        with trio.move_on_after(0.005 if value % 2 else inf) as scope:
            await expect(value, echo(value), wrong)
        cancelled += scope.cancelled_caught
    return wrong, cancelled


@pytest.mark.in_actor
async def test_cancelled_calls_never_skew_a_later_reply() -> None:
    async with open_client_proxy(Venue()) as proxy:
        got = await cancel_every_other(lambda i: proxy.echo(i, 3600 * (i % 2)))
        assert got == ([], 10)
        # and nothing is kept of a call that is over
        assert isinstance(proxy, _proxy.MethodProxy)
        relay = proxy._relay
        await until(lambda: not relay._tasks)
        assert not {*proxy._calls, *relay._cancelled, *relay._backlog}


@pytest.mark.in_actor
async def test_a_proxy_without_ids_does_skew() -> None:
    """
    As above, for the usual proxy: the test can fail.
    """
    venue = Venue()
    requests: asyncio.Queue[int] = asyncio.Queue()
    replies_in, replies_out = trio.open_memory_channel[int](inf)

    async def relay() -> None:
        while True:
            value = await requests.get()
            replies_in.send_nowait(await venue.echo(value, 0.01 * (value % 2)))

    async def echo(value: int) -> int:
        requests.put_nowait(value)
        return await replies_out.receive()

    task = asyncio.get_running_loop().create_task(relay())
    wrong, _ = await cancel_every_other(echo)
    assert wrong
    task.cancel()
    await until(task.done)


@pytest.mark.in_actor
async def test_ten_thousand_calls_with_cancels_and_errors() -> None:
    rng = random.Random(7)
    venue = Venue()
    wrong: list[object] = []
    ends = {'replied': 0, 'raised': 0, 'cancelled': 0}

    async def caller(first: int) -> None:
        for value in range(first, first + 100):
            delay = rng.uniform(0, 0.01)
            patience = rng.choice([inf, inf, rng.uniform(0, 0.01)])
            with trio.move_on_after(patience) as scope:
                match rng.randrange(4):
                    case 0:
                        await expect(value, proxy.at_once(value), wrong)
                    case 1 | 2:
                        await expect(value, proxy.echo(value, delay), wrong)
                    case 3:
                        try:
                            await proxy.fail(VenueError('no', value), delay)
                        except VenueError as err:
                            if err.code != value:
                                wrong.append((value, err))
                            ends['raised'] += 1
                            continue
                ends['replied'] += not scope.cancel_called
            ends['cancelled'] += scope.cancelled_caught

    async with (
        open_client_proxy(venue, slots=50) as proxy,
        trio.open_nursery() as tn,
    ):
        for first in range(0, 10_000, 100):
            tn.start_soon(caller, first)
    assert not wrong, wrong
    assert min(ends.values()) > 100, ends


@pytest.mark.in_actor
@pytest.mark.parametrize('slots', [256, 5000])
async def test_thousands_of_calls_run_or_wait_their_turn(slots: int) -> None:
    venue = Venue()
    at_once = min(slots, 3000)
    async with open_client_proxy(venue, slots=slots) as proxy:
        async with trio.open_nursery() as tn:
            for _ in range(3000):
                tn.start_soon(proxy.hang)
            await until(lambda: venue.running == at_once)
            await trio.testing.wait_all_tasks_blocked()
            assert venue.running == at_once
            venue.open.set()
        assert venue.peak == at_once
        assert await proxy.echo(1) == 1


@pytest.mark.in_actor
async def test_calls_beyond_the_slots_start_in_order() -> None:
    venue = Venue()
    async with (
        open_client_proxy(venue, slots=1) as proxy,
        trio.open_nursery() as tn,
    ):
        tn.start_soon(proxy.hang)
        await until(lambda: venue.running == 1)
        for value in range(20):
            tn.start_soon(proxy.echo, value)
            await trio.testing.wait_all_tasks_blocked()
        venue.open.set()
    assert venue.calls == list(range(20))


@pytest.mark.in_actor
async def test_a_call_cancelled_while_it_waits_never_starts() -> None:
    venue = Venue()
    async with open_client_proxy(venue, slots=1) as proxy:
        async with trio.open_nursery() as tn:
            tn.start_soon(proxy.hang)
            await until(lambda: venue.running == 1)
            with trio.move_on_after(0.01) as scope:
                await proxy.echo(1)
            assert scope.cancelled_caught
            venue.open.set()
        assert await proxy.echo(2) == 2
    assert venue.calls == [2]


@pytest.mark.in_actor
async def test_a_call_in_a_cancelled_scope_is_not_made() -> None:
    venue = Venue()
    async with open_client_proxy(venue) as proxy:
        with trio.move_on_after(0):
            await proxy.echo(1)
    assert venue.calls == []


@pytest.mark.in_actor
async def test_a_cancelled_method_is_cancelled_once_and_cleans_up() -> None:
    venue = Venue()
    async with open_client_proxy(venue, slots=1) as proxy:
        with trio.move_on_after(0.01):
            await proxy.hang()
        assert venue.cleaned == 0, 'the caller waited for the clean-up'
        # the slot comes back with the reply, not when the caller leaves
        assert await proxy.echo(1) == 1
        assert venue.cleaned == 1

        # nor is leaving the block a second cancel
        with trio.move_on_after(0.01):
            await proxy.hang()
        await until(lambda: venue.cancels == 2)
    assert venue.cleaned == 2


@pytest.mark.in_actor
async def test_cancelling_one_caller_leaves_the_others_alone() -> None:
    venue = Venue()
    async with open_client_proxy(venue) as proxy, trio.open_nursery() as tn:
        for _ in range(20):
            tn.start_soon(proxy.hang)
        await until(lambda: venue.running == 20)
        with trio.move_on_after(0.01):
            await proxy.hang()
        await until(lambda: venue.cleaned == 1)
        venue.open.set()
    assert venue.cancels == 1


@pytest.mark.in_actor
async def test_a_task_cancelled_before_its_first_step_frees_its_caller() -> None:
    venue = Venue()
    async with open_client_proxy(venue) as proxy:
        asyncio.get_running_loop().call_soon(cancel_task, 'echo')
        with pytest.raises(AsyncioCancelled, match='echo'):
            await proxy.echo(1)
        assert await proxy.echo(2) == 2
    assert venue.calls == [2]


@pytest.mark.in_actor
async def test_a_call_that_the_client_cancels_raises_an_ordinary_error() -> None:
    async with open_client_proxy(Venue()) as proxy:
        with pytest.raises(AsyncioCancelled, match='cancel_itself'):
            await proxy.cancel_itself()
        assert await proxy.echo(1) == 1


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
        assert logged.messages == ['ignore_cancel:0 ignores that it was cancelled']
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
async def test_errors_keep_type_message_attributes_and_cause() -> None:
    async with open_client_proxy(Venue()) as proxy:
        for delay in (None, 0.001):
            err = VenueError('rate limit', code=10028)
            err.__cause__ = OSError('reset')
            with pytest.raises(VenueError, match='rate limit') as raised:
                await proxy.fail(err, delay)
            assert raised.value is err
            assert raised.value.args == ('rate limit',)
            assert raised.value.code == 10028
            assert isinstance(raised.value.__cause__, OSError)

            for odd in (
                ExceptionGroup('both', [KeyError('a'), OSError('b')]),
                BaseException('base'),
                GeneratorExit(),
                TimeoutError('late'),
            ):
                with pytest.raises(BaseException) as raised_odd:  # noqa: PT011
                    await proxy.fail(odd, delay)
                assert raised_odd.value is odd


@pytest.mark.in_actor
async def test_methods_that_exit_or_interrupt_wedge_nothing() -> None:
    async with open_client_proxy(Venue()) as proxy:
        for err in (SystemExit(3), KeyboardInterrupt()):
            for delay in (None, 0.001):
                with pytest.raises(RuntimeError, match='fail raised') as raised:
                    await proxy.fail(err, delay)
                assert raised.value.__cause__ is err
                assert await proxy.echo(1) == 1


def kill_relay(before: set[asyncio.Task[Any]]) -> None:
    (relay,) = (
        task for task in asyncio.all_tasks() - before if ':' not in task.get_name()
    )
    relay.cancel('the vendor cancels all there is')


@pytest.mark.in_actor
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
        assert logged.messages == ['ignore_cancel:0 ignores that it was cancelled']
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


@acm
async def open_actor(infect_asyncio: bool = True) -> AsyncIterator[tractor.Portal]:
    async with tractor.open_nursery(
        loglevel='critical', **root_kwargs(free_addr())
    ) as an:
        yield await an.start_actor(
            'caller', enable_modules=[__name__], infect_asyncio=infect_asyncio
        )


async def call_in_every_way() -> bool:
    """
    Whether trio is a guest of asyncio.
    """
    venue = Venue()
    events: EventRelay[int] = EventRelay()
    async with open_client_proxy(venue, events=events, slots=8) as proxy:
        wrong: list[object] = []
        async with trio.open_nursery() as tn:
            for value in range(100):
                tn.start_soon(
                    expect, value, proxy.echo(value, random.random() / 100), wrong
                )
        assert not wrong
        assert await proxy.library() == 'asyncio'
        with pytest.raises(VenueError):
            await proxy.fail(VenueError('no', 1), delay=0)
        with pytest.raises(AsyncioCancelled):
            await proxy.cancel_itself()
        with trio.move_on_after(0.01):
            await proxy.hang()
        await until(lambda: venue.cleaned == 1)
        with events.subscribe() as stream:
            events.emit(1)
            assert await stream.receive() == 1
    with pytest.raises(RelayDown):
        await proxy.at_once(1)
    infected: bool = tractor.current_actor().is_infected_aio()
    return infected


@tractor.context
async def hold_calls(ctx: tractor.Context) -> None:
    venue = Venue()
    async with open_client_proxy(venue) as proxy, trio.open_nursery() as tn:
        for _ in range(20):
            tn.start_soon(proxy.hang)
            tn.start_soon(proxy.echo, 1, 3600)
        await until(lambda: venue.running == 20)
        await ctx.started()


@pytest.mark.parametrize('infect_asyncio', [True, False])
async def test_any_actor_can_call_and_be_cancelled(infect_asyncio: bool) -> None:
    """
    Not only daemons: piker opens clients in its paper engine and command lines, too.
    """
    async with open_actor(infect_asyncio) as portal:
        assert await portal.run(call_in_every_way) is infect_asyncio
        with suppress(tractor.ContextCancelled):
            async with portal.open_context(hold_calls):
                await portal.cancel_actor()


async def interrupted() -> None:
    async with open_actor() as portal, portal.open_context(hold_calls):
        print('ready', flush=True)
        await trio.sleep_forever()


def test_ctrl_c_with_calls_in_flight_is_silent() -> None:
    with subprocess.Popen(
        [sys.executable, __file__],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {'PYTHONWARNINGS': 'ignore', 'PYTHONPATH': os.getcwd()},
        start_new_session=True,
    ) as root:
        assert root.stdout
        try:
            assert root.stdout.readline() == 'ready\n'
            os.killpg(root.pid, signal.SIGINT)  # as a terminal does
            assert root.communicate(timeout=60) == ('', '')
        finally:
            root.kill()
    assert root.returncode == 0


if __name__ == '__main__':
    with suppress(KeyboardInterrupt):
        trio.run(interrupted)
