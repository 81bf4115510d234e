"""
Running on asyncio, in any actor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import tractor
import trio
from tractor.to_asyncio import open_channel_from

starts_task: ContextVar[Callable[[asyncio.Task[Any]], None]] = ContextVar('starts_task')
"""
Called with each task that is started in this context. A task inherits it from the one
that started it.
"""


@dataclass
class TaskFactory:
    """
    The task factory of a loop that calls `starts_task`.
    """

    make: Callable[..., asyncio.Task[Any]]

    @classmethod
    def install(cls, loop: asyncio.AbstractEventLoop) -> None:
        factory: Any = loop.get_task_factory()
        if not isinstance(factory, cls):
            loop.set_task_factory(cls(factory or cls.mk_task))

    @staticmethod
    def mk_task(
        loop: asyncio.AbstractEventLoop,
        coro: Any,
        **kwargs: Any,
    ) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **kwargs)

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Any,
        **kwargs: Any,
    ) -> asyncio.Task[Any]:
        task = self.make(loop, coro, **kwargs)
        if tell := starts_task.get(None):
            tell(task)
        return task


@acm
async def open_on_asyncio(
    target: Callable[[trio.MemorySendChannel[None]], Awaitable[None]],
) -> AsyncIterator[None]:
    """
    Run `target` on asyncio, until it ends by itself. Enters as it sends.

    The loop is that of the actor's daemon, whose guest trio is (`infect_asyncio`).
    Hosts open clients elsewhere too: in their command lines, and in piker's paper
    engine. There it is the other way round, and a loop is trio's guest.
    """
    if tractor.current_actor().is_infected_aio():
        async with open_channel_from(target):
            yield
    else:
        from trio_asyncio import aio_as_trio, open_loop

        to_trio, from_target = trio.open_memory_channel[None](1)
        async with open_loop(), trio.open_nursery() as tn:
            tn.start_soon(aio_as_trio(target), to_trio)
            await from_target.receive()
            yield
