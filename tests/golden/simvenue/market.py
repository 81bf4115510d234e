"""
One market: its trades as they happen, its quote, its candles.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np
from msgspec import Struct

from .clock import Clock
from .instruments import LISTED, Instrument, Units
from .journal import Journal
from .source import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    VOLUME,
    Bars,
    Direction,
    Noise,
    Print,
    Source,
    Tape,
    join,
)

_DAY = 86_400


class Trade(Struct, frozen=True):
    trade_id: int
    timestamp: int
    price: float
    amount: float
    direction: Direction


class Quote(Struct, frozen=True):
    """
    The best bid and offer, prices in ticks and amounts in steps.
    """

    bid: int
    bid_amount: int
    ask: int
    ask_amount: int


class Quoter(Protocol):
    """
    Whoever quotes in a market.
    """

    def quote(self) -> Quote: ...


class MarketMaker:
    """
    Quotes anew after every trade: a spread of one to three ticks, with the trade's
    price at the end where it was.
    """

    def __init__(self, market: Market, seed: int) -> None:
        self._market = market
        self._noise = Noise(seed, f'{market.name} quotes')
        self._thrown: dict[int, int] = {}
        self._thrown_at = 0

    def quote(self) -> Quote:
        last = self._market.last
        spread = 1 + self.dice(3, 0)
        if last.direction == 'buy':
            ask = max(2, last.price)
            bid = max(1, ask - spread)
        else:
            bid = last.price
            ask = bid + spread
        return Quote(bid, 1 + self.dice(2000, 1), ask, 1 + self.dice(2000, 2))

    def dice(self, sides: int, number: int) -> int:
        """
        What die `number` shows, from 0 on; all are thrown again after every trade.
        """
        if self._thrown_at != self._market.next_id:
            self._thrown_at = self._market.next_id
            self._thrown.clear()
        if number not in self._thrown:
            pips = self._noise.below(sides, number, np.array([self._thrown_at]))
            self._thrown[number] = int(pips[0])
        return self._thrown[number]


class Market:
    """
    Follows a source through time, and takes trades from elsewhere in between.

    Trade ids number the source's trades since its beginning and the `extra` ones
    together, so that a venue which restarts goes on counting where it would have been.
    """

    _KEPT = 10_000
    """Trades that are remembered; older ones are computed anew."""
    _KEPT_SECONDS = 3600
    """Likewise for candles."""

    def __init__(
        self,
        instrument: Instrument,
        source: Source,
        clock: Clock,
        *,
        seed: int = 0,
        journal: Journal,
    ) -> None:
        self.instrument = instrument
        self.name = instrument.instrument_name
        self.prices = Units(instrument.tick_size)
        self.amounts = Units(instrument.amount_step)
        self.on_trades: list[Callable[[Market, list[Trade]], None]] = []
        """Told of all trades."""
        self.on_quote: list[Callable[[Market], None]] = []
        """Told of a new quote."""
        self.maker = MarketMaker(self, seed)
        self.quoter: Quoter = self.maker
        """Whose quote clients see."""
        self._source = source
        self._clock = clock
        self._journal = journal
        self._extra = journal.take(f'trade {self.name}', Trade)
        self._extra_ids = [trade.trade_id for trade in self._extra]
        self._recent: deque[Trade] = deque(maxlen=self._KEPT)
        self._unannounced: deque[list[Trade]] = deque()
        self._volume_24h = (0, 0.0)

        now = clock.now()
        self._second = now // 1000
        self._now = now
        self._due = deque(source.trades(self._second))
        self.next_id = 1 + source.count(self._second) + len(self._extra)
        self.last = self._latest(clock.epoch // 1000)
        self._tape = Tape(self._second, self.last.price)
        self.advance()

    def _latest(self, start: int) -> Print:
        """
        Stands for the trade before now; without any since `start`, prices stand still.
        """
        idle = self._source.count(start) == self._source.count(self._second)
        second = start if idle else self._second
        price = int(self._source.bars(second, second + 1)[0, OPEN])
        if self._extra and self._extra[-1].timestamp >= second * 1000:
            price = self.prices.count(self._extra[-1].price)
        return Print(self._now, price, 1, 'buy')

    def advance(self) -> None:
        """
        Let happen what was due by now.
        """
        self._now = self._clock.now()
        trades = [self._record(trade) for trade in self._until(self._now)]
        self._tape.forget(self._now // 1000 - self._KEPT_SECONDS)
        if trades:
            self._announce(trades)

    def _until(self, now: int) -> Iterator[Print]:
        while True:
            while self._due and self._due[0].time <= now:
                yield self._due.popleft()
            if self._due or self._second >= now // 1000:
                return
            self._second += 1
            self._due.extend(self._source.trades(self._second))

    def next_due(self) -> int:
        """
        When to `advance()` next, in ms.
        """
        return self._due[0].time if self._due else (self._second + 1) * 1000

    def print_extra(self, price: int, amount: int, direction: Direction) -> Trade:
        """
        A trade that is not in the source, at the time of the last `advance()`.
        """
        trade = self._record(Print(self._now, price, amount, direction))
        self._extra.append(trade)
        self._extra_ids.append(trade.trade_id)
        self._journal.append(f'trade {self.name}', trade)
        self._announce([trade])
        return trade

    def _record(self, trade: Print) -> Trade:
        time, price, amount, direction = self.last = trade
        self._tape.add(time // 1000, price, amount)
        record = Trade(
            self.next_id,
            time,
            self.prices.value(price),
            self.amounts.value(amount),
            direction,
        )
        self.next_id += 1
        self._recent.append(record)
        return record

    def _announce(self, trades: list[Trade]) -> None:
        self._unannounced.append(trades)
        # what is printed in answer to a trade has to wait until all have heard of it
        if len(self._unannounced) == 1:
            while self._unannounced:
                for callback in self.on_trades:
                    callback(self, self._unannounced[0])
                self._unannounced.popleft()
            self.requote()

    def requote(self) -> None:
        """
        Say that the quote may have changed.
        """
        for callback in self.on_quote:
            callback(self)

    def trades(self, start_id: int | None, limit: int) -> list[Trade]:
        """
        At most `limit` trades from `start_id` on, or else the newest.
        """
        self.advance()
        start = max(1, self.next_id - limit if start_id is None else start_id)
        stop = min(start + limit, self.next_id)
        kept = self.next_id - len(self._recent)
        recent = islice(self._recent, max(0, start - kept), max(0, stop - kept))
        return [*self._recompute(start, min(stop, kept)), *recent]

    def _recompute(self, start: int, stop: int) -> Iterator[Trade]:
        trades: list[Print] = []
        first = 0
        for trade_id in range(start, stop):
            earlier = bisect_left(self._extra_ids, trade_id)
            if self._extra_ids[earlier : earlier + 1] == [trade_id]:
                yield self._extra[earlier]
                continue
            number = trade_id - 1 - earlier
            if not first <= number < first + len(trades):
                seconds = range(LISTED // 1000, self._second + 1)
                at = bisect_right(seconds, number, key=self._source.count) - 1
                trades = self._source.trades(seconds[at])
                first = self._source.count(seconds[at])
            time, price, amount, direction = trades[number - first]
            yield Trade(
                trade_id,
                time,
                self.prices.value(price),
                self.amounts.value(amount),
                direction,
            )

    def quote_fields(self) -> dict[str, Any]:
        """
        The quote as it is shown to clients.
        """
        quote = self.quoter.quote()
        return {
            'instrument_name': self.name,
            'timestamp': self._clock.now(),
            'best_bid_price': self.prices.value(quote.bid),
            'best_bid_amount': self.amounts.value(quote.bid_amount),
            'best_ask_price': self.prices.value(quote.ask),
            'best_ask_amount': self.amounts.value(quote.ask_amount),
        }

    def ticker(self) -> dict[str, Any]:
        self.advance()
        minute = self._clock.now() // 60_000
        if self._volume_24h[0] != minute:
            stop = minute * 60
            volume = int(self._bars(stop - _DAY, stop)[:, VOLUME].sum())
            self._volume_24h = minute, self.amounts.value(volume)
        return self.quote_fields() | {
            'last_price': self.prices.value(self.last.price),
            'volume_24h': self._volume_24h[1],
        }

    def candles(
        self,
        seconds: int,
        start: int | None,
        end: int | None,
        limit: int,
    ) -> dict[str, list[Any]]:
        """
        The candles of `seconds` each that open in [start, end] (ms), the newest
        `limit` of them; the last one may still be growing.
        """
        self.advance()
        now = self._clock.now() // 1000
        end = now if end is None else end // 1000
        stop = min(now, (end // seconds + 1) * seconds)
        first = max(LISTED, start or 0)
        first = max(-(-first // 1000 // seconds), -(-stop // seconds) - limit) * seconds
        opens = np.arange(first, stop, seconds)
        if not len(opens):
            return {k: [] for k in ('time', 'open', 'high', 'low', 'close', 'volume')}
        bars = self._bars(first, stop)
        at = np.arange(0, len(bars), seconds)
        closes = np.append(at[1:], len(bars)) - 1
        return {
            'time': (opens * 1000).tolist(),
            'open': self.prices.values(bars[at, OPEN]),
            'high': self.prices.values(np.maximum.reduceat(bars[:, HIGH], at)),
            'low': self.prices.values(np.minimum.reduceat(bars[:, LOW], at)),
            'close': self.prices.values(bars[closes, CLOSE]),
            'volume': self.amounts.values(np.add.reduceat(bars[:, VOLUME], at)),
        }

    def _bars(self, start: int, stop: int) -> Bars:
        return join(self._source.bars, self._tape.bars, self._tape.start, start, stop)
