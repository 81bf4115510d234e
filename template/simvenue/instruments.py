"""
What is listed: products, and the instruments that follow from them as time goes by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict, replace
from numpy.typing import NDArray

LISTED = 1_420_070_400_000
"""2015-01-01, when trading began, in epoch ms."""

Kind = Literal['spot', 'perpetual', 'future', 'option']
OptionType = Literal['call', 'put']

_WEEKS, _QUARTERS = 2, 2
"""How many expiries of each there are at any time."""


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


class Product(Struct, frozen=True, eq=False, kw_only=True):
    """
    What instruments have in common that differ in expiry and strike only.

    Amounts are in the venue's own unit: where `inverse`, of the quote currency (an
    option's excepted), else of the base currency.
    """

    kind: Kind
    base: str
    quote: str
    """The currency of prices."""
    settlement: str
    """The currency of profit, margin, premium and fee; of spot, the quote currency."""
    inverse: bool = False
    index: str
    """Names the price that the instruments follow."""
    price: float
    """What the index wanders around."""
    tick_size: Decimal
    tick_steps: tuple[tuple[Decimal, Decimal], ...] = ()
    """Above a price: another tick size, a multiple of `tick_size`."""
    amount_step: Decimal
    min_amount: Decimal
    min_cost: Decimal = Decimal(0)
    """Of an order, in the currency of prices."""
    contract_size: Decimal = Decimal(1)
    maker_fee: Decimal = Decimal('0.0002')
    taker_fee: Decimal = Decimal('0.0005')
    leverage: int = 1
    activity: float = 1
    """Times the venue's rate of trades."""
    strike_step: int = 0


class Instrument(Product, frozen=True, eq=False, kw_only=True):
    """
    One market, under the venue's name for it.
    """

    name: str
    expiry: int | None = None
    """In epoch ms."""
    strike: Decimal | None = None
    option_type: OptionType | None = None
    listed: int = LISTED

    @property
    def prices(self) -> Units:
        return Units(self.tick_size)

    @property
    def amounts(self) -> Units:
        return Units(self.amount_step)

    @property
    def lot(self) -> int:
        """
        How many steps the least order is of which is worth enough at a tenth of the
        usual price.
        """
        worth = self.min_cost / (Decimal(str(self.price)) / 10)
        return max(1, ceil(max(self.min_amount, worth) / self.amount_step))

    @property
    def grid(self) -> list[tuple[int, int]]:
        """
        Above how many ticks a price must be a multiple of how many, ascending.
        """
        return [
            (int(above / self.tick_size), int(step / self.tick_size))
            for above, step in self.tick_steps
        ]

    @property
    def has_positions(self) -> bool:
        return self.kind != 'spot'

    @property
    def counts_quote(self) -> bool:
        """
        Whether amounts are of the quote currency.
        """
        return self.inverse and self.kind != 'option'

    def worth(self, amount: Decimal, price: Decimal) -> Decimal:
        """
        What `amount` is worth at `price`, in the settlement currency.
        """
        return amount / price if self.counts_quote else amount * price


def make_instrument(
    product: Product, name: Callable[[Any], str], **terms: Any
) -> Instrument:
    """
    The instrument of a product with these terms, called as `name` says.
    """
    unnamed = Instrument(**asdict(product), name='', **terms)
    return Instrument(**{**asdict(unnamed), 'name': name(unnamed)})


def more_alike(products: Sequence[Product], number: int) -> list[Product]:
    """
    So many more, of other base currencies.
    """
    found = []
    for at in range(number):
        like, other = products[at % len(products)], at // len(products) + 2
        base, index = f'{like.base}{other}', f'{like.index}{other}'
        found.append(replace(like, base=base, index=index))
    return found


def step_at(grid: list[tuple[int, int]], price: int) -> int:
    """
    The least change of a price (in ticks).
    """
    step = 1
    for above, ticks in grid:
        if price > above:
            step = ticks
    return step


def move(grid: list[tuple[int, int]], price: int, steps: int) -> int:
    """
    The price that is so many steps higher, or lower.
    """
    for _ in range(abs(steps)):
        # the step is that of the higher one of two neighbours
        price += step_at(grid, price + 1) if steps > 0 else -step_at(grid, price)
    return price


def _fridays(now: datetime) -> Iterator[datetime]:
    day = now.replace(hour=8, minute=0, second=0, microsecond=0)
    day += timedelta((4 - day.weekday()) % 7)
    while True:
        if day > now:
            yield day
        day += timedelta(7)


def _ends_quarter(day: datetime) -> bool:
    return day.month % 3 == 0 and (day + timedelta(7)).month != day.month


def expiries(now: int) -> dict[int, int]:
    """
    Those to come at a time, and since when each of them is listed (ms): the next
    Fridays, and the last Fridays of quarters, at 08:00 UTC.
    """
    found: dict[int, int] = {}
    quarters = 0
    for week, day in enumerate(_fridays(datetime.fromtimestamp(now / 1000, UTC))):
        ms = int(day.timestamp() * 1000)
        if _ends_quarter(day) and quarters < _QUARTERS:
            quarters += 1
            found[ms] = ms - 200 * 86_400_000
        elif week < _WEEKS:
            found[ms] = ms - 7 * _WEEKS * 86_400_000
        elif quarters == _QUARTERS:
            return found
    raise AssertionError('there is always another Friday')


def list_instruments(
    products: Iterable[Product],
    name: Callable[[Any], str],
    now: int,
    strikes: int,
    index: Callable[[Product, int], float],
) -> Iterator[Instrument]:
    """
    What is listed at a time, with so many strikes for each expiry of options around
    the `index` when they were listed.
    """
    dates = expiries(now)
    for product in products:
        if product.kind in ('spot', 'perpetual'):
            yield make_instrument(product, name)
            continue
        for expiry, listed in dates.items():
            terms: dict[str, Any] = {'expiry': expiry, 'listed': listed}
            if product.kind == 'future':
                yield make_instrument(product, name, **terms)
                continue
            for strike in _strikes(product, strikes, index(product, listed // 1000)):
                for option_type in ('call', 'put'):
                    yield make_instrument(
                        product,
                        name,
                        **terms,
                        strike=Decimal(strike),
                        option_type=option_type,
                    )


def _strikes(product: Product, number: int, index: float) -> list[int]:
    # where there are many they are closer together
    step = product.strike_step if number < 10 else product.strike_step // 10
    middle = round(index / step)
    return [
        strike * step
        for strike in range(middle - number // 2, middle - number // 2 + number)
        if strike > 0
    ]


class Known(dict[str, Instrument]):
    """
    Instruments by name, looked up as they are needed.
    """

    def __init__(self, find: Callable[[str], Instrument]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, name: str) -> Instrument:
        return self._find(name)
