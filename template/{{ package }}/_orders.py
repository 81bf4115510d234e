"""
Orders, fills and positions in neutral terms: as `_dialog.py` handles them, as the
backend's `broker.py` reads them from the venue, and as the host wants to hear of them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Collection
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any, Literal, Protocol

from msgspec import field

from . import _piker
from ._channels import Disconnected, Reconnected
from ._config import NAME, Limits, Traits
from ._piker import (
    BrokerdError,
    BrokerdFill,
    BrokerdOrder,
    BrokerdStatus,
    BrokerError,
    MktPair,
    Status,
    Struct,
)

Side = Literal['buy', 'sell']
OrderState = Literal['open', 'filled', 'canceled']
StatusName = Literal['pending', 'open', 'canceled', 'closed']


class VenueOrder(Struct, frozen=True):
    """
    An order as the venue describes it. The price is in the quote asset, sizes are in
    the unit in which the market counts them.
    """

    order_id: str
    client_id: str
    """Given by whoever placed it; '' where nobody did."""
    market: str
    """The venue's own name of it."""
    side: Side
    state: OrderState
    price: float | None
    """None for an order at the market."""
    size: float
    """In total, filled or not."""
    filled: float
    avg_price: float
    """Of what is filled; 0 where nothing is."""
    created: float
    """Epoch s."""
    updated: int
    """Of two descriptions of one order, the one with the larger number is newer."""
    reason: str = ''
    """Why it was canceled."""


class VenueFill(Struct, frozen=True):
    """
    One of the account's trades.
    """

    fill_id: str
    """No two fills of an account share it."""
    order_id: str
    client_id: str
    market: str
    side: Side
    price: float
    size: float
    fee: float
    """In units of the market's src asset, whatever it was paid in."""
    time: float
    """Epoch s."""
    record: dict[str, Any]
    """
    What the ledger keeps: the venue's own words, of which `None` is none. It is the
    same however the venue told of the trade, in a reply, a stream or its history: what
    one of these does not say, such as the client's id, is left out by all of them.
    """


class VenuePosition(Struct, frozen=True):
    """
    What the account holds in a market.
    """

    market: str
    size: float
    """Negative when short."""
    avg_price: float


class Reply(Struct, frozen=True):
    """
    An order as the venue took it, and what it traded at once, as far as the reply says.
    """

    order: VenueOrder
    fills: list[VenueFill]


Event = VenueOrder | VenueFill | VenuePosition | Disconnected | Reconnected


class OrderApi(Protocol):
    """
    What `_dialog.py` asks of the venue: of the author's `Orders`, which is made of a
    `Client` and of what comes from the `CHANNELS` of an account.

    All methods that ask or order something raise `ConnectionLost` where the venue may
    or may not have heard of it, `Throttled` where it comes too soon, `OrderExpired`
    where it came too late, and else `BrokerError` where it is refused.
    """

    @property
    def traits(self) -> Traits: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def events(self) -> AsyncIterable[Event]:
        """
        What the venue tells of the account, unasked.
        """

    async def place(
        self,
        mkt: MktPair,
        side: Side,
        size: float,
        price: float,
        client_id: str,
        valid_for: float,
    ) -> Reply:
        """
        Place a limit order. Where venues can be told so, it is not carried out later
        than `valid_for` seconds after it was sent.
        """

    async def edit(
        self,
        order: VenueOrder,
        size: float,
        price: float,
        valid_for: float,
    ) -> Reply:
        """
        Give an open order another size, in total, and another price. Where that makes
        a new order, it is one for what is left, and bears the same client's id: by that
        it is found if the reply is lost, or somebody else made the change.
        """

    async def cancel(self, order: VenueOrder) -> VenueOrder | None:
        """
        Returns the order as far as the reply describes it. Raises `OrderRejected` where
        it was over, which may be by a change that put another in its place.
        """

    async def find_order(self, order_id: str) -> VenueOrder | None:
        """
        An order, open or not, that the venue gave this id.
        """

    async def find_orders(
        self, client_id: str, mkt: MktPair | None
    ) -> list[VenueOrder]:
        """
        The orders to which a client gave this id, open or not, the oldest first and the
        newest last, whichever way they are found: the last one counts, and those before
        were replaced.

        They are looked for in all markets where none is named. A venue that has to be
        asked for each market is asked for those of open orders, and for those of which
        `fills_since()` has told: an order may have been filled before we came.
        """

    async def open_orders(self) -> list[VenueOrder]: ...

    def fills_since(
        self, since: float, markets: Collection[str]
    ) -> AsyncIterator[list[VenueFill]]:
        """
        The account's trades from the epoch second `since` on, ascending, by pages.

        Those in `markets` (the venue's names of them) are in the ledger. They are for
        a venue that has to be asked for each market.
        """

    async def positions(self) -> list[VenuePosition]:
        """
        As far as the venue tells them.
        """

    def tells_position(self, mkt: MktPair) -> bool:
        """
        Whether it tells those in this market, or leaves the fills to be summed up.
        """

    def price_tick(self, mkt: MktPair, price: float) -> Decimal:
        """
        The step of prices around `price`.
        """

    def read_record(self, record: dict[str, Any]) -> VenueFill | None:
        """
        The fill that the ledger has kept; None for a record of something else.
        """

    async def market(self, name: str) -> MktPair:
        """
        The market of that name, be it an fqme or the venue's own. Raises
        `SymbolNotFound`.
        """


