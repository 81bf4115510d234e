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
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec
import trio
from bench_bare import mk_subscribe
from minipiker.brokers import __brokers__, get_brokermod
from minipiker.data.feed import open_feed
from minipiker.testing import open_test_pikerd
from simvenue.process import open_simvenue
from trio_websocket import open_websocket_url

(broker,) = __brokers__
messages = 10_000
"""No more than may wait for a slow consumer."""
rounds = 5


@acm
async def open_flood(each: int) -> AsyncIterator[tuple[str, str, int, int]]:
    """
    Where a flood of trades is to be had, `each` a message; in which market, the number
    of the last, and how many they are.
    """
    count = messages * each
    async with open_simvenue(rate=0) as venue:
        market = await venue.market((await venue.markets())[0].name)
        assert market.last
        trade = await venue.print_trade(market.name, market.last, 10)
        last = msgspec.json.encode(trade).decode()
        args = [venue.url, market.name, last, str(count), str(each)]
        process = await trio.lowlevel.open_process(
            [sys.executable, 'bench_flood.py', *args], stdout=subprocess.PIPE
        )
        try:
            assert process.stdout
            url = (await process.stdout.receive_some()).decode().strip()
            yield url, market.name, trade.seq + count, count
        finally:
            process.kill()
            await process.wait()


class Params(msgspec.Struct):
    channel: str
    data: msgspec.Raw


class Notification(msgspec.Struct):
    params: Params | None = None


async def bare(url: str, market: str, last: int, count: int) -> float:
    """
    trio-websocket and msgspec alone, with the backend's own type of a trade.
    """
    messages = import_module(f'{get_brokermod(broker).__name__}.messages')
    decode = msgspec.json.Decoder(Notification).decode
    decode_trades = msgspec.json.Decoder(list[messages.Trade]).decode
    begin = 0.0
    async with open_websocket_url(url) as websocket:
        await websocket.send_message(mk_subscribe(f'trades.{market}.100ms'))
        while True:
            params = decode(await websocket.get_message()).params
            begin = begin or time.perf_counter()
            if params and decode_trades(params.data)[-1].trade_seq == last:
                return count / (time.perf_counter() - begin)


async def decode(url: str, market: str, last: int, count: int) -> float:
    """
    The backend's client.
    """
    os.environ[f'{broker.upper()}_URL'] = url
    mod = get_brokermod(broker)
    begin = 0.0
    async with (
        mod.get_client() as client,
        client.open_channel(f'trades.{market}.100ms') as msgs,
    ):
        async for msg in msgs:
            begin = begin or time.perf_counter()
            if msg[-1].trade_seq == last:
                return count / (time.perf_counter() - begin)
    raise AssertionError('the stream ended')


async def feed(url: str, market: str, last: int, count: int) -> float:
    """
    To a client of `datad`.
    """
    begin = 0.0
    with TemporaryDirectory() as conf_dir:
        async with (
            open_test_pikerd(Path(conf_dir), url=url),
            open_feed([f'{market}.{broker}']) as feed,
        ):
            first = next(iter(feed.quotes.values()))['trade_id']
            async for quotes in feed:
                begin = begin or time.perf_counter()
                for quote in quotes.values():
                    if quote.get('trade_id') == last:
                        return (last - first) / (time.perf_counter() - begin)
    raise AssertionError('the feed ended')


async def other(
    python: str, script: str, url: str, market: str, last: int, count: int
) -> float:
    """
    To another client, in an environment of its own.
    """
    done = await trio.run_process(
        [python, script, url, market, str(last), str(count)], capture_stdout=True
    )
    return float(done.stdout)


async def measure(each: int, python: str, script: str) -> dict[str, float]:
    ways: dict[str, Callable[..., Awaitable[float]]] = {
        'bare': bare,
        'decode': decode,
        'feed': feed,
    }
    rates: dict[str, list[float]] = {}
    async with open_flood(each) as flood:
        for _ in range(rounds):
            for name, way in ways.items():
                rates.setdefault(name, []).append(await way(*flood))
            rate = await other(python, script, *flood)
            rates.setdefault('other', []).append(rate)
    return {name: median(it) for name, it in rates.items()}


async def _main(python: str, script: str) -> None:
    json.dump(
        {each: await measure(each, python, script) for each in (1, 10)}, sys.stdout
    )


def main(python: str, script: str) -> None:
    trio.run(_main, python, script)
