"""
Market data: live quotes and history.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pendulum
import trio

from ._config import NAME
from ._piker import (
    DataUnavailable,
    FeedInit,
    MktPair,
    def_iohlcv_fields,
    open_cached_client,
)
from ._session import Reconnected
from ._trades import Run, Tape, page_through
from .api import Bars, Client, Message, Quote, Ticker, Trade
from .symbols import get_mkt_info

if TYPE_CHECKING:
    from trio_typing import TaskStatus

_seconds_ms: int = 6 * 60 * 60 * 1000
"""How far back bars of 1 s go, which are built from trades."""
_seconds_pages: int = 5
"""The requests for trades that one frame of such bars may take."""

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
    async with send_chan, open_cached_client(NAME) as client:
        mkt, pair = await get_mkt_info(symbol)
        instrument = pair.instrument_name
        channels = f'trades.{instrument}.100ms', f'quote.{instrument}'
        async with client.open_channel(*channels) as msgs:
            ticker = await client.get_ticker(instrument)
            tape = mk_tape(client, instrument)
            # what comes after the newest is streamed, or else fetched
            await tape.begin()
            first_quote = mk_first_quote(mkt, ticker, tape.last_number)
            task_status.started(([FeedInit(mkt_info=mkt)], first_quote))
            feed_is_live.set()
            async for ticks in stream_ticks(tape, msgs):
                await send_chan.send({mkt.bs_fqme: mk_quote(mkt, ticks)})


async def replay_trades(
    symbol: str,
    last_id: int,
    until_id: int,
) -> AsyncIterator[dict[str, Any]]:
    """
    The quotes, by bs_fqme, of the trades after `last_id` up to `until_id`, as far as
    the venue has them: for a host that lost its stream of them for a while.
    """
    client: Client
    async with open_cached_client(NAME) as client:
        mkt, pair = await get_mkt_info(symbol)
        tape = mk_tape(client, pair.instrument_name, last_id)
        async for run in tape.catch_up(until_id):
            yield {mkt.bs_fqme: mk_quote(mkt, mk_trade_ticks(run))}


def mk_tape(
    client: Client,
    instrument: str,
    last_number: int | None = None,
) -> Tape[Trade]:
    return Tape(
        instrument,
        partial(client.get_trades, instrument),
        numbered=client.traits.trade_numbers == 'contiguous',
        last_number=last_number,
    )


async def stream_ticks(
    tape: Tape[Trade],
    msgs: AsyncIterable[Message | Reconnected],
) -> AsyncIterator[list[dict[str, Any]]]:
    """
    The ticks of each message of a market's channels. Trades that the stream left out,
    whatever happened to the connection, are fetched.
    """
    async for msg in msgs:
        match msg:
            case Quote():
                if ticks := mk_l1_ticks(msg):
                    yield ticks
            case list():
                async for run in tape.take(msg):
                    yield mk_trade_ticks(run)
            case Reconnected():
                async for run in tape.resume():
                    yield mk_trade_ticks(run)


def mk_trade_ticks(run: Run[Trade]) -> list[dict[str, Any]]:
    """
    The trades' ticks. The first one says how many before it could not be had.
    """
    missed, trades = run
    ticks: list[dict[str, Any]] = [
        {
            'type': 'trade',
            'price': trade.price,
            'size': trade.amount,
            'time': trade.timestamp / 1000,
            # no null: not every host takes one
            **({} if trade.number is None else {'trade_id': trade.number}),
        }
        for trade in trades
    ]
    if missed:
        ticks[0]['missed'] = missed
    return ticks


def mk_l1_ticks(quote: Quote | Ticker) -> list[dict[str, Any]]:
    """
    The best bid and ask, each with the size on offer there; an empty side has none.
    """
    sides = {
        'bid': (quote.best_bid_price, quote.best_bid_amount),
        'ask': (quote.best_ask_price, quote.best_ask_amount),
    }
    return [
        {
            'type': side,
            'price': price,
            'size': size or 0.0,
            'time': quote.timestamp / 1000,
        }
        for side, (price, size) in sides.items()
        if price
    ]


def mk_quote(mkt: MktPair, ticks: list[dict[str, Any]]) -> dict[str, Any]:
    """
    A quote in the host's form. Prices and sizes are plain floats: others do not
    survive the way to another actor. One of trades has the `trade_id` of the last.
    """
    last = ticks[-1]
    quote = {
        'symbol': mkt.bs_fqme,
        'ticks': ticks,
        'broker_ts': last['time'],
        'brokerd_ts': time.time(),
    }
    if last['type'] == 'trade':
        quote['last'] = last['price']
        if 'trade_id' in last:
            quote['trade_id'] = last['trade_id']
    return quote


def mk_first_quote(
    mkt: MktPair,
    ticker: Ticker,
    last_number: int | None,
) -> dict[str, Any]:
    # a market that nobody has traded in has a price all the same
    last = ticker.last_price or ticker.mark_price or 0.0
    quote = {
        'symbol': mkt.bs_fqme,
        'ticks': mk_l1_ticks(ticker),
        'broker_ts': ticker.timestamp / 1000,
        'brokerd_ts': time.time(),
        'last': last,
    }
    # no null: not every host takes one
    return quote if last_number is None else {**quote, 'trade_id': last_number}


@acm
async def open_history_client(
    mkt: MktPair,
) -> AsyncIterator[tuple[GetHist, dict[str, Any]]]:
    """
    A function that loads one frame of history, and how the host may call it.
    """
    client: Client
    async with open_cached_client(NAME) as client:

        async def get_hist(
            timeframe: float,
            end_dt: datetime | None = None,
            start_dt: datetime | None = None,
        ) -> Frame:
            """
            The bars of `timeframe` seconds that open from `start_dt` on and before
            `end_dt`, the latest ones where there are more than fit in one frame.

            Raises `DataUnavailable` where there are none.
            """
            end_ms = client.now_ms() if end_dt is None else mk_ms(end_dt)
            start_ms = 0 if start_dt is None else mk_ms(start_dt)
            if timeframe in client.traits.bar_seconds:
                frame = await get_bars(client, mkt, int(timeframe), start_ms, end_ms)
            elif timeframe == 1:
                frame = await build_seconds(client, mkt, start_ms, end_ms)
            else:
                raise DataUnavailable(
                    f'{NAME} has no bars of {timeframe:g} s, only of 1, '
                    f'{", ".join(map(str, client.traits.bar_seconds))} s'
                )
            if not frame.size:
                raise DataUnavailable(f'{mkt.fqme}: no bars before {end_dt or "now"}')
            return (
                frame,
                pendulum.from_timestamp(frame['time'][0]),
                pendulum.from_timestamp(frame['time'][-1]),
            )

        yield get_hist, {'erlangs': 3, 'rate': 3}


def mk_ms(dt: datetime) -> int:
    return int(dt.timestamp() * 1000)


async def get_bars(
    client: Client,
    mkt: MktPair,
    seconds: int,
    start_ms: int,
    end_ms: int,
) -> np.ndarray:
    """
    The venue's own bars that open in [`start_ms`, `end_ms`), the latest ones.
    """
    full_ms = 1000 * seconds * client.traits.bars_per_call
    bars: Bars = await client.get_bars(
        mkt.bs_mktid, seconds, max(start_ms, end_ms - full_ms), end_ms - 1
    )
    frame = mk_frame(len(bars.ticks))
    frame['time'] = np.array(bars.ticks) / 1000
    for column in ('open', 'high', 'low', 'close', 'volume'):
        frame[column] = getattr(bars, column)
    return frame


async def build_seconds(
    client: Client,
    mkt: MktPair,
    start_ms: int,
    end_ms: int,
) -> np.ndarray:
    """
    Bars of 1 s, built from the latest trades in [`start_ms`, `end_ms`). Without a trade
    for a while there are bars of the last price.
    """
    oldest_ms = client.now_ms() - _seconds_ms
    if end_ms <= oldest_ms:
        raise DataUnavailable(
            f'{mkt.fqme}: {NAME} has no bars of 1 s; of the last '
            f'{_seconds_ms // 3_600_000} h they are built from trades'
        )

    async def get_page(end: int) -> tuple[list[Trade], int | None]:
        page, has_more = await client.get_trades(
            mkt.bs_mktid,
            start_ms=max(start_ms, oldest_ms),
            end_ms=end - 1,
            newest_first=True,
        )
        if not has_more or not page:
            return page, None
        # of its oldest second a page may lack some
        first = page[-1].timestamp // 1000 * 1000 + 1000
        if first >= end:
            return page, None
        return [it for it in page if it.timestamp >= first], first

    trades: list[Trade] = []
    pages = 0
    async for page in page_through(get_page, end_ms // 1000 * 1000):
        trades += page
        pages += 1
        if pages == _seconds_pages:
            break
    return mk_seconds(trades, end_ms // 1000)


def mk_seconds(trades: list[Trade], end: int) -> np.ndarray:
    """
    Bars of 1 s from the first of the trades, which may be in any order, up to the
    second before `end`.
    """
    if not trades:
        return mk_frame(0)
    trades = sorted(trades, key=lambda it: (it.timestamp, it.number or 0))
    seconds = np.array([it.timestamp // 1000 for it in trades])
    prices = np.array([it.price for it in trades])
    # where the trades of another second begin
    (starts,) = np.nonzero(np.diff(seconds, prepend=-1))
    frame = mk_frame(end - int(seconds[0]))
    frame['time'] = np.arange(seconds[0], end)
    at = seconds[starts] - seconds[0]
    closes = prices[np.append(starts[1:], prices.size) - 1]
    last = np.repeat(closes, np.diff(np.append(at, frame.size)))
    for column in ('open', 'high', 'low', 'close'):
        frame[column] = last
    frame['open'][at] = prices[starts]
    frame['high'][at] = np.maximum.reduceat(prices, starts)
    frame['low'][at] = np.minimum.reduceat(prices, starts)
    frame['volume'][at] = np.add.reduceat([it.amount for it in trades], starts)
    return frame


def mk_frame(size: int) -> np.ndarray:
    """
    The host's structured array, of that many bars.
    """
    frame = np.zeros(size, dtype=def_iohlcv_fields)
    frame['index'] = np.arange(size)
    return frame
