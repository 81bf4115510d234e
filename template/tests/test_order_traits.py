"""
What the author says of orders, in `TRAITS` and by what `broker.py` makes of replies,
held against what the venue does with them: far from the market, of the smallest size,
and canceled again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager as acm
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
import trio

from minipiker.brokers import BrokerError
from minipiker.clearing.live import OpenOrders
from minipiker.data.feed import open_feed
from minipiker.testing import Market

PATIENCE = 5.0
"""Seconds that the venue has to carry something out."""
AT_MARKET = {'buy': 1.01, 'sell': 0.99}
"""Times the market's price."""


class Account:
    """
    The account as the backend has it, with no host in between.
    """

    def __init__(self, orders: Any, market: Market) -> None:
        self.orders = orders
        self.market = market
        self.mkt = market.mkt
        mod = type(orders).__module__.rpartition('.')[0]
        self.fill = import_module(f'{mod}._orders').VenueFill
        self.records: list[tuple[str, dict[str, Any]]] = []
        """Of fills, by their ids, as they were told."""

    async def place(
        self, client_id: str, valid_for: float = PATIENCE, side: str = 'buy'
    ) -> Any:
        price = self.market.price(0.7 if side == 'buy' else 1.3)
        return await self.orders.place(
            self.mkt, side, self.market.size(1), price, client_id, valid_for
        )

    async def last_price(self) -> float:
        async with open_feed([self.market.fqme]) as feed:
            return float(feed.quotes[self.market.fqme]['last'])

    async def trade(self, side: str, last: float, client_id: str) -> Any:
        """
        Place an order that is filled at once, the price having been `last`, and wait
        for the stream to say so.
        """
        price = float(self.mkt.quantize(last * AT_MARKET[side], 'price'))
        reply = await self.orders.place(
            self.mkt, side, self.market.size(1), price, client_id, PATIENCE
        )
        self.records += [(it.fill_id, it.record) for it in reply.fills]
        with trio.fail_after(PATIENCE):
            async for event in self.orders.events:
                if isinstance(event, self.fill) and event.side == side:
                    self.records.append((event.fill_id, event.record))
                    break
        return reply

    async def open(self, client_id: str) -> list[Any]:
        return [
            it for it in await self.orders.open_orders() if it.client_id == client_id
        ]

    async def cancel_all(self, client_id: str) -> None:
        for order in await self.open(client_id):
            await self.orders.cancel(order)


@acm
async def open_account(
    open_orders: OpenOrders, market: Market, client_id: str
) -> AsyncIterator[Account]:
    async with open_orders() as orders:
        account = Account(orders, market)
        try:
            yield account
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(30):
                await account.cancel_all(client_id)


@pytest.fixture
def client_id() -> str:
    return str(uuid4())


@pytest.mark.case('TRAIT-EDIT')
async def test_a_change_keeps_the_id_as_it_says(
    open_orders: OpenOrders, market: Market, client_id: str
) -> None:
    async with open_account(open_orders, market, client_id) as account:
        orders = account.orders
        placed = (await account.place(client_id)).order
        price = market.price(0.71)
        await orders.edit(placed, placed.size, price, PATIENCE)
        (changed,) = await account.open(client_id)
        assert changed.price == price
        keeps = orders.traits.edit == 'in_place'
        assert (changed.order_id == placed.order_id) == keeps
        # it is found by either name, open or not
        for state in ('open', 'canceled'):
            if state == 'canceled':
                await orders.cancel(changed)
            found = await orders.find_order(changed.order_id)
            assert (found.client_id, found.market) == (client_id, market.mkt.bs_mktid)
            assert (found.side, found.price, found.size) == ('buy', price, placed.size)
            assert (found.state, found.filled) == (state, 0)
            *_, newest = await orders.find_orders(client_id, market.mkt)
            assert (newest.order_id, newest.state) == (changed.order_id, state)


@pytest.mark.case('EXEC-FOUND-ORDERS')
async def test_an_id_is_looked_up_in_all_markets(
    open_orders: OpenOrders, market: Market, client_id: str
) -> None:
    """
    The newest order that has it comes last, be it the one that is open.
    """
    async with open_account(open_orders, market, client_id) as account:
        orders = account.orders
        placed = (await account.place(client_id)).order
        await orders.edit(placed, placed.size, market.price(0.71), PATIENCE)
        (changed,) = await account.open(client_id)
        *_, newest = await orders.find_orders(client_id, None)
        assert (newest.order_id, newest.state) == (changed.order_id, 'open')


