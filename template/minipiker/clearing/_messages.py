"""
The messages of an order's life: between clients and `emsd`, and between `emsd` and
a `brokerd` (or the paper engine, which speaks like one).

Prices are in units of the market's src asset, sizes in units of its dst asset and
positive (`action` says which way), those of positions signed.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, convert, field

ExecMode = Literal['live', 'paper']


class BadBrokerdMsg(ValueError):
    """
    A message of an order dialog that piker would drop, or be killed by.
    """


# clients -> emsd


class Order(Struct):
    """
    Open an order dialog, or change the one that has this `oid`.
    """

    action: Literal['buy', 'sell', 'alert']
    exec_mode: Literal['live', 'dark', 'paper']
    """`dark`: kept by `emsd` until the market gets to `price`."""
    oid: str
    """A uuid4, which is never used again."""
    symbol: str
    """The full fqme."""
    account: str
    """`<broker>.<label>`, or `paper`."""
    price: float
    size: float
    brokers: list[str] = []


class Cancel(Struct):
    """
    Cancel an order, whether `emsd` or a broker has it.
    """

    oid: str
    symbol: str
    action: Literal['cancel'] = 'cancel'


# emsd -> clients


class Status(Struct):
    """
    The state of an order dialog after each thing that happens to it.
    """

    time_ns: int
    oid: str
    resp: Literal[
        'pending',  # the broker's daemon has it
        'open',
        'dark_open',  # emsd has it, and watches the market
        'triggered',  # it did, and the order is on its way; the end of an alert
        'fill',  # `brokerd_msg` is the BrokerdFill
        'closed',  # wholly filled
        'canceled',
        'error',
    ]
    name: Literal['status'] = 'status'
    reqid: int | str | None = None
    """The broker's id of the order."""
    req: Order | None = None
    src: str | None = None
    """Who opened the order: the broker's daemon says."""
    cancel_called: bool = False
    brokerd_msg: dict[str, Any] = {}
    """What the broker's daemon said, if that is what happened."""


class Error(Status):
    """
    A request was refused; `brokerd_msg['reason']` says why. An order that was open
    before stays open.
    """

    resp: Literal['error'] = 'error'


# emsd -> brokerd


class BrokerdOrder(Struct):
    """
    What an order should be from now on. Sent once more, after one side was
    restarted, it changes nothing and brings all that happened to the order so far.
    """

    oid: str
    account: str
    time_ns: int
    symbol: str
    """Without the broker."""
    price: float
    size: float
    action: Literal['buy', 'sell', '']
    reqid: int | str | None = None


class BrokerdCancel(Struct):
    oid: str
    time_ns: int
    account: str
    reqid: int | str | None = None
    action: Literal['cancel'] = 'cancel'


# brokerd -> emsd


class BrokerdOrderAck(Struct):
    """
    The first answer to an order: from now on it is called `reqid`.
    """

    reqid: int | str
    oid: str
    account: str = ''
    name: Literal['ack'] = 'ack'


class BrokerdStatus(Struct):
    time_ns: int
    reqid: int | str
    status: Literal['open', 'pending', 'canceled', 'closed']
    name: Literal['status'] = 'status'
    oid: str = ''
    account: str | None = None
    filled: float = 0.0
    reason: str = ''
    remaining: float = 0.0
    broker_details: dict[str, Any] = field(default_factory=lambda: {'name': ''})
    """
    The broker's `name`; of an open order also what its `price` and `size` are by now,
    where the broker says.
    """


class BrokerdFill(Struct):
    """
    An execution. `broker_details['tid']` tells it from all others of its order.
    """

    time_ns: int
    broker_time: float
    """Epoch s, by the broker's clock."""
    reqid: int | str
    size: float
    price: float
    name: Literal['fill'] = 'fill'
    action: str | None = None
    broker_details: dict[str, Any] = {}


class BrokerdError(Struct):
    """
    A request was refused.
    """

    reason: str
    symbol: str | None = None
    oid: str | None = None
    reqid: int | str | None = None
    name: Literal['error'] = 'error'
    broker_details: dict[str, Any] = {}


class BrokerdPosition(Struct):
    broker: str
    account: str
    symbol: str
    """The full fqme."""
    size: float
    avg_price: float
    currency: str = ''
    name: Literal['position'] = 'position'


Positions = dict[tuple[str, str], dict[str, BrokerdPosition]]
"""By (broker, account) and fqme."""


def check_positions(msgs: list[dict[str, Any]], accounts: list[str]) -> Positions:
    """
    The positions that a dialog starts with, by broker and account.
    """
    if len(set(accounts)) != len(accounts):
        raise BadBrokerdMsg(f'accounts must be unique: {accounts}')
    positions: Positions = {}
    for msg in msgs:
        position = check_position(msg, accounts)
        key = position.broker, position.account
        positions.setdefault(key, {})[position.symbol] = position
    return positions


def check_position(msg: dict[str, Any], accounts: list[str]) -> BrokerdPosition:
    position = convert(msg, BrokerdPosition)
    if position.account not in accounts:
        raise BadBrokerdMsg(f'{position} is in none of the accounts {accounts}')
    if not position.symbol.endswith(f'.{position.broker}'):
        raise BadBrokerdMsg(
            f'the symbol of a position must be its full fqme: {position}'
        )
    return position
