"""
Every caller gets the reply to its own call, whatever becomes of the others.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import pytest
import trio
import trio.testing
from tractor.to_asyncio import AsyncioCancelled
from vendor_client import Venue, VenueError, cancel_task, expect, until

from piker_deribit2._proxy import MethodProxy, open_client_proxy

pytestmark = pytest.mark.usefixtures('silent')


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
async def test_other_attributes_are_set_and_deleted_on_the_client() -> None:
    venue = Venue()
    async with open_client_proxy(venue) as proxy:
        proxy.peak = 7
        assert venue.peak == proxy.peak == 7
        del proxy.peak
        assert not hasattr(venue, 'peak')
        # a method is then called as the class's own
        proxy.is_open = venue.library  # type: ignore[assignment, method-assign]
        assert await proxy.is_open() == 'asyncio'  # type: ignore[misc]
        for name in ('_reset', '_token'):
            with pytest.raises(AttributeError, match=name):
                setattr(proxy, name, None)
            with pytest.raises(AttributeError, match=name):
                delattr(proxy, name)


class Session(Venue):
    """
    Opened by `async with`, as many clients are.
    """

    handles: type[BaseException] = VenueError

    async def __aenter__(self) -> Session:
        self.calls.append(await self.at_once(1))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        await asyncio.sleep(0.001)
        self.cleaned += 1
        return kind is not None and issubclass(kind, self.handles)


@pytest.mark.in_actor
async def test_async_with_enters_and_leaves_the_client() -> None:
    session = Session()
    async with open_client_proxy(session) as proxy:
        async with proxy as entered:
            assert entered is proxy
            assert await entered.echo(2) == 2
        assert session.calls == [1, 2]
        assert session.cleaned == 1
        async with proxy:
            raise VenueError('which the client takes for its own', 1)
        with pytest.raises(KeyError):
            async with proxy:
                raise KeyError

        # though nothing else that is cancelled is called
        with trio.CancelScope() as scope:
            async with proxy:
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert session.cleaned == 4

        # nor does a client that handles whatever comes handle a cancel
        session.handles = BaseException
        with trio.CancelScope() as scope:
            async with proxy:
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught

    async with open_client_proxy(Venue()) as closed:
        assert not hasattr(type(closed), '__aenter__')


@pytest.mark.in_actor
async def test_a_client_that_never_lets_go_is_left_all_the_same() -> None:
    class Stuck(Session):
        async def __aexit__(self, *_: object) -> bool:
            await self.hang()
            return False

    session = Stuck()
    async with open_client_proxy(session, grace=0.01) as proxy:
        with pytest.raises(trio.TooSlowError, match='__aexit__'):
            async with proxy:
                pass
        await until(lambda: session.cleaned == 1)


class Raises:
    """
    A descriptor, as lazy imports and settings that are not there have them.
    """

    def __get__(self, client: object, client_type: type) -> Any:
        raise LookupError('not configured')


@pytest.mark.in_actor
async def test_a_descriptor_that_raises_does_so_where_it_is_asked_for() -> None:
    class Odd(Venue):
        setting = Raises()

    async with open_client_proxy(Odd()) as proxy:
        assert await proxy.echo(1) == 1
        with pytest.raises(LookupError, match='not configured'):
            _ = proxy.setting


@pytest.mark.in_actor
@pytest.mark.parametrize('slots', [0, -1])
async def test_no_slots_at_all_are_refused(slots: int) -> None:
    with pytest.raises(ValueError, match=f'at least 1, not {slots}'):
        async with open_client_proxy(Venue(), slots=slots):
            pass


@pytest.mark.in_actor
@pytest.mark.case('RULE-MID')
async def test_cancelled_calls_never_skew_a_later_reply() -> None:
    async with open_client_proxy(Venue()) as proxy:
        got = await cancel_every_other(lambda i: proxy.echo(i, 3600 * (i % 2)))
        assert got == ([], 10)
        # and nothing is kept of a call that is over
        assert isinstance(proxy, MethodProxy)
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
        venue.swept.clear()
        with trio.move_on_after(0.01):
            await proxy.hang()
        await until(lambda: venue.cancels == 2)
        asyncio.get_running_loop().call_later(0.05, venue.swept.set)
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


@pytest.mark.in_actor
@pytest.mark.case('RULE-RELAY')
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
