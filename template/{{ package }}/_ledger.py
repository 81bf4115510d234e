"""
The ledger: the venue's records of our trades, in the host's form, and what trades cost.
What the records say, and the fees, is in the author's `ledger.py`.
"""

from __future__ import annotations

from typing import Any

import pendulum

from ._piker import Transaction
from .ledger import mk_fee, read_record


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


def get_cost(price: float, size: float, is_taker: bool = False) -> float:
    """
    What the venue charges for a trade, in units of the market's src asset.

    The same for makers and takers: the host does not keep which one a trade of its
    paper account was, and would come to another average price on reload. The host
    passes a negative `size` for a sale.
    """
    return mk_fee(price, abs(size))
