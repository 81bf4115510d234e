"""
Where a market's trades and candles come from: computed noise, or a recording.

Everything is a function of the seed and the time, so that years of history cost
nothing until they are asked for, and a venue that restarts goes on where it would
have been.
"""

from __future__ import annotations

import csv
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .instruments import LISTED, Instrument

Direction = Literal['buy', 'sell']
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

    def uniform(self, stream: int, index: Bars) -> NDArray[np.float64]:
        """
        In [0, 1), by the finaliser of splitmix64.
        """
        key = (
            self._key * 0x9E3779B97F4A7C15 + stream * 0xD1342543DE82EF95
        ) & self._MASK
        # arithmetic on unsigned arrays wraps around, as it must here
        bits = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
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
    A price that wanders around `price`, with `rate` trades per second.

    The trades of a second add up to its candle exactly, wherever there are at least
    the four that it takes to show open, high, low and close.
    """

    _OCTAVES = 27
    """Noise repeats no sooner than after this power of two, in seconds."""
    # streams of noise
    _UPPER_WICK, _LOWER_WICK, _VOLUME, _TIME, _PRICE, _AMOUNT, _DIRECTION = range(7)

    _VOLATILITY = 5e-5
    """Standard change of the log price in a second; about 0.3 in a year."""

    def __init__(
        self,
        instrument: Instrument,
        price: float,
        seed: int = 0,
        rate: float = 8,
    ) -> None:
        # spot and perpetual of one pair share the path
        pair = f'{instrument.base_currency}-{instrument.quote_currency}'
        self._drift = Noise(seed, pair)
        self._noise = Noise(seed, instrument.instrument_name)
        self._level = np.log(price / float(instrument.tick_size))
        self._per_1000s = round(rate * 1000)

    def pin(self, second: int, price: int) -> None:
        """
        Shift the path so that it passes through `price` (ticks) at `second`.
        """
        self._level += np.log(price) - self._path(second, second)[0]

    def _path(self, start: int, stop: int) -> NDArray[np.float64]:
        """
        The log price (in ticks) at each second in [start, stop].

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
            points = halved[index - 2 * first]
            points += (
                self._VOLATILITY
                * 2 ** (octave / 2)
                * (2 * self._drift.uniform(octave, index) - 1)
            )
            first = start >> octave
        return points[:-1]

    def bars(self, start: int, stop: int) -> Bars:
        index = np.arange(start, stop)
        bars = np.empty((len(index), 5), np.int64)
        prices = np.maximum(1, np.rint(np.exp(self._path(start, stop)))).astype(
            np.int64
        )
        bars[:, OPEN], bars[:, CLOSE] = prices[:-1], prices[1:]
        wick = 1 + prices[:-1] // 20_000
        below = self._noise.below
        bars[:, HIGH] = bars[:, (OPEN, CLOSE)].max(1) + below(
            wick, self._UPPER_WICK, index
        )
        bars[:, LOW] = bars[:, (OPEN, CLOSE)].min(1) - below(
            wick, self._LOWER_WICK, index
        )
        np.maximum(1, bars[:, LOW], out=bars[:, LOW])
        quiet = np.log1p(-self._noise.uniform(self._VOLUME, index))
        bars[:, VOLUME] = 500 - 500 * quiet
        return bars

    def count(self, second: int) -> int:
        return (second - LISTED // 1000) * self._per_1000s // 1000

    def trades(self, second: int) -> list[Print]:
        first = self.count(second)
        n = self.count(second + 1) - first
        if not n:
            return []
        open_, high, low, close, volume = self.bars(second, second + 1)[0].tolist()
        slot = np.arange(first, first + n)
        below, uniform = self._noise.below, self._noise.uniform

        prices = low + below(high - low + 1, self._PRICE, slot)
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


class Recorded:
    """
    Trades from a recording; before its first one, `Synthetic` history that leads up
    to it, and after its last one silence.
    """

    def __init__(self, instrument: Instrument, trades: list[Print], seed: int) -> None:
        self._trades = sorted(trades, key=lambda trade: trade.time)
        first = self._trades[0]
        self.start = first.time
        self._times = [trade.time for trade in self._trades]
        self._tape = Tape(first.time // 1000, first.price)
        for trade in self._trades:
            self._tape.add(trade.time // 1000, trade.price, trade.amount)
        price = float(first.price * instrument.tick_size)
        self._before = Synthetic(instrument, price, seed)
        self._before.pin(self._tape.start, first.price)

    def bars(self, start: int, stop: int) -> Bars:
        return join(self._before.bars, self._tape.bars, self._tape.start, start, stop)

    def count(self, second: int) -> int:
        return bisect_left(self._times, second * 1000)

    def trades(self, second: int) -> list[Print]:
        return self._trades[self.count(second) : self.count(second + 1)]


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


class RecordingError(Exception):
    """
    A recording that cannot be replayed.
    """


class _Row(NamedTuple):
    time: int
    price: Decimal
    amount: Decimal
    direction: Direction

    @classmethod
    def parse(cls, row: dict[str, str]) -> _Row:
        stamp = row['timestamp']
        if stamp.isdigit():
            time = int(stamp)
        else:
            moment = datetime.fromisoformat(stamp)
            time = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
        price, amount = Decimal(row['price']), Decimal(row['amount'])
        if not (0 < price < Decimal('Infinity') and 0 < amount < Decimal('Infinity')):
            raise ValueError('price and amount must be positive')
        match row['side']:
            case 'buy' | 'sell' as direction:
                return cls(time, price, amount, direction)
            case other:
                raise ValueError(f'side must be buy or sell, not {other!r}')


def _finest(values: Iterable[Decimal]) -> Decimal:
    """
    The largest power of ten, at most 1, of which all `values` are multiples.
    """
    exponents = (value.normalize().as_tuple().exponent for value in values)
    return Decimal(1).scaleb(min(0, *map(int, exponents)))


def read_recording(path: Path, seed: int) -> dict[Instrument, Recorded]:
    """
    The trades in a CSV file with a header and the columns `timestamp` (epoch ms, or
    ISO 8601), `instrument`, `price`, `amount` and `side`.

    Tick size and amount step are the finest that occur. Raises `RecordingError`.
    """
    rows: defaultdict[str, list[_Row]] = defaultdict(list)
    try:
        with path.open(newline='') as file:
            for row in (reader := csv.DictReader(file)):
                try:
                    rows[row['instrument']].append(_Row.parse(row))
                except KeyError as err:
                    raise RecordingError(f'{path}: no column {err}') from None
                except (ValueError, ArithmeticError, AttributeError, TypeError) as err:
                    raise RecordingError(f'{path}:{reader.line_num}: {err}') from None
    except OSError as err:
        raise RecordingError(f'{path}: {err.strerror}') from None
    except (UnicodeDecodeError, csv.Error) as err:
        raise RecordingError(f'{path}: {err}') from None
    if not rows:
        raise RecordingError(f'{path}: no trades')

    recorded = {}
    for name, trades in rows.items():
        tick_size = _finest(trade.price for trade in trades)
        step = _finest(trade.amount for trade in trades)
        try:
            instrument = Instrument.from_name(name, str(tick_size), str(step))
        except ValueError as err:
            raise RecordingError(f'{path}: {err}') from None
        prints = [
            Print(time, int(price / tick_size), int(amount / step), direction)
            for time, price, amount, direction in trades
        ]
        recorded[instrument] = Recorded(instrument, prints, seed)
    return recorded
