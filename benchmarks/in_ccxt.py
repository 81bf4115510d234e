"""
Runs in an environment that has ccxt: its `watch_trades()` on the simulated venue.

Prints trades per second.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import ccxt.pro  # type: ignore[import-not-found]


async def main(url: str, market: str, last: str) -> None:
    rest = urlsplit(url)._replace(scheme='http', path='').geturl()
    venue: Any = ccxt.pro.deribit(
        {'urls': {'api': {'rest': rest, 'ws': url}}, 'newUpdates': True}
    )
    try:
        await venue.load_markets()
        symbol = venue.markets_by_id[market][0]['symbol']
        first, begin = 0, 0.0
        while True:
            trades = await venue.watch_trades(symbol)
            number = trades[-1]['info']['trade_seq']
            if not begin:
                first, begin = number, time.perf_counter()
            if number == int(last):
                print((number - first) / (time.perf_counter() - begin))
                return
    finally:
        await venue.close()


if __name__ == '__main__':
    asyncio.run(main(*sys.argv[1:]))
