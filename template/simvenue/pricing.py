"""
What an instrument is worth where its index stands at a price.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from .instruments import Instrument

_YEAR = 365 * 86_400
_CARRY = 0.04
"""Yearly, of dated futures over the index."""
IMPLIED_VOLATILITY = 0.5


class Greeks(Struct, frozen=True):
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float


class _Terms(NamedTuple):
    years: Any
    d1: Any
    d2: Any


def _years(instrument: Instrument, seconds: Any) -> Any:
    expiry = (instrument.expiry or 0) / 1000
    return np.maximum(expiry - seconds, 60) / _YEAR


def _cdf(x: Any) -> Any:
    # of the normal distribution, by the logistic function: off by 2e-4 at most
    return 1 / (1 + np.exp(-1.5976 * x - 0.07056 * x**3))


def _terms(instrument: Instrument, index: Any, seconds: Any) -> _Terms:
    years = _years(instrument, seconds)
    deviation = IMPLIED_VOLATILITY * np.sqrt(years)
    moneyness = np.log(index / float(instrument.strike or 1))
    d1 = np.clip(moneyness / deviation + deviation / 2, -8, 8)
    return _Terms(years, d1, d1 - deviation)


def price_of(instrument: Instrument, index: Any, seconds: Any) -> Any:
    """
    Its prices where its index stands at `index`: arrays, or single values.
    """
    if instrument.kind == 'future':
        return index * (1 + _CARRY * _years(instrument, seconds))
    if instrument.kind != 'option':
        return index
    _, d1, d2 = _terms(instrument, index, seconds)
    strike = float(instrument.strike or 0)
    if instrument.option_type == 'call':
        premium = index * _cdf(d1) - strike * _cdf(d2)
    else:
        premium = strike * _cdf(-d2) - index * _cdf(-d1)
    premium = np.maximum(premium, 0)
    return premium / index if instrument.inverse else premium


def greeks(instrument: Instrument, index: float, second: float) -> Greeks:
    """
    Those of an option, in the currency of its strike.
    """
    years, d1, _ = _terms(instrument, index, second)
    density = float(np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi))
    root = float(np.sqrt(years))
    put = instrument.option_type == 'put'
    return Greeks(
        delta=float(_cdf(d1)) - put,
        gamma=density / (index * IMPLIED_VOLATILITY * root),
        vega=index * density * root / 100,
        theta=-index * density * IMPLIED_VOLATILITY / (2 * root) / 365,
        rho=float(instrument.strike or 0) * float(years) / 100 * (-1 if put else 1),
    )


def payoff(instrument: Instrument, index: float) -> float:
    """
    What one of it is worth in the end: a price.
    """
    if instrument.kind != 'option':
        return index
    strike = float(instrument.strike or 0)
    value = index - strike if instrument.option_type == 'call' else strike - index
    return max(0.0, value) / (index if instrument.inverse else 1)
