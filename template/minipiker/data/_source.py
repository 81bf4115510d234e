"""
The layout of OHLCV history.
"""

from __future__ import annotations

def_iohlcv_fields: list[tuple[str, type]] = [
    ('index', int),
    ('time', float),
    ('open', float),
    ('high', float),
    ('low', float),
    ('close', float),
    ('volume', float),
]
"""Columns of a history frame: `time` in epoch s, prices in the source asset,
`volume` in the destination asset."""
