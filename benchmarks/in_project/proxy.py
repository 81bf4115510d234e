"""
Calls of a client on asyncio from trio, through the method proxy and in other ways.

Run in a generated project, by `benchmarks/proxy.py`. Prints one JSON object: µs a call,
the quickest of interleaved rounds on one core, and bytes of resident memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from contextlib import asynccontextmanager as acm
from functools import partial
from importlib import import_module
from typing import Any

import psutil
import tractor
import trio
from anyio.from_thread import start_blocking_portal
from minipiker.brokers import __brokers__, get_brokermod
from tractor.to_asyncio import open_channel_from, run_as_asyncio_guest

Call = Callable[[str], Awaitable[Any]]
"""Takes the name of a method."""

rounds = 20

(broker,) = __brokers__
open_client_proxy = import_module(
    f'{get_brokermod(broker).__name__}._proxy'
).open_client_proxy


class Client:
    async def answer(self) -> int:
        return 1

    async def wait_a_turn(self) -> int:
        await asyncio.sleep(0)
        return 1

    async def wait_1_ms(self) -> int:
        await asyncio.sleep(0.001)
        return 1

    async def fail(self) -> None:
        raise ValueError


async def serial(call: Call, method: str, count: int = 300) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        await call(method)
    return (time.perf_counter() - begin) / count * 1e6


async def callers(call: Call, number: int = 100, each: int = 5) -> float:
    async def caller() -> None:
        for _ in range(each):
            await call('wait_1_ms')

    begin = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(number):
            nursery.start_soon(caller)
    return (time.perf_counter() - begin) / (number * each) * 1e6


async def echo(to_trio: Any, from_trio: Any) -> None:
    to_trio.send_nowait(None)
    while (msg := await from_trio.get()) is not None:
        to_trio.send_nowait(msg)


@acm
async def open_raw() -> AsyncIterator[Call]:
    async with open_channel_from(echo) as pair:
        (channel,) = (it for it in pair if it is not None)

        async def call(method: str) -> Any:
            await channel.send(method)
            return await channel.receive()

        yield call
        await channel.send(None)
        with suppress(trio.EndOfChannel):  # or the runtime complains
            await channel.receive()


@acm
async def open_proxy() -> AsyncIterator[Call]:
    async with open_client_proxy(Client()) as proxy:
        yield lambda method: getattr(proxy, method)()


@acm
async def open_trio_asyncio() -> AsyncIterator[Call]:
    # changes how asyncio runs its loops from then on
    from trio_asyncio import open_loop

    client = Client()
    async with open_loop() as loop:
        yield lambda method: loop.run_aio_coroutine(getattr(client, method)())


@acm
async def open_portal() -> AsyncIterator[Call]:
    client = Client()
    token = trio.lowlevel.current_trio_token()
    with start_blocking_portal('asyncio') as portal:

        async def call(method: str) -> Any:
            done = trio.Event()
            future = portal.start_task_soon(getattr(client, method))
            future.add_done_callback(lambda _: token.run_sync_soon(done.set))
            await done.wait()
            return future.result()

        yield call


@acm
async def open_actor() -> AsyncIterator[None]:
    with socket.create_server(('127.0.0.1', 0)) as server:
        addr = server.getsockname()
    at: dict[str, Any] = (
        {'registry_addrs': [addr]}
        if hasattr(tractor, 'get_registry')
        else {'arbiter_addr': addr}
    )
    async with tractor.open_root_actor(loglevel='critical', **at) as actor:
        actor._infected_aio = True  # which the release knows of children only
        yield


async def measure(ways: dict[str, Any], measured: dict[str, float]) -> None:
    times: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        calls = {
            way: await stack.enter_async_context(open_it())
            for way, open_it in ways.items()
        }
        for _ in range(rounds):
            for way, call in calls.items():
                for method in ('answer', 'wait_a_turn'):
                    took = await serial(call, method)
                    times.setdefault(f'{way}_{method}', []).append(took)
                if way != 'raw':
                    times.setdefault(f'{way}_100', []).append(await callers(call))
    measured |= {name: min(took) for name, took in times.items()}


async def make_calls(calls: int, measured: dict[str, float]) -> None:
    """
    Make so many calls, with errors and cancels among them.
    """
    rng = random.Random(7)

    async def caller(proxy: Client, count: int) -> None:
        for _ in range(count):
            match rng.randrange(10):
                case 0:
                    with trio.move_on_after(0.0005):
                        await proxy.wait_1_ms()
                case 1:
                    with suppress(ValueError):
                        await proxy.fail()
                case _:
                    await proxy.answer()

    async with open_actor(), open_client_proxy(Client()) as proxy:
        for count in (calls // 10, calls - calls // 10):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(caller, proxy, count // 100)
            measured[f'memory_{count}'] = psutil.Process().memory_info().rss


def main(calls: int) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    measured: dict[str, float] = {}

    async def guest() -> None:
        async with open_actor():
            await measure({'raw': open_raw, 'proxy': open_proxy}, measured)

    run_as_asyncio_guest(guest)
    if calls:
        run_as_asyncio_guest(partial(make_calls, calls, measured))
    trio.run(measure, {'portal': open_portal}, measured)
    trio.run(measure, {'trio_asyncio': open_trio_asyncio}, measured)
    print(json.dumps(measured))
