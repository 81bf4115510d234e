"""
Prices and sizes come in steps, and are checked in one place.
"""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from minipiker.accounting import Asset, MktPair
from minipiker.accounting._mktinfo import check_step

HALF = Decimal('0.5')


@pytest.mark.parametrize(
    ('value', 'tick', 'reason'),
    [
        (100.25, HALF, 'price 100.25 is not a multiple of 0.5: take 100 or 100.5'),
        (0.1, HALF, 'price 0.1 is not a multiple of 0.5: take 0.5'),
        (1e-30, HALF, 'price 1e-30 is not a multiple of 0.5: take 0.5'),
        (25.0, Decimal(10), 'price 25.0 is not a multiple of 10: take 20 or 30'),
        (0.0, HALF, 'price 0.0 is not a positive number'),
        (-1.0, HALF, 'price -1.0 is not a positive number'),
        (float('inf'), HALF, 'price inf is not a positive number'),
        (float('nan'), HALF, 'price nan is not a positive number'),
    ],
)
def test_what_is_off_its_step_is_refused_with_the_nearest_two(
    value: float,
    tick: Decimal,
    reason: str,
) -> None:
    with pytest.raises(ValueError, match=f'^{re.escape(reason)}$'):
        check_step('price', value, tick)


@pytest.mark.parametrize('tick', [HALF, Decimal('0.0025'), Decimal('0.1'), Decimal(10)])
def test_a_price_that_is_rounded_is_on_its_step(tick: Decimal) -> None:
    assets = (Asset(it, 'crypto', Decimal('0.01')) for it in ('btc', 'usdt'))
    mkt = MktPair(next(assets), tick, tick, 'BTC-USDT', 'x', next(assets), 'spot')
    for value in (64_012.34, 100.3, 99.999):
        for kind in ('price', 'size'):
            rounded = float(mkt.quantize(value, kind))
            check_step(kind, rounded, tick)
            assert abs(rounded - value) <= tick / 2
