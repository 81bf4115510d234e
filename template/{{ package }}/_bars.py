"""
Frames of history in the host's form, and bars that are built from trades.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import numpy as np
import pendulum

from ._config import NAME
from ._market_data import PublicTrade
from ._piker import DataUnavailable, def_iohlcv_fields
from ._trades import GetTrades, page_through

Trade = TypeVar('Trade', bound=PublicTrade)

Frame = tuple[np.ndarray, pendulum.DateTime, pendulum.DateTime]
"""Bars, and when the first and the last one open."""

_seconds_ms: int = 6 * 60 * 60 * 1000
"""How far back bars of 1 s go."""
_pages: int = 5
"""The pages of trades that one frame of bars may take..."""
_frame: int = 10_000
"""... and the bars that it may have."""


def mk_ms(dt: datetime) -> int:
    return int(dt.timestamp() * 1000)


def mk_bars(size: int) -> np.ndarray:
    """
    The host's structured array, of that many bars.
    """
    bars = np.zeros(size, dtype=def_iohlcv_fields)
    bars['index'] = np.arange(size)
    return bars


def mk_frame(bars: np.ndarray, whose: str) -> Frame:
    """
    Raises `DataUnavailable` where there are no bars.
    """
    if not bars.size:
        raise DataUnavailable(f'{whose}: no bars at that time')
    return (
        bars,
        pendulum.from_timestamp(bars['time'][0]),
        pendulum.from_timestamp(bars['time'][-1]),
    )


async def build_seconds(
    get_trades: GetTrades[Trade],
    start_ms: int,
    end_ms: int,
    now_ms: int,
) -> np.ndarray:
    """
    Bars of 1 s, built from the latest trades in [`start_ms`, `end_ms`). Where there was
    no trade for a while, they are of the last price.
    """
    start_ms = max(start_ms, now_ms - _seconds_ms)
    if end_ms <= start_ms:
        raise DataUnavailable(
            f'{NAME} has no bars of 1 s; they are built from trades, for the last '
            f'{_seconds_ms // 3_600_000} h'
        )

    return await build_bars(get_trades, 1, start_ms, end_ms)


async def build_bars(
    get_trades: GetTrades[Trade],
    seconds: int,
    start_ms: int,
    end_ms: int,
) -> np.ndarray:
    """
    Bars of so many `seconds`, built from the latest trades in [`start_ms`, `end_ms`).
    """
    length = 1000 * seconds
    end_ms = end_ms // length * length
    start_ms = max(start_ms, end_ms - _frame * length)

    async def get_page(end: int) -> tuple[list[Trade], int | None]:
        page, has_more = await get_trades(
            start_ms=start_ms, end_ms=end - 1, newest_first=True
        )
        if not page or not has_more:
            return page, None
        # of its oldest bar a page may lack some, but for one that is full of it
        first = page[-1].timestamp // length * length + length
        if first >= end:
            return page, end - length
        return [it for it in page if it.timestamp >= first], first

    trades: list[Trade] = []
    pages = 0
    async for page in page_through(get_page, end_ms):
        trades += page
        pages += 1
        if pages == _pages:
            break
    return mk_trade_bars(trades, end_ms // 1000, seconds)


def mk_trade_bars(
    trades: Sequence[PublicTrade],
    end: int,
    seconds: int = 1,
) -> np.ndarray:
    """
    Bars of so many `seconds` from the first of the trades, which may be in any order,
    up to the last one before the epoch second `end`, at which one begins.
    """
    if not trades:
        return mk_bars(0)
    trades = sorted(trades, key=lambda it: (it.timestamp, it.number or 0))
    numbers = np.array([it.timestamp // (1000 * seconds) for it in trades])
    prices = np.array([it.price for it in trades])
    amounts = np.array([it.amount for it in trades])

    bars = mk_bars(end // seconds - int(numbers[0]))
    bars['time'] = seconds * np.arange(numbers[0], end // seconds)
    # where the trades of another bar begin, and which one that is
    (starts,) = np.nonzero(np.diff(numbers, prepend=-1))
    at = numbers[starts] - numbers[0]
    closes = prices[np.append(starts[1:], prices.size) - 1]
    until_next = np.diff(np.append(at, bars.size))
    for column in ('open', 'high', 'low', 'close'):
        bars[column] = np.repeat(closes, until_next)
    bars['open'][at] = prices[starts]
    bars['high'][at] = np.maximum.reduceat(prices, starts)
    bars['low'][at] = np.minimum.reduceat(prices, starts)
    bars['volume'][at] = np.add.reduceat(amounts, starts)
    return bars
