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
    A user trade of the venue, as it was entered into the ledger under the key `tid`.
    None for a record that is no trade.
    """
    if 'exec_id' not in record:
        return None
    size = record['qty']
    return Transaction(
        fqme=record['fqme'],
        tid=tid,
        size=size if record['side'] == 'buy' else -size,
        price=record['price'],
        cost=record['fee'],
        dt=pendulum.from_timestamp(record['time']),
        bs_mktid=record['symbol'],
    )


def get_cost(price: float, size: float, is_taker: bool = False) -> float:
    """
    What the venue charges for a trade, in units of the market's src asset.

    The same for makers and takers: the host does not keep which one a trade of its
    paper account was, and would come to another average price on reload. The host
    passes a negative `size` for a sale.
    """
    # TODO: the fees of your account's tier.
    return 0.004 * price * abs(size)
