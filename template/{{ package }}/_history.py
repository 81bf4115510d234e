"""
History, a frame at a time: the venue's own bars or, where it has none, bars that are
built from its trades.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from ._bars import Frame, build_bars, build_seconds, mk_bars, mk_frame, mk_ms
from ._config import NAME, wants_deep_history
from ._piker import DataUnavailable, MktPair
from ._trades import GetTrades
from ._venue import MarketApi

__all__ = ['Frame', 'get_hist']


async def get_hist(
    client: MarketApi,
    mkt: MktPair,
    timeframe: float,
    end_dt: datetime | None = None,
    start_dt: datetime | None = None,
) -> Frame:
    """
    The bars of `timeframe` seconds that open from `start_dt` on and before `end_dt`,
    the latest ones where there are more than fit in one frame.

    Raises `DataUnavailable` where there are none.
    """
    now_ms = client.clock.now_ms()
    end_ms = now_ms if end_dt is None else mk_ms(end_dt)
    start_ms = 0 if start_dt is None else mk_ms(start_dt)
    if timeframe in client.traits.bar_seconds:
        bars = await _get_bars(client, mkt, int(timeframe), start_ms, end_ms)
    elif timeframe == 1:
        get_trades: GetTrades[Any] = partial(client.get_trades, mkt.bs_mktid)
        bars = await build_seconds(get_trades, start_ms, end_ms, now_ms)
    else:
        lengths = ', '.join(map(str, client.traits.bar_seconds))
        raise DataUnavailable(
            f'{NAME} has no bars of {timeframe:g} s, only of 1, {lengths} s'
        )
    return mk_frame(bars, mkt.fqme)


async def _get_bars(
    client: MarketApi,
    mkt: MktPair,
    seconds: int,
    start_ms: int,
    end_ms: int,
) -> np.ndarray:
    """
    The bars that open in [`start_ms`, `end_ms`), the latest ones: the venue's own or,
    where the user wants those that it does not have any more, of its trades.
    """
    full_ms = 1000 * seconds * client.traits.bars_per_call
    found = await client.get_bars(
        mkt.bs_mktid, seconds, max(start_ms, end_ms - full_ms), end_ms - 1
    )
    if not found.ticks and client.traits.bars_back:
        if not wants_deep_history():
            raise DataUnavailable(
                f'{NAME} has no more than the newest {client.traits.bars_back} bars; '
                'with `deep_history = true` in brokers.toml, older ones are built '
                'from trades, which takes its time'
            )
        get_trades: GetTrades[Any] = partial(client.get_trades, mkt.bs_mktid)
        return await build_bars(get_trades, seconds, start_ms, end_ms)
    bars = mk_bars(len(found.ticks))
    bars['time'] = [ms / 1000 for ms in found.ticks]
    for column in ('open', 'high', 'low', 'close', 'volume'):
        bars[column] = getattr(found, column)
    return bars
