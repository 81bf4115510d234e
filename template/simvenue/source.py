"""
Where a market's trades and candles come from: computed noise (or a file: see
`tradefile`).

Everything is a function of the seed and the time, so that years of history cost
nothing until they are asked for, and a venue that restarts goes on where it would
have been.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import NamedTuple, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .instruments import Instrument
from .pricing import price_of
from .reports import Direction

Floats = NDArray[np.float64]
Bars = NDArray[np.int64]
"""Of shape (seconds, 5): open, high, low, close in ticks, volume in amount steps."""

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


class Print(NamedTuple):
    """
    A trade as it is scheduled: `time` in ms, `price` in ticks, `amount` in steps.
    """

    time: int
    price: int
    amount: int
    direction: Direction


class Source(Protocol):
    """
    One market's past and future. Seconds count from the epoch.
    """

    def bars(self, start: int, stop: int) -> Bars:
        """
        The candles of the seconds in [start, stop).
        """

    def coarse(self, seconds: int, start: int, stop: int) -> Bars:
        """
        Longer ones, not exact.
        """

    def index(self, second: int) -> float:
        """
        The price of the index.
        """

    def trades(self, second: int) -> list[Print]:
        """
        The trades of that second, in order.
        """

    def count(self, second: int) -> int:
        """
        How many trades come before that second.
        """


class Noise:
    """
    Random numbers that are looked up instead of drawn: number `index` of `stream`.
    """

    _MASK = 2**64 - 1

    def __init__(self, seed: int, name: str) -> None:
        self._key = seed << 32 ^ crc32(name.encode())

    def uniform(self, stream: Bars | int, index: Bars) -> NDArray[np.float64]:
        """
        In [0, 1), by the finaliser of splitmix64.
        """
        key = np.uint64(self._key * 0x9E3779B97F4A7C15 & self._MASK)
        # arithmetic on unsigned arrays wraps around, as it must here
        bits = np.atleast_1d(stream).astype(np.uint64) * np.uint64(0xD1342543DE82EF95)
        bits = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + bits + key
        bits = (bits ^ bits >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ bits >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, limit: Bars | int, stream: int, index: Bars) -> Bars:
        """
        Whole numbers in [0, limit).
        """
        return (self.uniform(stream, index) * limit).astype(np.int64)


class Synthetic:
    """
    An instrument's price, as its index wanders, with `rate` trades per second.

    The trades of a second add up to its candle exactly.
    """

    _OCTAVES = 27
    """Noise repeats no sooner than after this power of two, in seconds."""
    # streams of noise
    _UPPER_WICK, _LOWER_WICK, _VOLUME, _TIME, _PRICE, _AMOUNT, _DIRECTION = range(7)

    _VOLATILITY = 5e-5
    """Standard change of the log price in a second; about 0.3 in a year."""
    _FEW = 500
    """Points that are looked up one by one sooner than along a path."""
    _SAMPLES = 12
    """Of a candle that is too long to look at each of its seconds."""

    def __init__(self, instrument: Instrument, seed: int = 0, rate: float = 8) -> None:
        self._instrument = instrument
        # all that follow one index share its path
        self._drift = Noise(seed, instrument.index)
        self._noise = Noise(seed, instrument.name)
        self._level = float(np.log(instrument.price))
        self._per_1000s = round(rate * instrument.activity * 1000)
        self._listed = instrument.listed // 1000
        self._grid = instrument.grid
        self._tick = float(instrument.tick_size)
        self._lot = instrument.lot

    def pin(self, second: int, price: int) -> None:
        """
        Shift the path so that it passes through `price` (ticks) at `second`.
        """
        shift = price * self._tick / self._prices(np.array([second]))[0]
        self._level += float(np.log(shift))

    def index(self, second: int) -> float:
        """
        The price of the index.
        """
        return float(np.exp(self._at(np.array([second])))[0])

    def _shift(self, octave: Bars | int, index: Bars) -> Floats:
        strength = self._VOLATILITY * 2 ** (octave / 2)
        return strength * (2 * self._drift.uniform(octave, index) - 1)

    def _path(self, start: int, stop: int) -> Floats:
        """
        The log of the index at each second in [start, stop].

        Midpoint displacement: from one octave to the next finer, points are put
        halfway between neighbours, then every point is moved by noise whose strength
        shrinks with the root of the distance, as it does in Brownian motion.
        """
        first = start >> self._OCTAVES
        points = np.full((stop >> self._OCTAVES) + 2 - first, self._level)
        for octave in reversed(range(self._OCTAVES)):
            halved = np.empty(2 * len(points) - 1)
            halved[::2] = points
            halved[1::2] = (points[:-1] + points[1:]) / 2
            index = np.arange(start >> octave, (stop >> octave) + 2)
            points = halved[index - 2 * first] + self._shift(octave, index)
            first = start >> octave
        return points[:-1]

    def _at(self, seconds: Bars) -> Floats:
        """
        The same at any seconds: the neighbours of each, octave by octave.
        """
        left = np.full(len(seconds), self._level)
        right = left.copy()
        octaves = np.arange(self._OCTAVES)[::-1, np.newaxis]
        indices = seconds >> octaves
        # of all octaves at once, since each call of numpy costs more than what it does
        shifts = self._shift(octaves, indices), self._shift(octaves, indices + 1)
        for odd, left_shift, right_shift in zip(indices & 1, *shifts, strict=True):
            middle = (left + right) / 2
            left = np.where(odd, middle, left) + left_shift
            right = np.where(odd, right, middle) + right_shift
        return left

    def _prices(self, seconds: Bars) -> Floats:
        """
        The instrument's prices at these seconds, consecutive ones or not.
        """
        start, stop = int(seconds[0]), int(seconds[-1])
        # the path spares work, but not calls of numpy, which is what few points cost
        dense = self._FEW < len(seconds) == stop - start + 1
        index = np.exp(self._path(start, stop) if dense else self._at(seconds))
        prices: Floats = price_of(self._instrument, index, seconds)
        return prices

    def _ticks(self, seconds: Bars) -> Bars:
        ticks = np.rint(self._prices(seconds) / self._tick).astype(np.int64)
        return self._settle(np.maximum(1, ticks))

    def _settle(self, ticks: Bars) -> Bars:
        """
        Down to prices that there are.
        """
        for above, step in self._grid:
            ticks = np.where(ticks > above, ticks - ticks % step, ticks)
        return ticks

    def bars(self, start: int, stop: int) -> Bars:
        index = np.arange(start, stop)
        bars = np.empty((len(index), 5), np.int64)
        prices = self._ticks(np.arange(start, stop + 1))
        bars[:, OPEN], bars[:, CLOSE] = prices[:-1], prices[1:]
        wick = 1 + prices[:-1] // 20_000
        below = self._noise.below
        bars[:, HIGH] = self._settle(
            bars[:, (OPEN, CLOSE)].max(1) + below(wick, self._UPPER_WICK, index)
        )
        bars[:, LOW] = bars[:, (OPEN, CLOSE)].min(1) - below(
            wick, self._LOWER_WICK, index
        )
        bars[:, LOW] = self._settle(np.maximum(1, bars[:, LOW]))
        quiet = np.log1p(-self._noise.uniform(self._VOLUME, index))
        bars[:, VOLUME] = (500 - 500 * quiet) * self._lot
        self._thin(bars, np.diff(self._counts(np.arange(start, stop + 1))), start)
        return bars

    def _thin(self, bars: Bars, trades: Bars, start: int) -> None:
        """
        Leave of the candles from `start` on what so few trades show: with one it does
        not move, and without any it is where the last one left it.
        """
        bars[trades == 0, VOLUME] = 0
        if not self._per_1000s or trades.min(initial=4) >= 4:
            return
        one, few = trades == 1, (trades > 0) & (trades < 4)
        bars[one, OPEN] = bars[one, CLOSE]
        bars[few, HIGH] = bars[few][:, (OPEN, CLOSE)].max(1)
        bars[few, LOW] = bars[few][:, (OPEN, CLOSE)].min(1)
        # the last one before, wherever it was
        before = self._ticks(np.array([self._second_of(self.count(start) - 1) + 1]))
        closes = np.concatenate([before, bars[:, CLOSE]])
        traded = np.concatenate([[True], trades > 0])
        latest = np.maximum.accumulate(np.where(traded, np.arange(len(traded)), 0))
        idle = trades == 0
        bars[idle, :VOLUME] = closes[latest[1:][idle], np.newaxis]

    def _second_of(self, number: int) -> int:
        """
        When the trade was that so many others came before.
        """
        return self._listed + -(-(number + 1) * 1000 // self._per_1000s) - 1

    def coarse(self, seconds: int, start: int, stop: int) -> Bars:
        """
        The candles of `seconds` each from `start` to `stop`: opens and closes are
        those of the trades, highs and lows those of samples, the volume is the usual.
        """
        inner = np.arange(self._SAMPLES) * seconds // self._SAMPLES
        opens = np.arange(start, stop, seconds)
        ticks = self._ticks(np.append((opens[:, np.newaxis] + inner).ravel(), stop))
        samples = ticks[:-1].reshape(len(opens), self._SAMPLES)
        bars = np.empty((len(opens), 5), np.int64)
        bars[:, OPEN] = samples[:, 0]
        bars[:, CLOSE] = np.append(samples[1:, 0], ticks[-1])
        bars[:, HIGH] = np.maximum(samples.max(1), bars[:, CLOSE])
        bars[:, LOW] = np.minimum(samples.min(1), bars[:, CLOSE])
        trades = self._counts(opens + seconds) - self._counts(opens)
        bars[trades == 0, :VOLUME] = bars[trades == 0, OPEN, np.newaxis]
        bars[:, VOLUME] = 1000 * self._lot * np.minimum(trades, seconds)
        return bars

    def _counts(self, seconds: Bars) -> Bars:
        counts: Bars = (seconds - self._listed) * self._per_1000s // 1000
        return counts

    def count(self, second: int) -> int:
        return max(0, (second - self._listed) * self._per_1000s // 1000)

    def trades(self, second: int) -> list[Print]:
        first = self.count(second)
        n = self.count(second + 1) - first
        if not n:
            return []
        open_, high, low, close, volume = self.bars(second, second + 1)[0].tolist()
        slot = np.arange(first, first + n)
        below, uniform = self._noise.below, self._noise.uniform

        prices = self._settle(low + below(high - low + 1, self._PRICE, slot))
        if n >= 4:
            turns = 1 + np.argsort(prices[1:-1], kind='stable')
            prices[turns[0]], prices[turns[-1]] = low, high
        prices[0], prices[-1] = open_, close

        # cuts of the volume at random places make amounts that add up to it
        cuts = np.sort(below(max(1, volume - n + 1), self._AMOUNT, slot[1:]))
        amounts = 1 + np.diff(cuts, prepend=0, append=max(0, volume - n))

        times = second * 1000 + (np.arange(n) + uniform(self._TIME, slot)) * 1000 // n
        coins = uniform(self._DIRECTION, slot)
        directions: list[Direction] = [
            'buy' if coin < 0.5 else 'sell' for coin in coins
        ]
        return [
            Print(int(time), price, amount, direction)
            for time, price, amount, direction in zip(
                times, prices.tolist(), amounts.tolist(), directions, strict=True
            )
        ]


class Tape:
    """
    The candles of the trades it is shown, in order of time.
    """

    def __init__(self, second: int, price: int) -> None:
        self.start = second
        self._seconds = [second]
        self._bars = [[price, price, price, price, 0]]

    def add(self, second: int, price: int, amount: int) -> None:
        if second > self._seconds[-1]:
            self._seconds.append(second)
            self._bars.append([price, price, price, price, amount])
        else:
            bar = self._bars[-1]
            bar[HIGH] = max(bar[HIGH], price)
            bar[LOW] = min(bar[LOW], price)
            bar[CLOSE] = price
            bar[VOLUME] += amount

    def bars(self, start: int, stop: int) -> Bars:
        """
        The seconds in [start, stop), none of them before `self.start`. One without
        trades has the last price and no volume.
        """
        low = bisect_right(self._seconds, start) - 1
        high = max(low + 1, bisect_left(self._seconds, stop))
        seconds = np.arange(start, stop)
        traded = np.array(self._seconds[low:high])
        latest = np.searchsorted(traded, seconds, side='right') - 1
        bars = np.array(self._bars[low:high])[latest]
        idle = traded[latest] < seconds
        bars[idle, :VOLUME] = bars[idle, CLOSE, np.newaxis]
        bars[idle, VOLUME] = 0
        return bars

    def forget(self, before: int) -> None:
        """
        Drop what lies before that second.
        """
        if (gone := bisect_left(self._seconds, before)) < len(self._seconds):
            del self._seconds[:gone], self._bars[:gone]
            self.start = self._seconds[0]


def join(
    before: Callable[[int, int], Bars],
    after: Callable[[int, int], Bars],
    border: int,
    start: int,
    stop: int,
) -> Bars:
    """
    The candles of [start, stop): those up to `border` from one place, the rest from
    another.
    """
    if stop <= border:
        return before(start, stop)
    if start >= border:
        return after(start, stop)
    return np.concatenate([before(start, border), after(border, stop)])


def merge(bars: Bars, starts: Bars) -> Bars:
    """
    The candles of some seconds each, which begin at these indexes. What stood still
    counts only where all of it did.
    """
    traded, index = bars[:, VOLUME] > 0, np.arange(len(bars))
    first = np.minimum.reduceat(np.where(traded, index, len(bars)), starts)
    idle = first >= np.append(starts[1:], len(bars))
    first[idle] = starts[idle]
    # of a candle that stood still as a whole, its first second
    counts = traded | np.isin(index, starts[idle])
    merged = np.empty((len(starts), 5), np.int64)
    merged[:, OPEN] = bars[first, OPEN]
    merged[:, CLOSE] = bars[np.append(starts[1:], len(bars)) - 1, CLOSE]
    highs, lows = np.where(counts, bars[:, HIGH], 0), bars[:, LOW].copy()
    lows[~counts] = np.iinfo(np.int64).max
    merged[:, HIGH] = np.maximum.reduceat(highs, starts)
    merged[:, LOW] = np.minimum.reduceat(lows, starts)
    merged[:, VOLUME] = np.add.reduceat(bars[:, VOLUME], starts)
    return merged
