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

import msgspec
import trio
from bench_bare import mk_subscribe
from minipiker.brokers import __brokers__, get_brokermod
from minipiker.data.feed import open_feed
from minipiker.testing import open_test_pikerd
from simvenue.process import open_simvenue
from trio_websocket import open_websocket_url

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
    Trades a second, from the first ones that come to the `last`.
    """

    def __init__(self, last: int) -> None:
        self._last = last
        self._first = 0
        self._begin = 0.0

    def at(self, number: int) -> float | None:
        """
        The rate, if the trade of that number, which has just come, is the last.
        """
        now = time.perf_counter()
        if not self._begin:
            assert number != self._last
            self._begin, self._first = now, number
        if number != self._last:
            return None
        return (number - self._first) / (now - self._begin)


class Params(msgspec.Struct):
    channel: str
    data: msgspec.Raw


class Notification(msgspec.Struct):
    params: Params | None = None


async def bare(start: Start, url: str, market: str, last: int) -> float:
    """
    trio-websocket and msgspec alone, with the backend's own type of a trade.
    """
    messages = import_module(f'{get_brokermod(broker).__name__}.messages')
    decode = msgspec.json.Decoder(Notification).decode
    decode_trades = msgspec.json.Decoder(list[messages.Trade]).decode
    rate = Rate(last)
    async with open_websocket_url(url) as websocket:
        await websocket.send_message(mk_subscribe(f'trades.{market}.100ms'))
        await start()
        while True:
            params = decode(await websocket.get_message()).params
            if params and (it := rate.at(decode_trades(params.data)[-1].trade_seq)):
                return it


async def decode(start: Start, url: str, market: str, last: int) -> float:
    """
    The backend's client.
    """
    os.environ[f'{broker.upper()}_URL'] = url
    rate = Rate(last)
    async with (
        get_brokermod(broker).get_client() as client,
        client.open_channel(f'trades.{market}.100ms') as msgs,
    ):
        await start()
        async for msg in msgs:
            if it := rate.at(msg[-1].trade_seq):
                return it
    raise AssertionError('the stream ended')


async def feed(start: Start, url: str, market: str, last: int) -> float:
    """
    To a client of `datad`.
    """
    rate = Rate(last)
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
