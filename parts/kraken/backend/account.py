"""
What the venue sends of an account, as types: its orders, trades and balances. By HTTP
most numbers are texts, and on sockets they are numbers.
"""

from __future__ import annotations

from datetime import datetime

from ._piker import Struct


class Token(Struct, frozen=True):
    """
    With which a socket is the account's.
    """

    token: str


class OrderTerms(Struct, frozen=True):
    """
    What an order is for, by HTTP.
    """

    pair: str
    type: str
    """buy or sell."""
    price: str


class Order(Struct, frozen=True):
    """
    An order by HTTP.
    """

    status: str
    """pending, open, closed (that is, filled), canceled or expired."""
    opentm: float
    descr: OrderTerms
    vol: str
    """In total, filled or not."""
    vol_exec: str = '0'
    price: str = '0'
    """On average, of what is filled."""
    cl_ord_id: str | None = None
    reason: str | None = None


class OpenOrders(Struct, frozen=True):
    open: dict[str, Order]


class ClosedOrders(Struct, frozen=True):
    closed: dict[str, Order]


class Placed(Struct, frozen=True):
    order_id: str


class Ended(Struct, frozen=True):
    """
    The reply to a cancel: it ends if it is open still.
    """


class Amended(Struct, frozen=True):
    amend_id: str = ''


class Fee(Struct, frozen=True):
    asset: str
    qty: float


class Execution(Struct, frozen=True):
    """
    What became of an order, from the channel `executions`. Beside the first three there
    are those fields that have changed.
    """

    order_id: str
    exec_type: str
    """`trade` for one that is a trade."""
    timestamp: datetime
    order_status: str = ''
    """pending_new, new, partially_filled, filled, canceled, expired or triggered."""
    symbol: str = ''
    side: str = ''
    order_qty: float | None = None
    limit_price: float | None = None
    cl_ord_id: str = ''
    cum_qty: float | None = None
    avg_price: float | None = None
    reason: str = ''

    exec_id: str = ''
    """Of the trade, as are the following."""
    last_price: float = 0
    last_qty: float = 0
    fees: tuple[Fee, ...] = ()


class Executions(Struct, frozen=True):
    rows: list[Execution]
    sequence: int
    """Counts these messages; 0 where they have no numbers."""


class TradeInfo(Struct, frozen=True):
    """
    One of the account's own trades by HTTP.
    """

    ordertxid: str
    pair: str
    time: float
    type: str
    price: str
    vol: str
    fee: str = '0'
    cl_ord_id: str | None = None


class TradesHistory(Struct, frozen=True):
    trades: dict[str, TradeInfo]
    """The newest first."""
    count: int
    """Of all that there are, on other pages too."""


class UserTrade(Struct, frozen=True):
    """
    One of the account's own trades, whichever way it was told.
    """

    exec_id: str
    order_id: str
    symbol: str
    side: str
    price: float
    qty: float
    time: float
    """Epoch s."""
    fee: float = 0
    """In the quote currency."""
    cl_ord_id: str = ''


class Balance(Struct, frozen=True):
    balance: str
    hold_trade: str = '0'
    """What open orders need of it."""
