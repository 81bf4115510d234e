"""
Runs inside of a generated project: its feed against the bare actor runtime.

Prints a JSON object, seconds by what was measured; medians of interleaved rounds.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import bench_bare
import trio
from bench_bare import mk_quote, quotes
from minipiker.brokers import __brokers__, get_brokermod
from minipiker.data.feed import open_feed
from minipiker.data.validate import FeedInit
from minipiker.testing import open_test_pikerd
from simvenue.process import open_simvenue

(broker,) = __brokers__
rounds = 9


async def boot_feed(url: str, market: str) -> float:
    with TemporaryDirectory() as conf_dir:
        begin = time.perf_counter()
        async with (
            open_test_pikerd(Path(conf_dir), url=url),
            open_feed([f'{market}.{broker}']) as feed,
        ):
            await feed.receive()
            return time.perf_counter() - begin


async def stream_quotes(
    send_chan: trio.MemorySendChannel[dict[str, Any]],
    symbols: list[str],
    feed_is_live: trio.Event,
    task_status: Any,
) -> None:
    """
    In place of the backend's: quotes as fast as the bus takes them.
    """
    mkt, _ = await get_brokermod(broker).get_mkt_info(*symbols)
    task_status.started(([FeedInit(mkt_info=mkt)], mk_quote(mkt.bs_fqme)))
    feed_is_live.set()
    quote = mk_quote(mkt.bs_fqme)
    for _ in range(quotes + 5000):  # some pass before the first subscriber is there
        await send_chan.send({mkt.bs_fqme: quote})
    await trio.sleep_forever()


async def rate_feed(url: str, market: str) -> float:
    with TemporaryDirectory() as conf_dir:
        async with (
            open_test_pikerd(Path(conf_dir), url=url),
            open_feed([f'{market}.{broker}']) as feed,
        ):
            await feed.receive()
            begin = time.perf_counter()
            for _ in range(quotes):
                await feed.receive()
            return time.perf_counter() - begin


measures = {
    'boot_bare': bench_bare.boot,
    'boot_feed': boot_feed,
    'boot_large': boot_feed,
    'rate_bare': bench_bare.rate,
    'rate_feed': rate_feed,
}


async def _main(names: tuple[str, ...]) -> None:
    took: dict[str, list[float]] = {name: [] for name in names}
    async with (
        # so many trades that nobody waits for one
        open_simvenue(rate=200, markets=20) as venue,
        open_simvenue(rate=200, markets=2000) as large_venue,
    ):
        market = (await venue.markets())[0].name
        for _ in range(rounds):
            for name in names:
                url = (large_venue if name == 'boot_large' else venue).url
                took[name].append(await measures[name](url, market))
    print(json.dumps({name: median(times) for name, times in took.items()}))


def main(*names: str) -> None:
    trio.run(_main, names)
