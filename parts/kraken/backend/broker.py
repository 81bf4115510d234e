"""
Orders, fills and positions: how the venue is asked for them, and what it tells.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator
from decimal import Decimal
from typing import Any

import trio
from msgspec.structs import asdict, replace

from ._channels import ChannelStream, Disconnected, Reconnected
from ._config import NAME
from ._errors import ConnectionLost, OrderRejected
from ._orders import (
    Event,
    OrderState,
    Reply,
    Side,
    VenueFill,
    VenueOrder,
    VenuePosition,
)
from ._piker import MktPair, get_logger
from ._symbols import cache_contract
from .account import Execution, Executions, Order, UserTrade
from .api import EXECUTIONS, Client
from .ledger import mk_fill, mk_side, read_record
from .messages import Message

log = get_logger(f'{NAME}.broker')

CHANNELS = (EXECUTIONS,)
"""Of all that happens to the account's orders."""

_order_id = re.compile(r'O[A-Z\d]{5}-[A-Z\d]{5}-[A-Z\d]{6}')

_margin_us: int = 5000
"""By how much what is asked for may be older than the question, by the two clocks."""
_news: float = 1
"""How long news of an order may take, after the reply, s."""
_max_known: int = 4096
"""Orders of which there is word."""


class Orders:
    """
    Does for one account what `_orders.OrderApi` says.
    """

    def __init__(self, client: Client, msgs: ChannelStream[Message]) -> None:
        self._client = client
        self._msgs = msgs
        self.traits = client.traits
        self.limits = client.limits
        self._known: dict[str, tuple[Execution, float]] = {}
        """
        What was told of each order, by its id, since news has only what is new; and
        when it was placed, or 0.
        """
        self._told = trio.Condition()
        self.events = self._read_events()

    async def place(
        self,
        mkt: MktPair,
        side: Side,
        size: float,
        price: float,
        client_id: str,
        valid_for: float,
    ) -> Reply:
        order_id = await self._client.place(
            side,
            mkt.bs_mktid,
            size,
            price=price,
            cl_ord_id=client_id,
            valid_for=valid_for,
        )
        order = VenueOrder(
            order_id=order_id,
            client_id=client_id,
            market=mkt.bs_mktid,
            side=side,
            state='open',
            price=price,
            size=size,
            filled=0.0,
            avg_price=0.0,
            created=self._client.clock.now(),
            updated=0,  # whatever is told of it is newer
        )
        return Reply(order, [])

    async def edit(
        self,
        order: VenueOrder,
        size: float,
        price: float,
        valid_for: float,
    ) -> Reply:
        self._note(order)
        if self.traits.edit == 'replace':
            order_id = await self._client.replace(
                order.order_id, order.market, size, price, valid_for=valid_for
            )
            # which is for what is left by now
            new = await self._news_of(order_id) or await self.find_order(order_id)
            if new is None:
                raise ConnectionLost(f'{order_id}: nothing is heard of it')
            return Reply(new, [])
        await self._client.amend(order.order_id, size, price, valid_for=valid_for)
        # what is told from now on is newer
        updated = order.updated + 1
        return Reply(replace(order, updated=updated, size=size, price=price), [])

    async def cancel(self, order: VenueOrder) -> VenueOrder | None:
        self._note(order)
        await self._client.cancel(order.order_id)
        # how much of it was filled is told by its end
        return await self._news_of(order.order_id, ended=True)

    async def _news_of(self, order_id: str, ended: bool = False) -> VenueOrder | None:
        """
        What is told of an order, or of its end, if nothing gets lost.
        """
        with trio.move_on_after(_news):
            async with self._told:
                while True:
                    if told := self._known.get(order_id):
                        known = mk_order(*told)
                        if known.state != 'open' or not ended:
                            return known
                    await self._told.wait()
        return None

    def _note(self, order: VenueOrder) -> None:
        changed = max(order.created, order.updated / 1_000_000)
        self._client.note_change(order.order_id, order.market, changed)

    async def find_order(self, order_id: str) -> VenueOrder | None:
        if not _order_id.fullmatch(order_id):
            return None
        asked = self._client.clock.now()
        try:
            order = await self._client.get_order(order_id)
        except OrderRejected:
            return None
        return self._mk_order(order_id, order, asked)

    async def find_orders(
        self,
        client_id: str,
        mkt: MktPair | None,
    ) -> list[VenueOrder]:
        asked = self._client.clock.now()
        while True:
            # in this order, or one that ends in between is missed
            still_open = await self._client.get_open_orders(client_id)
            closed = await self._client.get_closed_orders(client_id)
            # or another was put in the place of one that ended in between
            if not still_open.keys() & closed.keys():
                break
        found = {**still_open, **closed}
        orders = [self._mk_order(name, it, asked) for name, it in found.items()]
        return sorted(orders, key=lambda order: order.created)

    async def open_orders(self) -> list[VenueOrder]:
        asked = self._client.clock.now()
        found = await self._client.get_open_orders()
        return [self._mk_order(name, it, asked) for name, it in found.items()]

    async def fills_since(
        self, since: float, markets: Collection[str]
    ) -> AsyncIterator[list[VenueFill]]:
        async for page in self._client.get_user_trades(since):
            yield [mk_fill(trade) for trade in page if trade.time >= since]

    async def positions(self) -> list[VenuePosition]:
        return []

    def tells_position(self, mkt: MktPair) -> bool:
        return False

    def price_tick(self, mkt: MktPair, price: float) -> Decimal:
        return mkt.price_tick

    def read_record(self, record: dict[str, Any]) -> VenueFill | None:
        return read_record(record)

    async def market(self, name: str) -> MktPair:
        return await cache_contract(self._client, name)

    def _mk_order(self, order_id: str, order: Order, asked: float) -> VenueOrder:
        """
        An order by HTTP, which does not say when it was changed.
        """
        return VenueOrder(
            order_id=order_id,
            client_id=order.cl_ord_id or '',
            market=self._client.symbol_of(order.descr.pair),
            side=mk_side(order.descr.type),
            state=mk_state(order.status),
            price=float(order.descr.price) or None,
            size=float(order.vol),
            filled=float(order.vol_exec),
            avg_price=float(order.price),
            created=order.opentm,
            updated=int(asked * 1_000_000) - _margin_us,
            reason=order.reason or '',
        )

    # what the venue tells

    async def _read_events(self) -> AsyncIterator[Event]:
        """
        What happens to the account.
        """
        last = 0
        async for msg in self._msgs:
            match msg:
                case Disconnected():
                    yield msg
                case Reconnected():
                    last = 0
                    yield msg
                case Executions():
                    if last and msg.sequence > last + 1:
                        log.warning('%d messages are missing', msg.sequence - last - 1)
                        yield Reconnected()
                    last = max(last, msg.sequence)
                    for row in msg.rows:
                        for event in self._read(row):
                            yield event
                        async with self._told:
                            self._told.notify_all()

    def _read(self, row: Execution) -> Iterator[Event]:
        known, placed = self._known.pop(row.order_id, (None, 0.0))
        if known:
            row = merge(known, row)
        elif row.exec_type in ('pending_new', 'new') and not row.cum_qty:
            placed = row.timestamp.timestamp()
        if not row.symbol:
            yield Reconnected()  # it is news of what we have not heard of
            return
        self._known[row.order_id] = row, placed
        if len(self._known) > _max_known:
            del self._known[next(iter(self._known))]
        if row.exec_type == 'trade':
            yield mk_fill(mk_user_trade(row))
        yield mk_order(row, placed)


