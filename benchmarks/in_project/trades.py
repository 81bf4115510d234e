"""
Trades of the venue, as many as there can be: what a generated backend makes of them,
against a bare socket, and how many reach a client of its `datad`.

Run in a generated project, by `benchmarks/trades.py`. Prints one JSON object, trades
per second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import bench_wire as wire
import msgspec
import tractor
import trio
from bench_bare import root_kwargs
from minipiker.brokers import __brokers__, get_brokermod
from minipiker.data.feed import open_feed
from minipiker.testing import open_test_pikerd
from simvenue.process import open_simvenue
from trio_websocket import open_websocket_url
from websockets.trio.client import connect

(broker,) = __brokers__
trades = 100_000
rounds = 5


@acm
async def open_flood(each: int) -> AsyncIterator[tuple[Start, str, str, int]]:
    """
    What starts a flood of trades, `each` a message; where it is to be had, in which
    market, and the number of the last.
    """
    async with open_simvenue(rate=0) as venue:
        market = await venue.market((await venue.markets())[0].name)
        assert market.last
        trade = await venue.print_trade(market.name, market.last, 10)
        last = msgspec.json.encode(trade).decode()
        args = [venue.url, market.name, last, str(trades), str(each)]
        process = await trio.lowlevel.open_process(
            [sys.executable, 'bench_flood.py', *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdin
            assert process.stdout
            start = partial(process.stdin.send_all, b'\n')
            url = (await process.stdout.receive_some()).decode().strip()
            yield start, url, market.name, trade.seq + trades
        finally:
            process.kill()
            await process.wait()


Start = Callable[[], Awaitable[None]]


class Rate:
    """
    Trades a second, from the first one that comes to the `last`: of processor time,
    where one process does it all, so that nothing else on the machine matters.
    """

    def __init__(
        self, last: int, clock: Callable[[], float] = time.process_time
    ) -> None:
        self._last = last
        self._clock = clock
        self._first = 0
        self._begin = 0.0

    def at(self, number: int) -> float | None:
        """
        The rate, if the trade of that number, which has just come, is the last.
        """
        if not self._first:
            assert number != self._last
            self._begin, self._first = self._clock(), number
        if number != self._last:
            return None
        return (number - self._first) / (self._clock() - self._begin)


def mk_read() -> Callable[[str | bytes], int | None]:
    """
    Decodes a message by the backend's own type of a trade, and gives the last number.
    """
    messages = import_module(f'{get_brokermod(broker).__name__}.messages')
    return wire.mk_read(messages.Trade)


async def bare_trio_websocket(start: Start, url: str, market: str, last: int) -> float:
    """
    trio-websocket, which piker has, and msgspec alone.
    """
    read, rate = mk_read(), Rate(last)
    async with open_websocket_url(wire.socket_of(url)) as websocket:
        await websocket.send_message(wire.subscribe(market))
        await start()
        while True:
            number = read(await websocket.get_message())
            if number and (it := rate.at(number)):
                return it


async def bare_websockets(start: Start, url: str, market: str, last: int) -> float:
    """
    websockets, which the backend has, and msgspec alone.
    """
    read, rate = mk_read(), Rate(last)
    async with trio.open_nursery() as nursery:
        # entered as a context it asks for a newer trio than the release has
        connecting = connect(wire.socket_of(url), proxy=None, max_queue=64)
        websocket = await connecting.connect(nursery)
        await websocket.send(wire.subscribe(market))
        await start()
        while True:
            number = read(await websocket.recv(decode=False))
            if number and (it := rate.at(number)):
                nursery.cancel_scope.cancel()
                return it


async def decode(start: Start, url: str, market: str, last: int) -> float:
    """
    The backend's client, in an actor such as its `datad`.
    """
    await start()  # as soon as it has subscribed
    spawn_kwargs = getattr(get_brokermod(broker), '_spawn_kwargs', {})
    async with tractor.open_nursery(**root_kwargs(), loglevel='critical') as nursery:
        portal = await nursery.start_actor(
            'decode', enable_modules=[__name__], **spawn_kwargs
        )
        async with portal.open_context(
            decode_here, url=url, market=market, last=last
        ) as (_, measured):
            pass
        await portal.cancel_actor()
    return float(measured)


@tractor.context
async def decode_here(ctx: tractor.Context, url: str, market: str, last: int) -> None:
    mod = get_brokermod(broker)
    feed = import_module(f'{mod.__name__}._feed')
    os.environ[f'{broker.upper()}_URL'] = url
    rate = Rate(last)
    async with (
        mod.get_client() as client,
        client.session.open_channel(feed.mk_channels(market)[0]) as msgs,
    ):
        while True:
            # as the feed does
            for msg in await msgs.receive_all():
                if it := rate.at(msg[-1].number):
                    await ctx.started(it)
                    return


async def feed(start: Start, url: str, market: str, last: int) -> float:
    """
    To a client of `datad`.
    """
    rate = Rate(last, time.perf_counter)
    with TemporaryDirectory() as conf_dir:
        async with (
            open_test_pikerd(Path(conf_dir), url=url),
            open_feed([f'{market}.{broker}']) as feed,
        ):
            await start()
            async for quotes in feed:
                for quote in quotes.values():
                    if 'trade_id' in quote and (it := rate.at(quote['trade_id'])):
                        return it
    raise AssertionError('the feed ended')


async def other(
    python: str, script: str, start: Start, url: str, market: str, last: int
) -> float:
    """
    To another client, in an environment of its own.
    """
    await start()  # as soon as it has subscribed
    done = await trio.run_process(
        [python, script, url, market, str(last)], capture_stdout=True
    )
    return float(done.stdout)


async def measure(each: int, python: str = '', script: str = '') -> dict[str, float]:
    """
    The other client, too, where there is its `python`.
    """
    ways: dict[str, Callable[..., Awaitable[float]]] = {
        'trio-websocket': bare_trio_websocket,
        'websockets': bare_websockets,
        'decode': decode,
        'feed': feed,
    }
    rates: dict[str, list[float]] = {}
    async with open_flood(each) as flood:
        for _ in range(rounds):
            for name, way in ways.items():
                rates.setdefault(name, []).append(await way(*flood))
            if python:
                rate = await other(python, script, *flood)
                rates.setdefault('other', []).append(rate)
    return {name: median(it) for name, it in rates.items()}


async def _main(*other: str) -> None:
    json.dump({each: await measure(each, *other) for each in (1, 10)}, sys.stdout)


def main(*other: str) -> None:
    trio.run(_main, *other)
