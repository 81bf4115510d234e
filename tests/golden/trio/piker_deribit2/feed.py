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

from ._config import NAME
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

log = get_logger(f'{NAME}.feed')

_timeframes: tuple[int, ...] = (1, 60)
"""The bar lengths that the venue serves, in s."""

_page: int = 1000
"""Trades to fetch with one request."""
_max_missed: int = 1_000_000
"""Trades to fetch where some were missed; of more, the latest."""

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
        channels = f'trades.{instrument}', f'quote.{instrument}'
        async with client.open_channel(*channels) as msgs:
            ticker = await client.get_ticker(instrument)
            tape = Tape(client, instrument)
            for trade in await tape.get_newest():
                tape.last_id = trade.trade_id  # what comes after it is streamed
            first_quote = mk_first_quote(mkt, ticker, tape.last_id)
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
        tape = Tape(client, pair.instrument_name, last_id)
        async for ticks in tape.catch_up(until_id):
            yield {mkt.bs_fqme: mk_quote(mkt, ticks)}


class Tape:
    """
    The trades of a market: complete and in order, or it is said how many are missing.
    The venue numbers them, from 1 on.
    """

    def __init__(
        self,
        client: Client,
        instrument: str,
        last_id: int = 0,
    ) -> None:
        self._client = client
        self._instrument = instrument
        self.last_id = last_id

    async def get_newest(self) -> list[Trade]:
        """
        The newest trade, or none where there never was one.
        """
        return await self._client.get_trades(self._instrument, limit=1)

    def misses(self, trades: list[Trade]) -> bool:
        """
        Whether there are others between the last one and these.
        """
        new = {trade.trade_id for trade in trades if trade.trade_id > self.last_id}
        return bool(new) and max(new) - self.last_id > len(new)

    def take(self, trades: list[Trade]) -> list[dict[str, Any]]:
        """
        The ticks of those trades that are new. One before which some are missing, for
        good, has their number as `missed`.
        """
        ticks: list[dict[str, Any]] = []
        for trade in sorted(trades, key=lambda trade: trade.trade_id):
            if trade.trade_id <= self.last_id:
                continue
            tick = mk_trade_tick(trade)
            if trade.trade_id > self.last_id + 1:
                tick['missed'] = trade.trade_id - self.last_id - 1
                log.warning(
                    '%s: the trades %d to %d are missing',
                    self._instrument,
                    self.last_id + 1,
                    trade.trade_id - 1,
                )
            ticks.append(tick)
            self.last_id = trade.trade_id
        return ticks

    async def catch_up(self, until_id: int) -> AsyncIterator[list[dict[str, Any]]]:
        """
        Fetch the trades up to `until_id`, or the last `_max_missed` of them: the ticks
        of a page at a time.
        """
        start_id = max(self.last_id + 1, until_id - _max_missed + 1)
        while start_id <= until_id:
            limit = min(_page, until_id - start_id + 1)
            page = await self._client.get_trades(self._instrument, start_id, limit)
            # where a part is missing, a page goes further than asked for
            ticks = self.take([it for it in page if it.trade_id <= until_id])
            if not ticks:
                return
            yield ticks
            start_id = ticks[-1]['trade_id'] + 1


async def stream_ticks(
    tape: Tape,
    msgs: AsyncIterable[ChannelMsg],
) -> AsyncIterator[list[dict[str, Any]]]:
    """
    The ticks of each message of a market's channels. Trades that the stream left out,
    whatever happened to the connection, are fetched.
    """
    async for msg in msgs:
        trades: list[Trade] = []
        match msg:
            case QuoteMsg():
                yield mk_l1_ticks(msg)
            case TradesMsg(trades=trades):
                pass
            case Reconnected():
                trades = await tape.get_newest()
        if tape.misses(trades):
            async for ticks in tape.catch_up(max(it.trade_id for it in trades)):
                yield ticks
        if ticks := tape.take(trades):
            yield ticks


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
    when = quote.timestamp / 1000
    return [
        {
            'type': 'bid',
            'price': quote.best_bid_price,
            'size': quote.best_bid_amount,
            'time': when,
        },
        {
            'type': 'ask',
            'price': quote.best_ask_price,
            'size': quote.best_ask_amount,
            'time': when,
        },
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
        quote |= {'last': last['price'], 'trade_id': last['trade_id']}
    return quote


def mk_first_quote(mkt: MktPair, ticker: Ticker, last_id: int) -> dict[str, Any]:
    quote = mk_quote(mkt, mk_l1_ticks(ticker))
    return {**quote, 'last': ticker.last_price, 'trade_id': last_id}


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
            `end_dt`, the latest ones where there are more than fit in one reply.

            Raises `DataUnavailable` where there are none.
            """
            if timeframe not in _timeframes:
                raise DataUnavailable(
                    f'{NAME} has no bars of {timeframe:g} s, only of '
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
