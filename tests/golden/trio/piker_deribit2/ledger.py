"""
The ledger: the venue's records of our trades, in the host's form.
"""

from __future__ import annotations

from typing import Any

import pendulum

from ._piker import Transaction


def norm_trade(
    tid: str,
    record: dict[str, Any],
    pairs: dict[str, Any],
    symcache: Any = None,
) -> Transaction | None:
    """
    A trade of `private/get_user_trades`, as `broker.py` entered it into the ledger
    under the key `tid`. None for a record that is no trade.
    """
    # TODO: other kinds of records that the venue has: deposits, funding, ...
    if 'price' not in record:
        return None
    size = record['amount'] if record['direction'] == 'buy' else -record['amount']
    return Transaction(
        fqme=record['fqme'],
        tid=tid,
        size=size,
        price=record['price'],
        cost=record['fee'],
        dt=pendulum.from_timestamp(record['timestamp'] / 1000),
        bs_mktid=record['instrument_name'],
    )


def get_cost(price: float, size: float, is_taker: bool = False) -> float:
    """
    What the venue charges for a trade of `size`, which is negative for a sale, in units
    of the market's src asset.

    The same for makers and takers: the host does not keep which one a trade of its
    paper account was, and would come to another average price on reload.
    """
    # TODO: the venue's own schedule of fees.
    return 0.0005 * price * abs(size)
