"""
Market data: live quotes and history.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pendulum
import trio

from ._piker import (
    DataUnavailable,
    FeedInit,
    MktPair,
    def_iohlcv_fields,
    get_logger,
    open_cached_client,
)
from .api import (
    Candles,
    ChannelMsg,
    Client,
    QuoteMsg,
    Reconnected,
    Ticker,
    Trade,
    TradesMsg,
)
from .symbols import get_mkt_info

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = get_logger('deribit2.feed')

_timeframes: tuple[int, ...] = (1, 60)
"""The bar lengths that the venue serves, in s."""

_page: int = 1000
"""Trades to fetch with one request."""

Frame = tuple[np.ndarray, pendulum.DateTime, pendulum.DateTime]
GetHist = Callable[..., Awaitable[Frame]]


async def stream_quotes(
    send_chan: trio.MemorySendChannel[dict[str, Any]],
    symbols: list[str],
    feed_is_live: trio.Event,
    loglevel: str | None = None,
    task_status: TaskStatus[
        tuple[list[FeedInit], dict[str, Any]]
    ] = trio.TASK_STATUS_IGNORED,
) -> None:
    """
    Send the live quotes of the one market in `symbols`, as `{bs_fqme: quote}`, until
    cancelled.
    """
    (symbol,) = symbols
    client: Client
    async with send_chan, open_cached_client('deribit2') as client:
        mkt, pair = await get_mkt_info(symbol)
        instrument = pair.instrument_name
        channels = f'trades.{instrument}', f'quote.{instrument}'
        async with client.open_channel(*channels) as msgs:
            ticker = await client.get_ticker(instrument)
            task_status.started(([FeedInit(mkt_info=mkt)], mk_first_quote(mkt, ticker)))
            feed_is_live.set()
            async for ticks in stream_ticks(client, instrument, msgs):
                await send_chan.send({mkt.bs_fqme: mk_quote(mkt, ticks)})


async def stream_ticks(
    client: Client,
    instrument: str,
    msgs: AsyncIterable[ChannelMsg],
) -> AsyncIterator[list[dict[str, Any]]]:
    """
    The ticks of each message of a market's channels: its trades complete and in
    order, whatever happens to the connection. The venue numbers them, and those that
    the stream left out are fetched.
    """
    last_id: int | None = None
    async for msg in msgs:
        trades: list[Trade] = []
        match msg:
            case QuoteMsg():
                yield mk_l1_ticks(msg)
            case TradesMsg():
                trades = sorted(msg.trades, key=lambda trade: trade.trade_id)
                if last_id is not None:
                    trades = [trade for trade in trades if trade.trade_id > last_id]
                    if trades and trades[-1].trade_id - last_id > len(trades):
                        trades = await fetch_trades(client, instrument, last_id + 1)
            case Reconnected() if last_id is not None:
                trades = await fetch_trades(client, instrument, last_id + 1)
        if trades:
            last_id = trades[-1].trade_id
            yield [mk_trade_tick(trade) for trade in trades]


async def fetch_trades(client: Client, instrument: str, start_id: int) -> list[Trade]:
    """
    All trades of a market from `start_id` on, ascending.
    """
    trades: list[Trade] = []
    while page := await client.get_trades(instrument, start_id=start_id, limit=_page):
        if page[0].trade_id > start_id:
            log.warning(
                '%s: the venue no longer has the trades %d to %d',
                instrument,
                start_id,
                page[0].trade_id - 1,
            )
        trades += page
        start_id = page[-1].trade_id + 1
        if len(page) < _page:
            break
    return trades


def mk_trade_tick(trade: Trade) -> dict[str, Any]:
    return {
        'type': 'trade',
        'price': trade.price,
        'size': trade.amount,
        'time': trade.timestamp / 1000,
        'trade_id': trade.trade_id,
    }


def mk_l1_ticks(quote: QuoteMsg | Ticker) -> list[dict[str, Any]]:
    """
    The best bid and ask, each with the size on offer there.
    """
    return [
        {
            'type': 'bid',
            'price': quote.best_bid_price,
            'size': quote.best_bid_amount,
        },
        {
            'type': 'ask',
            'price': quote.best_ask_price,
            'size': quote.best_ask_amount,
        },
    ]


def mk_quote(mkt: MktPair, ticks: list[dict[str, Any]]) -> dict[str, Any]:
    """
    A quote in the host's form. Prices and sizes are plain floats: others do not
    survive the way to another actor.
    """
    now = time.time()
    quote = {
        'symbol': mkt.bs_fqme,
        'ticks': ticks,
        'broker_ts': ticks[-1].get('time', now),
        'brokerd_ts': now,
    }
    if ticks[-1]['type'] == 'trade':
        quote['last'] = ticks[-1]['price']
    return quote


def mk_first_quote(mkt: MktPair, ticker: Ticker) -> dict[str, Any]:
    return {**mk_quote(mkt, mk_l1_ticks(ticker)), 'last': ticker.last_price}


@acm
async def open_history_client(
    mkt: MktPair,
) -> AsyncIterator[tuple[GetHist, dict[str, Any]]]:
    """
    A function that loads one frame of history, and how the host may call it.
    """
    client: Client
    async with open_cached_client('deribit2') as client:

        async def get_hist(
            timeframe: float,
            end_dt: datetime | None = None,
            start_dt: datetime | None = None,
        ) -> Frame:
            """
            The bars of `timeframe` seconds that open from `start_dt` on and before
            `end_dt`, the latest ones where there are more than fit in one reply.

            Raises `DataUnavailable` where there are none.
            """
            if timeframe not in _timeframes:
                raise DataUnavailable(
                    f'deribit2 has no bars of {timeframe:g} s, only of '
                    f'{" and ".join(map(str, _timeframes))} s'
                )
            candles = await client.get_candles(
                mkt.bs_mktid,
                int(timeframe),
                start_ms=None if start_dt is None else mk_ms(start_dt),
                end_ms=None if end_dt is None else mk_ms(end_dt) - 1,
            )
            if not candles.time:
                raise DataUnavailable(f'{mkt.fqme}: no bars before {end_dt}')
            frame = mk_frame(candles)
            return (
                frame,
                pendulum.from_timestamp(frame['time'][0]),
                pendulum.from_timestamp(frame['time'][-1]),
            )

        # TODO: `erlangs` is how many frames the host may request at a time, `rate`
        # how many a second. What does the venue allow?
        yield get_hist, {'erlangs': 3, 'rate': 3}


def mk_ms(dt: datetime) -> int:
    return int(dt.timestamp() * 1000)


def mk_frame(candles: Candles) -> np.ndarray:
    """
    Candles as the host's structured array; times in epoch s.
    """
    frame = np.zeros(len(candles.time), dtype=def_iohlcv_fields)
    frame['index'] = np.arange(frame.size)
    frame['time'] = np.array(candles.time) / 1000
    for column in ('open', 'high', 'low', 'close', 'volume'):
        frame[column] = getattr(candles, column)
    return frame
