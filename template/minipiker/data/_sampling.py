"""
`samplerd`: the one clock that everything which advances by the bar shares.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from contextlib import asynccontextmanager as acm
from typing import Any, ClassVar

import tractor
import trio

from .._streaming import open_endpoint
from .._tractor import context
from ..log import get_console_log
from ..service._daemon import maybe_spawn_daemon
from ..service._mngr import Services


class Sampler:
    """
    The clocks of `samplerd`, one a period. State of that actor alone.
    """

    nursery: ClassVar[trio.Nursery | None] = None
    subs: ClassVar[dict[float, set[trio.MemorySendChannel[int]]]] = {}

    @classmethod
    async def run_clock(cls, period_s: float) -> None:
        """
        Tell the subscribers of a period each step, on multiples of it since the
        epoch, until the last of them has left.
        """
        subs = cls.subs[period_s]
        while subs:
            step = int(time.time() // period_s) + 1
            await trio.sleep(max(0, step * period_s - time.time()))
            for sub in subs:
                # who is still busy with an earlier step sees the gap
                with suppress(trio.WouldBlock):
                    sub.send_nowait(step)
        del cls.subs[period_s]


@tractor.context
async def _setup_persistent_samplerd(
    ctx: tractor.Context,
    loglevel: str | None = None,
) -> None:
    """
    The lifetime of `samplerd`.
    """
    get_console_log(loglevel, name='samplerd')
    async with trio.open_nursery() as Sampler.nursery:
        await ctx.started()
        await trio.sleep_forever()


@context
async def register_with_sampler(ctx: tractor.Context, period_s: float) -> None:
    """
    RPC endpoint of `samplerd`: stream the steps of a clock.
    """
    sub, steps = trio.open_memory_channel[int](1)
    if period_s in Sampler.subs:
        Sampler.subs[period_s].add(sub)
    else:
        if Sampler.nursery is None:
            raise RuntimeError('samplerd is not set up')
        Sampler.subs[period_s] = {sub}
        Sampler.nursery.start_soon(Sampler.run_clock, period_s)
    try:
        await ctx.started()
        async with ctx.open_stream() as stream:
            async for step in steps:
                await stream.send(step)
                await stream.receive()  # ready for the next
    finally:
        Sampler.subs[period_s].discard(sub)


def samplerd_init(
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> tuple[None, dict[str, Any], Callable[..., Any]]:
    """
    What it takes to run `samplerd`: no backend, the arguments of `start_actor()` and
    the lifetime fixture.
    """
    kwargs = {'name': 'samplerd', 'enable_modules': [__name__]}
    return None, start_actor_kwargs | kwargs, _setup_persistent_samplerd


async def spawn_samplerd(loglevel: str | None = None) -> bool:
    """
    Start `samplerd`. Runs in `pikerd`.
    """
    _, kwargs, fixture = samplerd_init(loglevel)
    return await Services.start_service(
        kwargs, ['minipiker.service._liveness'], fixture, loglevel=loglevel
    )


def maybe_spawn_samplerd(
    loglevel: str | None = None,
) -> AbstractAsyncContextManager[tractor.Portal]:
    """
    A portal to `samplerd`, spawned if need be.
    """
    return maybe_spawn_daemon('samplerd', spawn_samplerd, {}, loglevel)


@acm
async def open_sample_stream(
    period_s: float,
    loglevel: str | None = None,
) -> AsyncIterator[AsyncIterator[int]]:
    """
    An async iterator over the steps of the clock with a period of `period_s`
    seconds: the number of periods since the epoch. A consumer that takes longer than
    a period misses steps, and sees it by the number.
    """
    async with open_endpoint(
        maybe_spawn_samplerd(loglevel), register_with_sampler, period_s=period_s
    ) as (_, stream):

        async def steps() -> AsyncIterator[int]:
            async for step in stream:
                yield step
                await stream.send(step)

        yield steps()
