"""
What the controls tell, in neutral terms: prices and amounts are numbers, market names
and order ids those of the wire.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Direction = Literal['buy', 'sell']


class MarketInfo(Struct, frozen=True):
    """
    A market; what must be exact is a decimal text.
    """

    name: str
    kind: str
    base: str
    quote: str
    settlement: str
    inverse: bool
    tick_size: str
    amount_step: str
    min_amount: str
    min_cost: str
    contract_size: str
    expiry: int | None
    strike: str | None
    option_type: str | None
    active: bool
    bid: float | None = None
    ask: float | None = None
    last: float | None = None


class TradeInfo(Struct, frozen=True):
    market: str
    seq: int
    id: int
    timestamp: int
    price: float
    amount: float
    side: Direction


class FaultInfo(Struct, frozen=True):
    kind: str
    count: int
    operation: str | None
    topic: str | None
    market: str | None


class StateInfo(Struct, frozen=True):
    now: int
    connections: int
    """Sockets of the venue that are open."""
    http_connections: int
    subscriptions: dict[str, dict[str, int]]
    """How many, by topic and market; of an account's, the market is ''."""
    faults: list[FaultInfo]
    """Those that wait for their occasion."""
    requests: dict[str, int]
    """How many there were, by operation."""
    recent: list[str]
    """The operations of the last ones, in the order in which they came."""
    traits: dict[str, Any]

    def subscribers(self, topic: str, market: str = '') -> int:
        return self.subscriptions.get(topic, {}).get(market, 0)


class OrderInfo(Struct, frozen=True):
    order_id: str
    client_id: str
    market: str
    side: Direction
    type: str
    state: str
    price: float | None
    amount: float
    filled: float
    average_price: float
    post_only: bool
    reason: str
    """Why it was cancelled."""


class FillInfo(Struct, frozen=True):
    seq: int
    trade_id: int
    trade_seq: int
    order_id: str
    client_id: str
    market: str
    side: Direction
    price: float
    amount: float
    fee: float
    fee_currency: str
    profit: float
    liquidity: str
    timestamp: int


class PositionInfo(Struct, frozen=True):
    market: str
    size: float
    average_price: float


class BalanceInfo(Struct, frozen=True):
    currency: str
    total: float
    available: float


class AccountInfo(Struct, frozen=True):
    orders: list[OrderInfo]
    fills: list[FillInfo]
    positions: list[PositionInfo]
    balances: list[BalanceInfo]