def merge(known: Execution, row: Execution) -> Execution:
    """
    An order as it is by now.
    """
    news = {name: it for name, it in asdict(row).items() if it not in (None, '')}
    return replace(known, **news)


def mk_state(status: str) -> OrderState:
    match status:
        case 'filled' | 'closed':
            return 'filled'
        case 'canceled' | 'expired':
            return 'canceled'
    return 'open'


def mk_order(order: Execution, placed: float) -> VenueOrder:
    return VenueOrder(
        order_id=order.order_id,
        client_id=order.cl_ord_id,
        market=order.symbol,
        side=mk_side(order.side),
        state=mk_state(order.order_status),
        price=order.limit_price,
        size=order.order_qty or 0.0,
        filled=order.cum_qty or 0.0,
        avg_price=order.avg_price or 0.0,
        created=placed,
        updated=int(order.timestamp.timestamp() * 1_000_000),
        reason=order.reason,
    )


def mk_user_trade(row: Execution) -> UserTrade:
    base, _, _ = row.symbol.partition('/')
    return UserTrade(
        exec_id=row.exec_id,
        order_id=row.order_id,
        symbol=row.symbol,
        side=row.side,
        price=row.last_price,
        qty=row.last_qty,
        time=row.timestamp.timestamp(),
        fee=sum(
            fee.qty * row.last_price if fee.asset == base else fee.qty
            for fee in row.fees
        ),
        cl_ord_id=row.cl_ord_id,
    )
