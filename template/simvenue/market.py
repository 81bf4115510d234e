"""
One market: its trades as they happen, its quote and book, its candles.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from zlib import crc32

import numpy as np
from msgspec import Struct

from .clock import Clock
from .instruments import Instrument, step_at
from .journal import Journal
from .matching import Book, Levels, MarketMaker, Quote
from .refusals import Reason, Refusal
from .reports import Direction
from .source import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    VOLUME,
    Bars,
    Print,
    Source,
    Tape,
    join,
    merge,
)

_DAY = 86_400


class Trade(Struct, frozen=True):
    """
    Prices in ticks, amounts in steps.
    """

    seq: int
    """Without gaps in its market."""
    id: int
    """Unique among the markets of one settlement currency, with gaps."""
    timestamp: int
    price: int
    amount: int
    direction: Direction


Range = tuple[int | None, int | None]
"""Both ends belong to it; `None`: it has no such end."""


def _time(trade: Trade) -> int:
    return trade.timestamp


class Candles(Struct, frozen=True):
    """
    Columns, ascending: when each opens (ms), prices in ticks, amounts in steps.
    """

    times: Bars
    bars: Bars


class Market:
    """
    Follows a source through time, and takes trades from elsewhere in between.

    Trades are numbered as those of the source since its beginning and the `extra` ones
    together, so that a venue which restarts goes on counting where it would have been.
    Nothing is computed as long as nobody asks.
    """

    _KEPT = 10_000
    """Trades that are remembered; older ones are computed anew."""
    _LEAP = 30
    """Seconds that it follows trade by trade; what is longer ago it leaps over."""
    _EXACT = 1_500_000
    """Seconds that are looked at one by one for candles."""

    def __init__(
        self,
        instrument: Instrument,
        source: Source,
        clock: Clock,
        *,
        seed: int = 0,
        journal: Journal,
        closed: int | None = None,
    ) -> None:
        self.closed = closed
        """When it was delisted (ms): nothing happens in it from then on."""
        self.instrument = instrument
        self.name = instrument.name
        self.prices = instrument.prices
        self.amounts = instrument.amounts
        self.on_trades: list[Callable[[Market, list[Trade]], None]] = []
        """Told of all trades."""
        self.on_quote: list[Callable[[Market], None]] = []
        """Told of a new quote."""
        self.maker = MarketMaker(instrument, seed)
        self.book = Book(instrument, self.maker)
        self.watched = 0
        """By how many it has to be kept up to date."""
        self._grid = instrument.grid
        self._source = source
        self._clock = clock
        self._journal = journal
        self._salt = crc32(self.name.encode()) & 0xFFFFF
        self._extra = journal.take(f'trade {self.name}', Trade)
        self._extra_seqs = [trade.seq for trade in self._extra]
        self._recent: deque[Trade] = deque(maxlen=self._KEPT)
        self._unannounced: deque[list[Trade]] = deque()
        self._index = 0, 0.0
        """The last second that it was asked for, and what it was."""
        self._indexes: dict[int, float] = {}
        self._stats: tuple[int, Bars] = (0, np.zeros(5, np.int64))
        self._now = self._time()
        self._start(self._now // 1000)
        self.advance()

    def _time(self) -> int:
        """
        Now; of what has come to its end, then.
        """
        return min(self._clock.now(), self._end - 1)

    @property
    def _end(self) -> int:
        return min(self.instrument.expiry or 2**62, self.closed or 2**62)

    def _start(self, second: int) -> None:
        """
        Be at the beginning of `second`, wherever it was before.
        """
        self._second = second
        self._due = deque(self._source.trades(second))
        self._recent.clear()
        self.next_seq = 1 + self._source.count(second) + len(self._extra)
        epoch = self._clock.epoch // 1000
        # where nothing happens prices stand still
        still = self._source.count(epoch) == self._source.count(second)
        start = min(epoch, second) if still else second
        price = int(self._source.bars(start, start + 1)[0, OPEN])
        self._tape = Tape(start, price)
        self.last = Print(self._now, price, 1, 'buy')
        for trade in self._extra:
            if trade.timestamp >= start * 1000:
                self._take(trade)
        self.maker.on_trade(self.last, self.next_seq)

    def advance(self) -> None:
        """
        Let happen what was due by now.
        """
        self._now = self._time()
        second = self._now // 1000
        if second - self._second > self._LEAP or second < self._second - 1:
            if self._source.count(second) == self._source.count(self._second):
                self._second = second
            else:
                self._start(second)
        trades = [self._record(trade) for trade in self._until(self._now)]
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
        due = self._due[0].time if self._due else (self._second + 1) * 1000
        return due if due < self._end else 2**62

    def index(self) -> float:
        """
        The price that it follows.
        """
        second = self._now // 1000
        if self._index[0] != second:
            self._index = second, self._source.index(second)
        return self._index[1]

    def index_at(self, second: int) -> float:
        """
        The same of that minute.
        """
        minute = second // 60
        if minute not in self._indexes:
            if len(self._indexes) > 100:
                self._indexes.clear()
            self._indexes[minute] = self._source.index(minute * 60)
        return self._indexes[minute]

    def round(self, price: float) -> int:
        """
        The nearest price that there is, in ticks.
        """
        ticks = max(1, round(price))
        step = step_at(self._grid, ticks)
        return max(step, ticks - ticks % step)

    @property
    def now(self) -> int:
        """
        When it was up to date, in ms.
        """
        return self._now

    def check_price(self, price: float) -> int:
        """
        In ticks. Raises `ValueError` where there is no such price.
        """
        ticks = self.prices.count(price)
        if ticks % (step := step_at(self._grid, ticks)):
            raise ValueError(f'{price} is not a multiple of {step * self.prices.step}')
        return ticks

    def check_order(self, amount: float, price: float | None) -> tuple[int, int | None]:
        """
        In steps and ticks. Raises `Refusal` for what there is not.
        """
        it = self.instrument
        reason: Reason = 'amount_step'
        try:
            steps = self.amounts.count(amount)
            reason = 'price_step'
            ticks = None if price is None else self.check_price(price)
        except ValueError as err:
            raise Refusal(reason, str(err)) from None
        if steps * it.amount_step < it.min_amount:
            raise Refusal('amount_too_low', f'the least amount is {it.min_amount}')
        cost = steps * it.amount_step * (ticks or self.last.price) * it.tick_size
        if cost < it.min_cost:
            raise Refusal('cost_too_low', f'the least cost is {it.min_cost}')
        return steps, ticks

    def print_extra(self, price: int, amount: int, direction: Direction) -> Trade:
        """
        A trade that is not in the source, at the time of the last `advance()`.
        """
        trade = self._record(Print(self._now, price, amount, direction))
        self._extra.append(trade)
        self._extra_seqs.append(trade.seq)
        self._journal.append(f'trade {self.name}', trade)
        self._announce([trade])
        return trade

    def _record(self, trade: Print) -> Trade:
        record = self._number(self.next_seq, trade)
        self.next_seq += 1
        self._recent.append(record)
        self._take(record)
        self.maker.on_trade(self.last, self.next_seq)
        return record

    def _take(self, trade: Trade) -> None:
        self.last = Print(trade.timestamp, trade.price, trade.amount, trade.direction)
        self._tape.add(trade.timestamp // 1000, trade.price, trade.amount)

    @property
    def next_id(self) -> int:
        return self.next_seq << 20 | self._salt

    def _number(self, seq: int, trade: Print) -> Trade:
        return Trade(seq, seq << 20 | self._salt, *trade)

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

    def quote(self) -> Quote:
        return self.book.quote()

    def depth(self, limit: int) -> tuple[Levels, Levels]:
        """
        The best so many bids and asks.
        """
        return self.book.levels('buy', limit), self.book.levels('sell', limit)

    def trades(self, start: int, stop: int) -> list[Trade]:
        """
        Those numbered from `start` to before `stop`.
        """
        self.advance()
        return [*self._iter_trades(start, stop)]

    def _iter_trades(self, start: int, stop: int) -> Iterator[Trade]:
        start, stop = max(1, start), min(stop, self.next_seq)
        kept = self.next_seq - len(self._recent)
        yield from self._recompute(start, min(stop, kept))
        yield from islice(self._recent, max(0, start - kept), max(0, stop - kept))

    def seq_at(self, time: int) -> int:
        """
        The number of the first trade at or after that time (ms).
        """
        self.advance()
        second = min(max(time // 1000, self.instrument.listed // 1000), self._second)
        earlier = bisect_left(self._extra, time, key=_time)
        seq = 1 + self._source.count(second) + earlier
        # the first few, of what may be many
        for trade in self._iter_trades(max(1, seq), self.next_seq if time > 0 else 0):
            if trade.timestamp >= time:
                return trade.seq
        return self.next_seq if time > 0 else 1

    def page(
        self, count: int, numbers: Range, times: Range, *, newest: bool
    ) -> tuple[list[Trade], bool]:
        """
        At most `count` of the trades within a range of numbers and one of times (ms),
        the newest or the oldest of them; and whether there are more.
        """
        first, last = numbers
        start = max(1, first or 1, self.seq_at(times[0]) if times[0] else 1)
        stop = min(self.next_seq, last + 1 if last else self.next_seq)
        if times[1] is not None:
            stop = min(stop, self.seq_at(times[1] + 1))
        more = stop - start > count
        if newest:
            start = max(start, stop - count)
        return self.trades(start, min(stop, start + count)), more

    def counts(self, seconds: Iterable[int]) -> list[int]:
        """
        How many trades were made before each of these seconds.
        """
        self.advance()
        return [
            self._source.count(min(second, self._second + 1))
            + bisect_left(self._extra, second * 1000, key=_time)
            for second in seconds
        ]

    def _recompute(self, start: int, stop: int) -> Iterator[Trade]:
        trades: list[Print] = []
        first = 0
        for seq in range(start, stop):
            earlier = bisect_left(self._extra_seqs, seq)
            if self._extra_seqs[earlier : earlier + 1] == [seq]:
                yield self._extra[earlier]
                continue
            number = seq - 1 - earlier
            if not first <= number < first + len(trades):
                seconds = range(self.instrument.listed // 1000, self._second + 1)
                at = bisect_right(seconds, number, key=self._source.count) - 1
                trades = self._source.trades(seconds[at])
                first = self._source.count(seconds[at])
            yield self._number(seq, trades[number - first])

    def volumes(self, candle: Bars) -> tuple[float, float]:
        """
        Of one candle, in the base currency and in that of prices.
        """
        amount = self.amounts.value(int(candle[VOLUME]))
        price = self.prices.value(int(candle[OPEN] + candle[CLOSE])) / 2
        if self.instrument.counts_quote:
            return round(amount / price, 8), amount
        return amount, round(amount * price, 8)

    def stats(self) -> Bars:
        """
        The candle of the last 24 hours.
        """
        minute = self._now // 60_000
        if self._stats[0] != minute:
            stop = self._now // 1000
            bars = self.candles(900, stop - _DAY, stop, 97).bars
            whole = np.array([bars[0, OPEN], 0, 0, bars[-1, CLOSE], 0])
            whole[HIGH], whole[LOW] = bars[:, HIGH].max(), bars[:, LOW].min()
            whole[VOLUME] = bars[:, VOLUME].sum()
            self._stats = minute, whole
        return self._stats[1]

    def candles(self, seconds: int, start: int, stop: int, limit: int) -> Candles:
        """
        The candles of `seconds` each that open in [start, stop] (epoch s), the newest
        `limit` of them; the last one may still be growing.
        """
        self.advance()
        now = self._now // 1000 + 1
        stop = min(now, (stop // seconds + 1) * seconds)
        first = max(self.instrument.listed // 1000, start)
        first = max(-(-first // seconds), -(-stop // seconds) - limit) * seconds
        opens = np.arange(first, stop, seconds)
        if not len(opens):
            return Candles(opens, np.empty((0, 5), np.int64))
        coarse = np.empty((0, 5), np.int64)
        if seconds >= 900 or stop - first > self._EXACT:
            # what was seen to happen is exact all the same, and so is what still grows
            seen = min(self._tape.start, now - 1) // seconds * seconds
            border = min(max(first, seen), int(opens[-1]) + seconds)
            if border > first:
                coarse = self._source.coarse(seconds, first, border)
            if border >= stop:
                return Candles(opens * 1000, coarse)
            first = border
        bars = join(self._source.bars, self._tape.bars, self._tape.start, first, stop)
        exact = merge(bars, np.arange(0, len(bars), seconds))
        return Candles(opens * 1000, np.concatenate([coarse, exact]))
