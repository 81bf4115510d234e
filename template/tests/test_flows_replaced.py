"""
Orders that others are put in the place of, where that is how a venue edits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import trio
from msgspec.structs import replace
from order_stubs import (
    MKT,
    Told,
    Venue,
    mk_dialog,
    mk_fill,
    mk_flows,
    mk_order,
    mk_reply,
    mk_request,
)

from minipiker.accounting import MktPair
from minipiker.clearing._messages import BrokerdFill, BrokerdStatus


class Replacing(Venue):
    """
    It has put another order in the place of one, while nobody listened.
    """

    traits = SimpleNamespace(edit='replace')
    limits = SimpleNamespace(**{**vars(Venue.limits), 'probe': 60})

    def __init__(self, old: Any, new: Any, fill: Any) -> None:
        super().__init__(new, fill)
        self.found = [old, new]
        self.searches = 0
        self.canceled: list[str] = []
        self.tell, self.events = trio.open_memory_channel[Any](9)

    async def find_order(self, order_id: str) -> Any:
        self.searches += 1
        return next((it for it in self.found if it.order_id == order_id), None)

    async def open_orders(self) -> list[Any]:
        return [it for it in self.found if it.state == 'open']

    async def find_orders(self, client_id: str, mkt: MktPair | None) -> list[Any]:
        self.searches += 1
        return self.found

    async def edit(self, order: Any, *terms: Any) -> Any:
        errors = import_module(f'{type(order).__module__.rpartition(".")[0]}._errors')
        raise errors.OrderRejected('too late for that', 1)

    async def cancel(self, order: Any) -> Any:
        self.canceled.append(order.order_id)
        end = replace(order, state='canceled', updated=order.updated + 1)
        self.tell.send_nowait(end)
        while not self.events.statistics().tasks_waiting_receive:
            await trio.lowlevel.checkpoint()
        return end

    async def fills_since(
        self, since: float, markets: Collection[str]
    ) -> AsyncIterator[list[Any]]:
        yield [self.fill] if self.order.filled else []


@pytest.mark.parametrize(
    ('state', 'filled', 'end'), [('filled', 0.5, 'closed'), ('open', 0.0, 'open')]
)
async def test_what_was_replaced_before_us_is_not_the_end(
    mod: ModuleType, state: str, filled: float, end: str
) -> None:
    """
    Whoever made the change may have died of it: all there is to go by is the id that
    both orders have.
    """
    old = mk_order(mod, 'canceled', 0.0)
    new = replace(mk_order(mod, state, filled), order_id='8', updated=2)
    fill = mk_fill(mod, order_id='8')
    told: list[Any] = []
    it = mk_flows(mod, Replacing(old, new, fill), told.append)
    assert await it.look_up('oid', it.begin('oid'), MKT)
    statuses = [msg for msg in told if isinstance(msg, BrokerdStatus)]
    assert [(msg.status, msg.filled) for msg in statuses] == [(end, filled)]
    fills = [msg.size for msg in told if isinstance(msg, BrokerdFill)]
    assert fills == ([0.5] if filled else [])
    # and it can be changed, canceled or filled if it is open
    flow = it.get('oid')
    assert (flow and flow.order.order_id) == ('8' if end == 'open' else None)


@pytest.mark.parametrize(
    ('state', 'filled', 'last'),
    [('open', 0.0, 'open'), ('filled', 0.5, 'closed'), ('', 0.0, 'canceled')],
)
@pytest.mark.parametrize('is_heard_of', [True, False])
async def test_what_somebody_else_replaces_is_not_the_end(
    mod: ModuleType, state: str, filled: float, last: str, is_heard_of: bool
) -> None:
    """
    A daemon may have asked for it and died, and the venue done it when the next one
    knew which orders are open.
    """
    old = replace(mk_order(mod, 'canceled', 0.0), updated=2)
    new = replace(mk_order(mod, state, filled), order_id='8', updated=3)
    fill = mk_fill(mod, order_id='8')
    venue, told = Replacing(old, new, fill), Told()
    if not state:
        venue.found = [old]
    it = mk_flows(mod, venue, told.emit)
    it.begin('oid')
    await it.on_reply(mk_reply(mod, mk_order(mod, 'open', 0.0)))
    assert await told.status() == ('open', 0)
    venue.tell.send_nowait(old)
    if is_heard_of and state:
        venue.tell.send_nowait(new)
    async with trio.open_nursery() as tn:
        tn.start_soon(it.listen)
        tn.start_soon(it.watch)
        assert await told.status() == (last, filled)
        flow = it.get('oid')
        assert (flow and flow.order.order_id) == ('8' if last == 'open' else None)
        tn.cancel_scope.cancel()
    assert told.is_all


@pytest.mark.parametrize('request_for', ['edit', 'cancel'])
async def test_what_we_ask_for_is_not_asked_about(
    mod: ModuleType, request_for: str
) -> None:
    """
    That an order is canceled is told before the reply, as is with an edit.
    """
    order, told = mk_order(mod, 'open', 0.0), Told()
    new = replace(order, order_id='8', updated=2, price=59_000.0)

    class Obeying(Replacing):
        async def edit(self, order: Any, *terms: Any) -> Any:
            await self.cancel(order)
            return mk_reply(mod, new)

    venue = Obeying(order, new, None)
    it = mk_flows(mod, venue, told.emit)
    it.begin('oid')
    await it.on_reply(mk_reply(mod, order))
    assert await told.status() == ('open', 0)
    async with trio.open_nursery() as tn:
        tn.start_soon(it.listen)
        dialog = mk_dialog(mod, it, tn)
        dialog.request(mk_request(request_for))
        end = 'open' if request_for == 'edit' else 'canceled'
        assert await told.status() == (end, 0)
        tn.cancel_scope.cancel()
    assert all(flow.adds_up for flow in it._flows.values())
    assert (venue.canceled, venue.searches, told.is_all) == (['7'], 0, True)


async def test_another_order_with_the_same_id_is_not_in_its_place(
    mod: ModuleType,
) -> None:
    """
    As long as the first is open; where the venue lets several have the id.
    """
    ours, told = mk_order(mod, 'open', 0.0), Told()
    other = replace(ours, order_id='8', updated=2)
    venue = Replacing(ours, other, None)
    it = mk_flows(mod, venue, told.emit)
    it.begin('oid')
    await it.on_reply(mk_reply(mod, ours))
    assert await told.status() == ('open', 0)
    async with trio.open_nursery() as tn:
        tn.start_soon(it.listen)
        tn.start_soon(it.watch)
        venue.tell.send_nowait(other)
        with trio.fail_after(10):
            while it.get('8') is None:
                await trio.lowlevel.checkpoint()
        assert it.get('oid').order.order_id == '7'
        end = replace(ours, state='canceled', updated=3)
        venue.found = [end, other]
        venue.tell.send_nowait(end)
        assert await told.status() == ('canceled', 0)
        tn.cancel_scope.cancel()
    assert (it.get('8').order, told.is_all) == (other, True)


async def test_what_was_replaced_long_ago_is_not_the_order(mod: ModuleType) -> None:
    """
    It is found with the one that is open when a change of that is refused.
    """
    old = mk_order(mod, 'canceled', 0.0)
    new = replace(mk_order(mod, 'open', 0.0), order_id='8', updated=2)
    venue, told = Replacing(old, new, None), Told()
    it = mk_flows(mod, venue, told.emit)
    await it.on_order(new)
    async with trio.open_nursery() as tn:
        tn.start_soon(it.listen)
        dialog = mk_dialog(mod, it, tn)
        dialog.request(mk_request('edit'))
        assert await told.status() == ('open', 0)
        dialog.request(mk_request('cancel'))
        assert await told.status() == ('canceled', 0)
        tn.cancel_scope.cancel()
    assert (venue.canceled, told.is_all) == (['8'], True)
