"""
The ledger: the venue's records of our trades, and what trades cost.
"""

from __future__ import annotations

from typing import Any

from msgspec import convert
from msgspec.structs import asdict

from ._orders import VenueFill
from .messages import UserTrade


def read_record(record: dict[str, Any]) -> VenueFill | None:
    """
    A trade that the ledger has kept; None for a record that is no trade.
    """
    return mk_fill(convert(record, UserTrade)) if 'trade_id' in record else None


def mk_fill(trade: UserTrade) -> VenueFill:
    return VenueFill(
        fill_id=trade.key,
        order_id=trade.order_id,
        client_id=trade.label,
        market=trade.instrument_name,
        side='buy' if trade.direction == 'buy' else 'sell',
        price=trade.price,
        size=trade.amount,
        fee=mk_cost(trade),
        time=trade.timestamp / 1000,
        record=asdict(trade),
    )


def mk_cost(trade: UserTrade) -> float:
    """
    The fee of a trade, in units of the market's src asset: what the price has to move
    for it, times the size.
    """
    match trade.instrument_name.split('-'):
        case [pair, _] if '_' not in pair:
            # inverse: the fee is in coins, and a contract of one USD is worth 1 / price
            return trade.fee * trade.price**2
        case [base] if trade.fee_currency == base.split('_')[0]:
            return trade.fee * trade.price
    return trade.fee


def mk_fee(price: float, size: float) -> float:
    """
    What the venue charges for a trade, in units of the market's src asset.
    """
    # TODO: the fees of your account's tier.
    return 0.0005 * price * size
