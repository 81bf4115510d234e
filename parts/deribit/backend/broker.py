"""
Orders, fills and positions: how the venue is asked for them, and what it tells.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from decimal import Decimal
from typing import Any

from ._channels import ChannelStream, Disconnected, Reconnected
from ._errors import OrderRejected
from ._orders import (
    Event,
    OrderState,
    Reply,
    Side,
    VenueFill,
    VenueOrder,
    VenuePosition,
)
from ._piker import MktPair
from ._symbols import cache_contract
from .api import CURRENCIES, Client
from .ledger import mk_fill, read_record
from .messages import Changes, Message, Order, OrderReply, Pair, Position

CHANNELS = ('user.changes.any.any.raw',)
"""Of all that happens to the account: orders, trades and positions."""


class Orders:
    """
    Does for one account what `_orders.OrderApi` says.
    """

    def __init__(self, client: Client, msgs: ChannelStream[Message]) -> None:
        self._client = client
        self.traits = client.traits
        self.limits = client.limits
        self.events = read_events(msgs)

    async def place(
        self,
        mkt: MktPair,
        side: Side,
        size: float,
        price: float,
        client_id: str,
        valid_for: float,
    ) -> Reply:
        reply = await self._client.place(
            side,
            mkt.bs_mktid,
            size,
            price=price,
            label=client_id,
            valid_for=valid_for,
        )
        return mk_reply(reply)

    async def edit(
        self,
        order: VenueOrder,
        size: float,
        price: float,
        valid_for: float,
    ) -> Reply:
        reply = await self._client.edit(
            order.order_id, size, price, valid_for=valid_for
        )
        return mk_reply(reply)

    async def cancel(self, order: VenueOrder) -> VenueOrder:
        return mk_order(await self._client.cancel(order.order_id))

    async def find_order(self, order_id: str) -> VenueOrder | None:
        try:
            return mk_order(await self._client.get_order_state(order_id))
        except OrderRejected:
            return None

    async def find_orders(
        self,
        client_id: str,
        mkt: MktPair | None,
    ) -> list[VenueOrder]:
        currencies = CURRENCIES if mkt is None else [self._pair(mkt).order_currency]
        orders = [
            mk_order(order)
            for currency in currencies
            for order in await self._client.get_order_state_by_label(
                currency, client_id
            )
        ]
        return sorted(orders, key=lambda order: order.updated)

    async def open_orders(self) -> list[VenueOrder]:
        return [mk_order(order) for order in await self._client.get_open_orders()]

    async def fills_since(
        self, since: float, markets: Collection[str]
    ) -> AsyncIterator[list[VenueFill]]:
        async for page in self._client.get_user_trades(int(since * 1000)):
            yield [mk_fill(trade) for trade in page]

    async def positions(self) -> list[VenuePosition]:
        return [mk_position(it) for it in await self._client.get_positions()]

    def tells_position(self, mkt: MktPair) -> bool:
        return self.traits.positions == 'venue' and self._pair(mkt).kind != 'spot'

    def price_tick(self, mkt: MktPair, price: float) -> Decimal:
        return Decimal(str(self._pair(mkt).price_tick(price)))

    def _pair(self, mkt: MktPair) -> Pair:
        return self._client.listed.pairs[mkt.bs_fqme]

    def read_record(self, record: dict[str, Any]) -> VenueFill | None:
        return read_record(record)

    async def market(self, name: str) -> MktPair:
        return await cache_contract(self._client, name)


async def read_events(msgs: ChannelStream[Message]) -> AsyncIterator[Event]:
    """
    What happens to the account.
    """
    newest: dict[str, int] = {}
    async for msg in msgs:
        match msg:
            case Disconnected() | Reconnected():
                yield msg
            case Changes():
                is_late = False
                for trade in msg.trades:
                    name, number = trade.instrument_name, trade.trade_seq
                    is_late = is_late or number < newest.get(name, 0)
                    newest[name] = max(number, newest.get(name, 0))
                    yield mk_fill(trade)
                for order in msg.orders:
                    yield mk_order(order)
                if is_late:
                    yield Reconnected()  # its positions are not the newest
                    continue
                for position in msg.positions:
                    yield mk_position(position)


def mk_reply(reply: OrderReply) -> Reply:
    return Reply(mk_order(reply.order), [mk_fill(it) for it in reply.trades])


def mk_order(order: Order) -> VenueOrder:
    match order.order_state:
        case 'open' | 'untriggered' | 'triggered':
            state: OrderState = 'open'
        case 'filled':
            state = 'filled'
        case _:
            state = 'canceled'
    return VenueOrder(
        order_id=order.order_id,
        client_id=order.label,
        market=order.instrument_name,
        side='buy' if order.direction == 'buy' else 'sell',
        state=state,
        # of one at the market it is a word
        price=None if isinstance(order.price, str) else order.price,
        size=order.amount,
        filled=order.filled_amount,
        avg_price=order.average_price or 0.0,
        created=order.creation_timestamp / 1000,
        updated=order.last_update_timestamp,
        reason=order.cancel_reason,
    )


def mk_position(position: Position) -> VenuePosition:
    return VenuePosition(
        position.instrument_name, position.signed_size, position.average_price or 0.0
    )
