"""
A client on asyncio with all the habits that a vendor's may have, and what tests of the
proxy do to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import sniffio
import trio
import trio.testing


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
        self.swept = asyncio.Event()
        self.swept.set()
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
            await self.swept.wait()
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

    async def beat(self) -> None:
        "Start what goes on by itself, as a heartbeat does, and starts more."
        self.beats = asyncio.create_task(self.hang_twice())
        await asyncio.sleep(0)

    async def hang_twice(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self.hang())
            both.create_task(self.hang())

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
