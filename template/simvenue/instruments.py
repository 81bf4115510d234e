"""
What is listed: currencies and instruments.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

LISTED = 1_420_070_400_000
"""2015-01-01, when trading began, in epoch ms."""


class Currency(Struct, frozen=True):
    currency: str
    kind: Literal['crypto', 'fiat']
    decimals: int


class Units:
    """
    Exact conversion between a decimal quantity and a whole number of `step`s.
    """

    def __init__(self, step: Decimal) -> None:
        self.step = step
        self._numerator, self._denominator = step.as_integer_ratio()

    def count(self, value: float | str | Decimal) -> int:
        """
        How many steps `value` is. Raises `ValueError` where that is not whole.
        """
        # by way of the shortest repr: 0.1 means a tenth
        count = Decimal(str(value)) / self.step
        if not count.is_finite() or count != int(count):
            raise ValueError(f'{value} is not a multiple of {self.step}')
        return int(count)

    def value(self, count: int) -> float:
        """
        The float nearest to `count` steps.
        """
        return count * self._numerator / self._denominator

    def values(self, counts: NDArray[np.int64]) -> list[float]:
        """
        The same for many of them.
        """
        floats: list[float] = (counts * self._numerator / self._denominator).tolist()
        return floats


class Instrument(Struct, frozen=True):
    """
    One market, as `public/get_instruments` lists it.
    """

    instrument_name: str
    kind: Literal['spot', 'perp']
    base_currency: str
    quote_currency: str
    tick_size: Decimal
    amount_step: Decimal
    min_trade_amount: Decimal
    is_active: bool = True
    maker_fee: Decimal = Decimal('0.0002')
    taker_fee: Decimal = Decimal('0.0005')
    creation_timestamp: int = LISTED

    @classmethod
    def from_name(cls, name: str, tick_size: str, amount_step: str) -> Instrument:
        """
        The instrument called `BASE-QUOTE` or `BASE-QUOTE-PERP`.

        Raises `ValueError` for a name of another shape.
        """
        kind: Literal['spot', 'perp']
        match name.split('-'):
            case [base, quote] if base and quote:
                kind = 'spot'
            case [base, quote, 'PERP'] if base and quote:
                kind = 'perp'
            case _:
                raise ValueError(f'{name!r} is not BASE-QUOTE or BASE-QUOTE-PERP')
        step = Decimal(amount_step)
        return cls(name, kind, base, quote, Decimal(tick_size), step, step)

    @property
    def prices(self) -> Units:
        return Units(self.tick_size)

    @property
    def amounts(self) -> Units:
        return Units(self.amount_step)


CURRENCIES = [
    Currency('BTC', 'crypto', 8),
    Currency('ETH', 'crypto', 8),
    Currency('SOL', 'crypto', 8),
    Currency('USDT', 'crypto', 6),
    Currency('EUR', 'fiat', 2),
]

LISTING = {
    Instrument.from_name(name, tick_size, amount_step): price
    for name, tick_size, amount_step, price in [
        ('BTC-USDT', '0.1', '0.001', 60_000.0),
        ('ETH-USDT', '0.01', '0.001', 3_000.0),
        ('SOL-USDT', '0.01', '0.01', 150.0),
        ('ETH-BTC', '0.00001', '0.001', 0.05),
        ('BTC-EUR', '0.1', '0.001', 55_000.0),
        ('BTC-USDT-PERP', '0.1', '0.001', 60_000.0),
        ('ETH-USDT-PERP', '0.01', '0.001', 3_000.0),
    ]
}
"""The instruments, and the price around which each one wanders."""


def currencies(instruments: Iterable[Instrument]) -> list[Currency]:
    """
    Those that there are, and those that `instruments` of a recording are in: coins,
    as far as we know.
    """
    listed = {it.currency: it for it in CURRENCIES}
    for instrument in instruments:
        for name in (instrument.base_currency, instrument.quote_currency):
            listed.setdefault(name, Currency(name, 'crypto', 8))
    return list(listed.values())


def search(
    instruments: Iterable[Instrument],
    pattern: str,
    limit: int,
) -> list[Instrument]:
    """
    Those with `pattern` in their name, in any case and with or without dashes;
    those that begin with it first.
    """

    def plain(text: str) -> str:
        return text.replace('-', '').lower()

    wanted = plain(pattern)
    found = [it for it in instruments if wanted in plain(it.instrument_name)]
    found.sort(key=lambda it: not plain(it.instrument_name).startswith(wanted))
    return found[:limit]
