"""
Orders to which two things happen at once: nothing is lost, nothing doubled, and nothing
contradicts itself.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from minipiker.clearing.desk import Desk, OpenDesk, open_rival
from simvenue.operations import Operation

pytestmark = [pytest.mark.usefixtures('open_simvenue'), pytest.mark.in_actor]

both_ways = pytest.mark.parametrize('edit', ['in_place', 'replace'])
in_part_or_full = pytest.mark.parametrize('filled', [40, 100])


@both_ways
@in_part_or_full
async def test_a_fill_while_an_edit_is_on_its_way(
    open_desk: OpenDesk, edit: str, filled: int
) -> None:
    async with open_desk(edit=edit) as desk:
        oid = await desk.rest(0.7)
        async with desk.held('edit') as arrival:
            desk.send(0.6, 150, oid)
            await arrival()
            await desk.trade_at(0.7, filled)
        if filled == 100:
            # there was nothing left to change
            await desk.told(oid, 'closed', filled=100)
        else:
            await desk.told(oid, 'open', filled=40, remaining=110, price=0.6)
            await desk.trade_at(0.6)
            await desk.told(oid, 'closed', filled=150)
        await desk.check()


@both_ways
async def test_a_fill_before_the_reply_to_an_edit(
    open_desk: OpenDesk, edit: str
) -> None:
    async with open_desk(edit=edit) as desk:
        oid = await desk.rest(0.7)
        async with desk.late('edit') as arrival:
            desk.send(0.6, 150, oid)
            await arrival()
            await desk.trade_at(0.6, 60)
            await desk.trade_at(0.6)
        await desk.told(oid, 'closed', filled=150)
        await desk.check()


@in_part_or_full
async def test_a_cancel_meets_a_fill(open_desk: OpenDesk, filled: int) -> None:
    async with open_desk() as desk:
        oid = await desk.rest(0.7)
        async with desk.held('cancel') as arrival:
            desk.cancel(oid)
            await arrival()
            await desk.trade_at(0.7, filled)
        end = 'closed' if filled == 100 else 'canceled'
        await desk.told(oid, end, filled=filled, remaining=100 - filled)
        await desk.check()


async def test_a_fill_before_the_reply_to_its_order(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        async with desk.late('place') as arrival:
            oid = desk.send(0.7)
            await arrival()
            await desk.trade_at(0.7, 40)
        await desk.told(oid, 'open', filled=40, remaining=60)
        await desk.check()


@pytest.mark.parametrize('fault', ['reorder', 'skip', 'repeat'])
async def test_the_end_before_the_last_fill(open_desk: OpenDesk, fault: str) -> None:
    """
    What tells of the first fill comes after what tells of the second, and of the end;
    or never, or twice.
    """
    async with open_desk() as desk:
        oid = await desk.rest(0.7)
        await desk.venue.misbehave(fault, topic='fills')
        await desk.trade_at(0.7, 40)
        await desk.trade_at(0.7)
        await desk.told(oid, 'closed', filled=100)
        await desk.check()


async def give_up(desk: Desk) -> None:
    """
    Have a reply that is overdue be noticed, as is with the next word from the venue.
    """
    await trio.sleep(0.3)
    await desk.rest(0.5, 10)


@pytest.mark.parametrize('client_ids', ['never', 'open', 'ever'])
async def test_a_late_reply_of_an_attempt_that_was_given_up(
    open_desk: OpenDesk, client_ids: str
) -> None:
    async with open_desk(client_ids=client_ids, limits={'reply': 0.2}) as desk:
        async with desk.late('place') as arrival:
            oid = desk.send(0.7)
            await arrival()
            await give_up(desk)
            # looked up, and found
            await desk.told(oid, 'open', remaining=100)
        await desk.trade_at(0.7)
        await desk.told(oid, 'closed', filled=100)
        await desk.check()


@pytest.mark.parametrize('client_ids', ['never', 'open', 'ever'])
async def test_an_attempt_that_was_given_up_is_carried_out_late(
    open_desk: OpenDesk, client_ids: str
) -> None:
    """
    The venue has the order only after another one was placed in its stead, and refuses
    it: for its id, or because it comes too late.
    """
    async with open_desk(client_ids=client_ids, limits={'reply': 0.2}) as desk:
        async with desk.held('place') as arrival:
            oid = desk.send(0.7)
            await arrival()
            await give_up(desk)
            # looked up, not found, and placed again
            await desk.told(oid, 'open', remaining=100)
        await desk.trade_at(0.7)
        await desk.told(oid, 'closed', filled=100)
        there = await desk.check()
        assert [it.client_id for it in there.orders].count(oid) == 1


async def test_the_old_leg_of_a_replaced_order_is_cancelled_by_somebody_else(
    open_desk: OpenDesk,
) -> None:
    async with open_desk(edit='replace') as desk:
        oid = await desk.rest(0.7)
        (old,) = (await desk.there()).orders
        async with desk.held('edit') as arrival:
            desk.send(0.6, 150, oid)
            await arrival()
            await desk.trade_at(0.7, 40)
            await desk.venue.cancel(old.order_id)
        await desk.told(oid, 'canceled', filled=40)
        await desk.check()


@pytest.mark.parametrize('fault', ['', 'skip', 'reorder', 'repeat'])
async def test_an_order_is_replaced_by_somebody_else(
    open_desk: OpenDesk, fault: str
) -> None:
    """
    Or by a daemon that died, and whose request came to the venue after the next one had
    asked for what is open.
    """
    async with open_desk(edit='replace') as desk, open_rival(desk) as rival:
        oid = await desk.rest(0.7)
        await desk.trade_at(0.7, 40)
        await desk.told(oid, 'open', filled=40)
        (order,) = await rival.open_orders()
        if fault:
            await desk.venue.misbehave(fault, topic='orders')
        await rival.edit(order, order.size, desk.market.price(0.6), 1)
        await desk.told(oid, 'open', filled=40, remaining=60, price=0.6)
        await desk.trade_at(0.6)
        await desk.told(oid, 'closed', filled=100)
        await desk.check()


@pytest.mark.parametrize('request_for', ['edit', 'cancel'])
async def test_a_request_for_an_order_that_somebody_else_has_replaced(
    open_desk: OpenDesk, request_for: str
) -> None:
    async with open_desk(edit='replace') as desk, open_rival(desk) as rival:
        oid = await desk.rest(0.7)
        (order,) = await rival.open_orders()
        await desk.venue.misbehave('skip', topic='orders', count=2)
        await rival.edit(order, order.size, desk.market.price(0.6), 1)
        if request_for == 'cancel':
            desk.cancel(oid)
            await desk.told(oid, 'canceled', filled=0, remaining=100)
        else:
            desk.send(0.65, 150, oid)
            await desk.told(oid, 'open', filled=0, remaining=150, price=0.65)
        await desk.check()


@pytest.mark.parametrize('fault', ['skip', 'reorder', 'repeat'])
async def test_the_end_of_the_old_leg_is_told_late(
    open_desk: OpenDesk, fault: str
) -> None:
    """
    It is no end of the order.
    """
    async with open_desk(edit='replace') as desk:
        oid = await desk.rest(0.7)
        await desk.trade_at(0.7, 40)
        await desk.told(oid, 'open', filled=40)
        await desk.venue.misbehave(fault, topic='orders')
        desk.send(0.6, 150, oid)
        await desk.told(oid, 'open', filled=40, remaining=110, price=0.6)
        await desk.trade_at(0.6)
        await desk.told(oid, 'closed', filled=150)
        await desk.check()


@both_ways
async def test_a_fill_is_heard_of_after_the_change(
    open_desk: OpenDesk, edit: str
) -> None:
    """
    Until then it is not known how much of the order is left.
    """
    async with open_desk(edit=edit) as desk:
        oid = await desk.rest(0.7)
        for topic in ('fills', 'orders'):
            await desk.venue.misbehave('skip', topic=topic)
        await desk.trade_at(0.7, 40)
        desk.send(0.6, 150, oid)
        await desk.told(oid, 'open', filled=40, remaining=110, price=0.6)
        await desk.trade_at(0.6)
        await desk.told(oid, 'closed', filled=150)
        await desk.check()


@both_ways
@pytest.mark.parametrize('step', ['place', 'edit', 'cancel'])
@pytest.mark.parametrize('fault', ['lose_request', 'lose_reply'])
async def test_a_lost_reply_at_every_step(
    open_desk: OpenDesk, step: str, fault: str, edit: str
) -> None:
    async with open_desk(edit=edit) as desk:

        async def disturb(operation: Operation) -> None:
            if operation == step:
                await desk.venue.misbehave(fault, operation=operation)

        await disturb('place')
        oid = await desk.rest(0.7)
        await desk.trade_at(0.7, 40)
        await disturb('edit')
        desk.send(0.6, 150, oid)
        await desk.told(oid, 'open', filled=40, remaining=110, price=0.6)
        await disturb('cancel')
        desk.cancel(oid)
        await desk.told(oid, 'canceled', filled=40, remaining=110)
        await desk.check()


async def test_a_partial_fill_during_a_drop(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        oid = await desk.rest(0.7)
        await desk.venue.misbehave('refuse')
        await desk.venue.misbehave('drop')
        await desk.trade_at(0.7, 40)
        await desk.venue.behave()
        await desk.told(oid, 'open', filled=40, remaining=60)
        await desk.trade_at(0.7)
        await desk.told(oid, 'closed', filled=100)
        await desk.check()


async def test_two_clients_edit_one_order(open_desk: OpenDesk) -> None:
    """
    What the venue has in the end is what is told. (Where an edit makes a new order,
    only the first of them finds the old one.)
    """
    async with open_desk(edit='in_place') as desk, open_rival(desk) as rival:
        oid = await desk.rest(0.7)
        (order,) = await rival.open_orders()
        async with desk.held('edit') as arrival:
            desk.send(0.6, 150, oid)
            await arrival()
            await rival.edit(order, desk.market.size(150), desk.market.price(0.65), 1)
        await desk.told(oid, 'open', remaining=150, price=0.6)
        (order,) = await rival.open_orders()
        await rival.edit(order, desk.market.size(150), desk.market.price(0.65), 1)
        await desk.told(oid, 'open', remaining=150, price=0.65)
        await desk.trade_at(0.65)
        await desk.told(oid, 'closed', filled=150)
        await desk.check()


@both_ways
async def test_two_clients_cancel_one_order(open_desk: OpenDesk, edit: str) -> None:
    async with open_desk(edit=edit) as desk, open_rival(desk) as rival:
        for operation in ('edit', 'cancel'):
            oid = await desk.rest(0.7)
            (order,) = await rival.open_orders()
            async with desk.held(operation) as arrival:
                if operation == 'edit':
                    desk.send(0.6, 150, oid)
                else:
                    desk.cancel(oid)
                await arrival()
                await desk.venue.cancel(order.order_id)
            await desk.told(oid, 'canceled', filled=0)
        await desk.check()


async def test_an_order_of_another_client(open_desk: OpenDesk) -> None:
    """
    It is told, changed by us and filled, each once.
    """
    async with open_desk() as desk, open_rival(desk) as rival:
        market = desk.market
        size, price = market.size(100), market.price(0.7)
        await rival.place(market.mkt, 'buy', size, price, 'theirs', 1)

        def found() -> list[dict[str, Any]]:
            return [it for it in desk.heard if it.get('resp') == 'open']

        await desk.wait(lambda: bool(found()))
        oid = found()[0]['oid']
        desk.send(0.6, 100, oid)
        await desk.told(oid, 'open', remaining=100, price=0.6)
        await desk.trade_at(0.6)
        await desk.told(oid, 'closed', filled=100)
        assert len(found()) == 1
        await desk.check()
