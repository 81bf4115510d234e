"""
The yardstick: the bare actor runtime, without anything of the generated project.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from typing import Any

import bench_wire as wire
import tractor
import trio
from trio_websocket import open_websocket_url

quotes = 20_000
window = 32


def root_kwargs() -> dict[str, Any]:
    with socket.create_server(('127.0.0.1', 0)) as server:
        addr = server.getsockname()
    if hasattr(tractor, 'get_registry'):
        return {'registry_addrs': [addr]}
    return {'arbiter_addr': addr}


@tractor.context
async def first_quote(ctx: tractor.Context, url: str, market: str) -> None:
    """
    What there is no way around: a socket to the venue, in an actor of its own.
    """
    async with open_websocket_url(wire.socket_of(url)) as websocket:
        await websocket.send_message(wire.subscribe_quotes(market))
        while not wire.is_quote(message := await websocket.get_message()):
            pass
        await ctx.started(message)


@acm
async def open_actor() -> AsyncIterator[tractor.Portal]:
    async with tractor.open_nursery(**root_kwargs(), loglevel='critical') as nursery:
        portal = await nursery.start_actor('bare', enable_modules=[__name__])
        yield portal
        await portal.cancel_actor()


async def boot(url: str, market: str) -> float:
    begin = time.perf_counter()
    async with (
        open_actor() as portal,
        portal.open_context(first_quote, url=url, market=market) as (ctx, _),
    ):
        took = time.perf_counter() - begin
        await ctx.cancel()
    return took


def mk_quote(bs_fqme: str) -> dict[str, Any]:
    now = time.time()
    tick = {'type': 'trade', 'price': 64_000.5, 'size': 0.1, 'time': now}
    return {
        'symbol': bs_fqme,
        'last': 64_000.5,
        'ticks': [tick],
        'broker_ts': now,
        'brokerd_ts': now,
    }


@tractor.context
async def stream_bare(ctx: tractor.Context, count: int) -> None:
    """
    As many messages as a feed sends. The consumer says when it has taken a window of
    them: git main would lose some otherwise.
    """
    await ctx.started()
    async with ctx.open_stream() as stream:
        msg = {'btcusd.perp': mk_quote('btcusd.perp')}
        for i in range(count):
            await stream.send(msg)
            if i % window == window - 1:
                await stream.receive()
        await stream.send(None)


async def rate(url: str, market: str) -> float:
    async with (
        open_actor() as portal,
        portal.open_context(stream_bare, count=quotes) as (ctx, _),
    ):
        async with ctx.open_stream() as stream:
            begin = time.perf_counter()
            taken = 0
            while await stream.receive() is not None:
                taken += 1
                if taken % window == 0:
                    await stream.send(taken)
            took = time.perf_counter() - begin
        await ctx.cancel()
    return took


@tractor.context
async def echo(ctx: tractor.Context) -> None:
    await ctx.started()
    async with ctx.open_stream() as stream:
        async for msg in stream:
            await stream.send(msg)


async def round_trips(count: int) -> list[float]:
    """
    What each takes, over a context's stream.
    """
    times: list[float] = []
    async with (
        open_actor() as portal,
        portal.open_context(echo) as (ctx, _),
        ctx.open_stream() as stream,
    ):
        for _ in range(count):
            begin = time.perf_counter()
            await stream.send({'a': 'message'})
            await stream.receive()
            times.append(time.perf_counter() - begin)
        await ctx.cancel()
    return times


def main(count: int) -> None:
    json.dump(trio.run(round_trips, count), sys.stdout)