class Flow(Struct):
    """
    An order, from the request for it to the last that is heard of it.
    """

    legs: dict[str, VenueOrder] = field(default_factory=dict)
    """
    As the venue last described it, by order id. It is one, unless the venue edits by
    putting another in its place, which then comes last.
    """
    fills: dict[str, VenueFill] = field(default_factory=dict)
    """Those that the host was told, by id."""
    is_editing: bool = False
    """A change is under way: what ends may only have been replaced."""
    unasked_end: VenueOrder | None = None
    """How it was canceled, where nobody here asked for that."""
    cancel_called: bool = False
    refusal: str = ''
    """Why it was not changed, where it was over by then."""

    @property
    def order(self) -> VenueOrder | None:
        """
        The one that counts; None until the venue has it.
        """
        return next(reversed(self.legs.values()), None)

    @property
    def is_open(self) -> bool:
        return self.order is not None and self.order.state == 'open'

    @property
    def unsure(self) -> list[VenueOrder]:
        """
        Those that are replaced, and may still have been filled as far as is known.
        """
        return [it for it in [*self.legs.values()][:-1] if it.state == 'open']

    @property
    def standing(self) -> tuple[object, ...] | None:
        """
        What there is to tell of it while it is open; None where it is not, or that is
        not known yet.
        """
        if self.order is None or not self.is_open or self.unsure:
            return None
        return self.order.order_id, self.order.price, self.size, self.filled

    @property
    def may_live_on(self) -> bool:
        """
        Whether it was canceled, and it is not known if for another in its place.
        """
        end = self.unasked_end
        return end is not None and self.legs[end.order_id].state == 'open'

    @property
    def adds_up(self) -> bool:
        """
        Whether the host was told of all that is filled, and nothing else is open.
        """
        return self.told == self.filled and not (self.unsure or self.may_live_on)

    @property
    def filled(self) -> float:
        """
        As the venue counts it.
        """
        return add_up(*(leg.filled for leg in self.legs.values()))

    @property
    def told(self) -> float:
        """
        As the host was told of it.
        """
        return add_up(*(fill.size for fill in self.fills.values()))

    @property
    def replaced(self) -> float:
        """
        What those filled that are replaced.
        """
        return add_up(*(leg.filled for leg in [*self.legs.values()][:-1]))

    @property
    def size(self) -> float:
        """
        In total, as the host sees it.
        """
        return add_up(self.replaced, self.order.size) if self.order else 0.0


def add_up(*sizes: float) -> float:
    """
    Their sum: of decimal fractions, which floats would smear.
    """
    return float(sum(Decimal(str(size)) for size in sizes))


def check_order(mkt: MktPair, msg: BrokerdOrder, price_tick: Decimal) -> None:
    """
    Raise `BrokerError` for what the market does not have.
    """
    if msg.action not in ('buy', 'sell'):
        raise BrokerError(f'neither buy nor sell: {msg.action!r}')
    for name, value, tick in (
        ('price', msg.price, price_tick),
        ('size', msg.size, mkt.size_tick),
    ):
        number = Decimal(str(value))
        if not number.is_finite() or number <= 0:
            raise BrokerError(f'{name} {value} is not a positive number')
        steps = number / tick
        if steps != steps.to_integral_value():
            below = steps.to_integral_value(ROUND_DOWN) * tick
            nearest = [f'{it.normalize():f}' for it in (below, below + tick) if it]
            raise BrokerError(
                f'{name} {value} is not a multiple of {tick:f}: '
                f'take {" or ".join(nearest)}'
            )


def mk_status(
    reqid: str,
    status: StatusName,
    account: str,
    *,
    price: float | None,
    size: float,
    filled: float,
    reason: str = '',
) -> BrokerdStatus:
    """
    The state of an order, which is for `size` in total.
    """
    return BrokerdStatus(
        time_ns=time.time_ns(),
        reqid=reqid,
        status=status,
        account=account,
        filled=filled,
        remaining=add_up(size, -filled),
        reason=reason,
        broker_details={'name': NAME, 'price': price, 'size': size},
    )


def mk_error(msg: dict[str, Any], reqid: str, reason: str) -> BrokerdError:
    """
    The refusal of a request.
    """
    return BrokerdError(
        reason,
        msg.get('symbol'),
        oid=msg['oid'],
        reqid=reqid,
        # the host looks here for the symbol that a cancel does not have
        broker_details={'name': NAME, 'flow': msg},
    )


def mk_fill(reqid: str, fill: VenueFill) -> BrokerdFill:
    return BrokerdFill(
        time_ns=time.time_ns(),
        broker_time=fill.time,
        reqid=reqid,
        size=fill.size,
        price=fill.price,
        action=fill.side,
        broker_details={'name': NAME, 'tid': fill.fill_id, 'fee': fill.fee},
    )


def mk_record(fill: VenueFill, fqme: str) -> dict[str, Any]:
    """
    A fill as the ledger keeps it. The host sorts by `dt`.
    """
    dt = datetime.fromtimestamp(fill.time, UTC)
    return {**fill.record, 'fqme': fqme, 'dt': dt.isoformat()}


def mk_found(reqid: str, order: VenueOrder, mkt: MktPair, account: str) -> Status:
    """
    An open order that the host did not send in this session.
    """
    return Status(
        time_ns=time.time_ns(),
        oid=reqid,
        resp='open',
        reqid=reqid,
        src=NAME,
        req=_piker.Order(
            action=order.side,
            exec_mode='live',
            oid=reqid,
            symbol=mkt.bs_fqme,
            account=account,
            price=order.price or order.avg_price,
            size=order.size,
            brokers=[NAME],
        ),
    )
