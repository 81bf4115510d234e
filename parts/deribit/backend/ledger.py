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
    if 'trade_id' not in record:
        return None
    price, size = record['price'], record['amount']
    return Transaction(
        fqme=record['fqme'],
        tid=tid,
        size=size if record['direction'] == 'buy' else -size,
        price=price,
        cost=mk_cost(record),
        dt=pendulum.from_timestamp(record['timestamp'] / 1000),
        bs_mktid=record['instrument_name'],
    )


def mk_cost(record: dict[str, Any]) -> float:
    """
    The fee of a trade, in units of the market's src asset: what the price has to move
    for it, times the size.
    """
    fee: float = record['fee']
    price: float = record['price']
    match record['instrument_name'].split('-'):
        case [pair, _] if '_' not in pair:
            # inverse: the fee is in coins, and a contract of one USD is worth 1 / price
            return fee * price**2
        case [base, *rest] if not rest and record['fee_currency'] == base.split('_')[0]:
            return fee * price
    return fee


def get_cost(price: float, size: float, is_taker: bool = False) -> float:
    """
    What the venue charges for a trade, in units of the market's src asset.

    The same for makers and takers: the host does not keep which one a trade of its
    paper account was, and would come to another average price on reload. The host
    passes a negative `size` for a sale.
    """
    # TODO: the fees of your account's tier.
    return 0.0005 * price * abs(size)
