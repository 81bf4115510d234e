"""
The endpoint of `brokerd`. What is the venue's of it is in the author's `broker.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm

import tractor

from ._client import get_client
from ._config import Credentials
from ._dialog import control_orders
from ._orders import OrderApi
from ._piker import context
from .broker import CHANNELS, Orders


@context
async def open_trade_dialog(ctx: tractor.Context) -> None:
    """
    Control the orders of all accounts; without credentials, say `'paper'`.
    """
    await control_orders(ctx, open_orders)


@acm
async def open_orders(credentials: Credentials) -> AsyncIterator[OrderApi]:
    """
    The orders of the account with these credentials.
    """
    async with get_client(credentials=credentials) as client:
        await client.get_mkt_pairs()  # by which orders name their markets
        async with client.session.open_channel(*CHANNELS, before_orders=True) as msgs:
            yield Orders(client, msgs)
