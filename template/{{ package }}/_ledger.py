"""
The ledger: the venue's records of our trades, in the host's form. What they say is for
the author's `ledger.py` to read.
"""

from __future__ import annotations

from typing import Any

import pendulum

from ._piker import Transaction
from .ledger import read_record


def norm_trade(
    tid: str,
    record: dict[str, Any],
    pairs: dict[str, Any],
    symcache: Any = None,
) -> Transaction | None:
    """
    A user trade of the venue, as it was entered into the ledger under the key `tid`.
    None for a record that is no trade.
    """
    if not (fill := read_record(record)):
        return None
    return Transaction(
        fqme=record['fqme'],
        tid=tid,
        size=fill.size if fill.side == 'buy' else -fill.size,
        price=fill.price,
        cost=fill.fee,
        dt=pendulum.from_timestamp(fill.time),
        bs_mktid=fill.market,
    )