@pytest.mark.case('EXEC-FOUND-FILLS')
@pytest.mark.usefixtures('may_fill')
async def test_what_was_filled_before_us_is_looked_up_in_all_markets(
    open_orders: OpenOrders,
    market: Market,
    client_id: str,
    venue_time: Callable[[], float],
) -> None:
    """
    Whoever comes next knows no more of an order than its id, and the fills.
    """
    since = venue_time() - PATIENCE
    for side, oid in (('buy', client_id), ('sell', str(uuid4()))):
        async with open_account(open_orders, market, oid) as account:
            await account.trade(side, await account.last_price(), oid)
    async with open_orders() as orders:
        async for _ in orders.fills_since(since, ()):
            pass
        (found,) = await orders.find_orders(client_id, None)
    assert (found.side, found.state) == ('buy', 'filled')


@pytest.mark.case('TRAIT-CLIENT-IDS')
async def test_client_ids_are_as_unique_as_it_says(
    open_orders: OpenOrders, market: Market, client_id: str
) -> None:
    async with open_account(open_orders, market, client_id) as account:

        async def is_taken() -> bool:
            try:
                await account.place(client_id)
            except BrokerError:
                return False
            return True

        unique = account.orders.traits.client_ids
        assert await is_taken()
        assert await is_taken() == (unique == 'never')
        await account.cancel_all(client_id)
        assert await account.open(client_id) == []
        assert await is_taken() == (unique != 'ever')


@pytest.mark.case('TRAIT-DEADLINE')
async def test_what_comes_too_late_is_refused_as_it_says(
    open_orders: OpenOrders, market: Market, client_id: str
) -> None:
    async with open_account(open_orders, market, client_id) as account:
        if account.orders.traits.deadline:
            with pytest.raises(BrokerError):
                await account.place(client_id, valid_for=-10)
            assert await account.open(client_id) == []
        else:
            await account.place(client_id, valid_for=-10)
            assert await account.open(client_id)


@pytest.mark.case('TRAIT-FILLS', 'TRAIT-POSITIONS')
@pytest.mark.usefixtures('may_fill')
async def test_fills_and_positions_are_told_as_it_says(
    open_orders: OpenOrders,
    market: Market,
    client_id: str,
    venue_time: Callable[[], float],
) -> None:
    async with open_account(open_orders, market, client_id) as account:
        orders, mkt = account.orders, market.mkt
        last = await account.last_price()

        async def position() -> float:
            found = await orders.positions()
            return float(sum(it.size for it in found if it.market == mkt.bs_mktid))

        since = venue_time() - PATIENCE
        before = await position()
        bought = await account.trade('buy', last, client_id)
        assert bool(bought.fills) == (orders.traits.fills == 'reply')
        tells = orders.tells_position(mkt)
        assert not (tells and orders.traits.positions == 'fills')
        held = market.size(1) if tells else 0
        assert await position() == pytest.approx(before + held)
        sold = await account.trade('sell', last, client_id)
        assert await position() == pytest.approx(before)
        traded = {it.order.order_id for it in (bought, sold)}
        pages = [page async for page in orders.fills_since(since, {mkt.bs_mktid})]
        mine = [it for page in pages for it in page if it.order_id in traded]
        assert [it.side for it in mine] == ['buy', 'sell']


@pytest.mark.case('EXEC-FOUND-FILLS')
@pytest.mark.usefixtures('may_fill')
async def test_a_fill_has_one_record_however_it_is_told(
    open_orders: OpenOrders,
    market: Market,
    client_id: str,
    venue_time: Callable[[], float],
) -> None:
    """
    Or the ledger would depend on whether we listened.
    """
    async with open_account(open_orders, market, client_id) as account:
        since = venue_time() - PATIENCE
        last = await account.last_price()
        for side in ('buy', 'sell'):
            await account.trade(side, last, client_id)
        fills = account.orders.fills_since(since, {market.mkt.bs_mktid})
        kept = {it.fill_id: it.record async for page in fills for it in page}
        assert len(account.records) >= 2
        for fill_id, record in account.records:
            assert record == kept[fill_id]
