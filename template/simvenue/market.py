"""
One market: its trades as they happen, its quote, its candles.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

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
        self.on_flow: list[Callable[[Market, Print], None]] = []
        """Told of the trades of others, in which resting orders may take part."""
        self.shown_quote: Callable[[], Quote] = self.quote
        """The quote for clients, where it is not the market maker's alone."""
        self._source = source
        self._clock = clock
        self._noise = Noise(seed, f'{self.name} quotes')
        self._journal = journal
        self._extra = journal.take(f'trade {self.name}', Trade)
        self._extra_ids = [trade.trade_id for trade in self._extra]
        self._recent: deque[Trade] = deque(maxlen=self._KEPT)
        self._volume_24h = (0, 0.0)
        self._thrown: dict[tuple[int, int], int] = {}

        now = clock.now()
        self._second = now // 1000
        self._now = now
        self._due = deque(source.trades(self._second))
        self._next_id = 1 + source.count(self._second) + len(self._extra)
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
        flow = list(self._until(self._now))
        self._tape.forget(self._now // 1000 - self._KEPT_SECONDS)
        if flow:
            self._announce([self._record(trade) for trade in flow])
            self._flow(*flow)

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

    def trade(self, price: int, amount: int, direction: Direction) -> Trade:
        """
        A trade of others that is not in the source.
        """
        self.advance()
        trade = self.print_extra(price, amount, direction)
        self._flow(self.last)
        return trade

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
            self._next_id,
            time,
            self.prices.value(price),
            self.amounts.value(amount),
            direction,
        )
        self._next_id += 1
        self._thrown.clear()
        self._recent.append(record)
        return record

    def _announce(self, trades: list[Trade]) -> None:
        for callback in self.on_trades:
            callback(self, trades)
        self.requote()

    def requote(self) -> None:
        """
        Say that the quote may have changed.
        """
        for callback in self.on_quote:
            callback(self)

    def _flow(self, *trades: Print) -> None:
        for trade in trades:
            for callback in self.on_flow:
                callback(self, trade)

    def trades(self, start_id: int | None, limit: int) -> list[Trade]:
        """
        At most `limit` trades from `start_id` on, or else the newest.
        """
        self.advance()
        start = max(1, self._next_id - limit if start_id is None else start_id)
        stop = min(start + limit, self._next_id)
        kept = self._next_id - len(self._recent)
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

    def quote(self) -> Quote:
        """
        The market maker's: a spread of one to three ticks, on one side of which the
        last trade was.
        """
        spread = 1 + self._dice(3, 0)
        if self.last.direction == 'buy':
            ask = max(2, self.last.price)
            bid = max(1, ask - spread)
        else:
            bid = self.last.price
            ask = bid + spread
        return Quote(bid, self.depth('buy', 0), ask, self.depth('sell', 0))

    def depth(self, side: Direction, level: int) -> int:
        """
        What the market maker bids or offers, so many ticks from the best price.
        """
        return 1 + self._dice(2000, 1 + 2 * level + (side == 'sell'))

    def _dice(self, sides: int, stream: int) -> int:
        """
        Thrown once for every trade.
        """
        if (sides, stream) not in self._thrown:
            numbers = self._noise.below(sides, stream, np.array([self._next_id]))
            self._thrown[sides, stream] = int(numbers[0])
        return self._thrown[sides, stream]

    def quote_fields(self) -> dict[str, Any]:
        """
        The quote as it is shown to clients.
        """
        quote = self.shown_quote()
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
