"""
The proxy works in any actor, whichever loop is whose guest.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from pathlib import Path

import pytest
import tractor
import trio
from tractor.to_asyncio import AsyncioCancelled
from vendor_client import Venue, VenueError, expect, until

from minipiker._gate import endpoint
from minipiker._tractor import root_kwargs
from minipiker.service._registry import free_addr
from piker_deribit2._proxy import (
    EventRelay,
    RelayDown,
    log,
    open_client_proxy,
)

pytestmark = pytest.mark.usefixtures('silent')

# of the actors that a test run as a script spawns
_path = f'{Path.cwd()}{os.pathsep}{Path(__file__).parent}'


@acm
async def open_actor(infect_asyncio: bool = True) -> AsyncIterator[tractor.Portal]:
    with free_addr() as addr:
        async with tractor.open_nursery(loglevel='critical', **root_kwargs(addr)) as an:
            yield await an.start_actor(
                'caller', enable_modules=[__name__], infect_asyncio=infect_asyncio
            )


@endpoint
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


@endpoint
async def leave_a_call_that_ignores_cancel() -> list[str]:
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log.handlers = [Handler()]
    log.propagate = False
    # which says the same as it lets go of the task
    logging.getLogger('asyncio').disabled = True
    async with open_client_proxy(Venue(), grace=0.01) as proxy:
        with trio.move_on_after(0.01):
            await proxy.ignore_cancel()
    return said


@pytest.mark.parametrize('infect_asyncio', [True, False])
async def test_a_call_that_ignores_cancel_is_abandoned(infect_asyncio: bool) -> None:
    async with open_actor(infect_asyncio) as portal:
        (said,) = await portal.run(leave_a_call_that_ignores_cancel)
        assert "name='ignore_cancel:0'" in said
        # and the actor ends, too
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
        env=os.environ | {'PYTHONWARNINGS': 'ignore', 'PYTHONPATH': _path},
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
