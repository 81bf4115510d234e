"""
Where a market's trades come from: a file of them.
"""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from .instruments import Instrument
from .reports import Direction
from .source import Bars, Print, Synthetic, Tape, join


class Recorded:
    """
    Trades from a file; before its first one, `Synthetic` history that leads up
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
        self._before = Synthetic(instrument, seed)
        self._before.pin(self._tape.start, first.price)

    def bars(self, start: int, stop: int) -> Bars:
        return join(self._before.bars, self._tape.bars, self._tape.start, start, stop)

    def coarse(self, seconds: int, start: int, stop: int) -> Bars:
        return self._before.coarse(seconds, start, stop)

    def index(self, second: int) -> float:
        return self._before.index(second)

    def count(self, second: int) -> int:
        return bisect_left(self._times, second * 1000)

    def trades(self, second: int) -> list[Print]:
        return self._trades[self.count(second) : self.count(second + 1)]


class TradeFileError(Exception):
    """
    A file of trades that cannot be replayed.
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


class TradeFile:
    """
    The trades in a CSV file with a header and the columns `timestamp` (epoch ms, or
    ISO 8601), `instrument`, `price`, `amount` and `side`. Raises `TradeFileError`.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self._seed = seed
        self._rows = _read(path)
        self.start = min(row.time for rows in self._rows.values() for row in rows)

    @property
    def names(self) -> set[str]:
        return set(self._rows)

    def adapt(self, instrument: Instrument) -> Instrument:
        """
        With tick size and amount step as fine as the finest that occur.
        """
        if (rows := self._rows.get(instrument.name)) is None:
            return instrument
        return replace(
            instrument,
            tick_size=_common(instrument.tick_size, _finest(it.price for it in rows)),
            amount_step=_common(
                instrument.amount_step, _finest(it.amount for it in rows)
            ),
            tick_steps=(),
            listed=min([instrument.listed, *(row.time for row in rows)]),
        )

    def source(self, instrument: Instrument) -> Recorded | None:
        """
        Of an adapted instrument.
        """
        if (rows := self._rows.get(instrument.name)) is None:
            return None
        prints = [
            Print(
                time,
                int(price / instrument.tick_size),
                int(amount / instrument.amount_step),
                direction,
            )
            for time, price, amount, direction in rows
        ]
        return Recorded(instrument, prints, self._seed)


def _read(path: Path) -> dict[str, list[_Row]]:
    rows: defaultdict[str, list[_Row]] = defaultdict(list)
    try:
        with path.open(newline='') as file:
            for row in (reader := csv.DictReader(file)):
                try:
                    rows[row['instrument']].append(_Row.parse(row))
                except KeyError as err:
                    raise TradeFileError(f'{path}: no column {err}') from None
                except (ValueError, ArithmeticError, AttributeError, TypeError) as err:
                    raise TradeFileError(f'{path}:{reader.line_num}: {err}') from None
    except OSError as err:
        raise TradeFileError(f'{path}: {err.strerror}') from None
    except (UnicodeDecodeError, csv.Error) as err:
        raise TradeFileError(f'{path}: {err}') from None
    if not rows:
        raise TradeFileError(f'{path}: no trades')
    return rows


def _common(listed: Decimal, finest: Decimal) -> Decimal:
    """
    The step of a listing, or one as fine as it takes.
    """
    return listed if finest % listed == 0 else finest
