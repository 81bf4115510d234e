"""
The endpoint of `brokerd`. What is the venue's of it is in the author's `broker.py`.
"""

from __future__ import annotations

import tractor

from ._dialog import control_orders
from ._piker import context
from .broker import open_orders


@context
async def open_trade_dialog(ctx: tractor.Context) -> None:
    """
    Control the orders of all accounts; without credentials, say `'paper'`.
    """
    await control_orders(ctx, open_orders)
