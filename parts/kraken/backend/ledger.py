"""
The ledger: the venue's records of our trades, and what trades cost.
"""

from __future__ import annotations

from typing import Any

from msgspec import convert
from msgspec.structs import asdict

from ._orders import Side, VenueFill
from .account import UserTrade


def read_record(record: dict[str, Any]) -> VenueFill | None:
    """
    A trade that the ledger has kept; None for a record that is no trade.
    """
    return mk_fill(convert(record, UserTrade)) if 'exec_id' in record else None


def mk_fill(trade: UserTrade) -> VenueFill:
    return VenueFill(
        fill_id=trade.exec_id,
        order_id=trade.order_id,
        client_id=trade.cl_ord_id,
        market=trade.symbol,
        side=mk_side(trade.side),
        price=trade.price,
        size=trade.qty,
        fee=trade.fee,
        time=trade.time,
        record=asdict(trade),
    )


def mk_side(side: str) -> Side:
    return 'buy' if side == 'buy' else 'sell'


def mk_fee(price: float, size: float) -> float:
    """
    What the venue charges for a trade, in units of the market's src asset.
    """
    # TODO: the fees of your account's tier.
    return 0.004 * price * size
