"""
What is made of an order's story, in whichever order it is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from decimal import Decimal
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import trio
from msgspec import to_builtins
from msgspec.structs import replace

from minipiker.accounting import Asset, MktPair
from minipiker.clearing._messages import BrokerdFill, BrokerdOrder, BrokerdStatus

BTC, USDT = (Asset(it, 'crypto', Decimal('0.01')) for it in ('btc', 'usdt'))
MKT = MktPair(BTC, Decimal('0.5'), Decimal('0.1'), 'BTC-USDT', 'x', USDT, 'spot')


class Books:
    """
    A ledger in memory.
    """

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}
        self.ledger = self

    def iter_newest(self) -> Iterator[tuple[str, Any]]:
        return reversed(self.records.items())

    def add(self, tid: str, record: Any) -> None:
        self.records[tid] = record

    def holdings(self) -> dict[str, tuple[float, float]]:
        return {MKT.fqme: (0.5 * len(self.records), 60_000.0)}


class Venue:
    """
    An account with one order and its fill. The history is one of each market. It says
    of a fill which order it is of, and not what its client calls that.
    """

    traits = SimpleNamespace(edit='in_place')
    limits: Any = SimpleNamespace(doubt=0.01, probe=0.01)

    def __init__(self, order: Any, fill: Any) -> None:
        self.order, self.fill = order, fill

    async def find_order(self, order_id: str) -> Any:
        return self.order

    async def fills_since(
        self, since: float, markets: Collection[str]
    ) -> AsyncIterator[list[Any]]:
        if MKT.bs_mktid in markets:
            yield [self.fill]

    async def open_orders(self) -> list[Any]:
        return []

    async def positions(self) -> list[Any]:
        return []

    def tells_position(self, mkt: MktPair) -> bool:
        return False

    def read_record(self, record: Any) -> Any:
        return self.fill

    async def market(self, name: str) -> MktPair:
        return MKT


TERMS = {'order_id': '7', 'market': 'BTC-USDT', 'side': 'buy', 'price': 60_000.0}


def mk_order(mod: ModuleType, state: str, filled: float) -> Any:
    return import_module(f'{mod.__name__}._orders').VenueOrder(
        **TERMS,
        client_id='oid',
        state=state,
        size=0.5,
        filled=filled,
        avg_price=60_000.0 if filled else 0.0,
        created=1000.0,
        updated=1,
    )


def mk_request(kind: str) -> dict[str, Any]:
    if kind == 'cancel':
        return {'action': 'cancel', 'oid': 'oid', 'reqid': 'oid'}
    price, reqid = (60_000.0, None) if kind == 'place' else (59_000.0, 'oid')
    terms: Any = {'symbol': 'btcusdt', 'price': price, 'size': 0.5, 'time_ns': 0}
    terms |= {'action': 'buy', 'account': 'x.main', 'oid': 'oid', 'reqid': reqid}
    msg: dict[str, Any] = to_builtins(BrokerdOrder(**terms))
    return msg


class Told:
    """
    What the host is told of how an order stands.
    """

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Any](99)

    def emit(self, msg: Any) -> None:
        if isinstance(msg, BrokerdStatus):
            self._send.send_nowait((msg.status, msg.filled))

    async def status(self) -> tuple[str, float]:
        """
        The next one, and how much is filled by then.
        """
        with trio.fail_after(10):
            status: tuple[str, float] = await self._receive.receive()
            return status

    @property
    def is_all(self) -> bool:
        return not self._receive.statistics().current_buffer_used


async def test_a_fill_that_is_booked_before_its_order_is_known(mod: ModuleType) -> None:
    orders = import_module(f'{mod.__name__}._orders')
    flows = import_module(f'{mod.__name__}._flows')
    order = mk_order(mod, 'filled', 0.5)
    fill = orders.VenueFill(
        **TERMS, fill_id='1', client_id='', size=0.5, fee=0.0, time=1000.0, record={}
    )
    told: list[Any] = []
    books = Books()
    it = flows.Flows('x.main', Venue(order, fill), books, told.append)
    it.begin('oid')
    # while its reply is under way
    await it.reconcile()
    assert books.records
    assert not [msg for msg in told if isinstance(msg, BrokerdFill)]
    await it.on_reply(orders.Reply(order, [fill]))
    await it.reconcile()
    *_, last = (msg for msg in told if isinstance(msg, BrokerdStatus))
    assert (last.reqid, last.status, last.filled) == ('oid', 'closed', 0.5)
    assert [msg.size for msg in told if isinstance(msg, BrokerdFill)] == [0.5]
    assert it.get('oid') is None


async def test_fills_are_not_remembered_for_ever(mod: ModuleType) -> None:
    """
    Not even where every order is filled at once, so that none is open when it is time
    to ask how they stand.
    """
    orders = import_module(f'{mod.__name__}._orders')
    flows = import_module(f'{mod.__name__}._flows')
    limits = import_module(f'{mod.__name__}._fills')
    made = [
        orders.VenueFill(
            **TERMS,
            fill_id=f'{number}',
            client_id='',
            size=0.5,
            fee=0.0,
            time=1000.0 + number,
            record={},
        )
        for number in range(2 * limits._max_booked)
    ]
    venue = Venue(None, made[-1])
    it = flows.Flows('x.main', venue, Books(), lambda msg: None)
    await it.fills.book(made)
    with trio.fail_after(10):
        async with trio.open_nursery() as tn:
            tn.start_soon(it.watch)
            while len(it.fills._booked) > 2 * limits._overlap:
                await trio.lowlevel.checkpoint()
            tn.cancel_scope.cancel()
    assert made[-1].fill_id in it.fills._booked, 'the venue may tell of it again'


class Refusing(Venue):
    """
    It takes an order away in order to change it, and then refuses the new one.
    """

    def price_tick(self, mkt: MktPair, price: float) -> Decimal:
        return mkt.price_tick

    async def edit(self, order: Any, *terms: Any) -> Any:
        self.order = replace(order, state='canceled', updated=2)
        errors = import_module(f'{type(order).__module__.rpartition(".")[0]}._errors')
        raise errors.OrderRejected('that id has been used', 1)

    async def fills_since(
        self, since: float, markets: Collection[str]
    ) -> AsyncIterator[list[Any]]:
        yield []


async def test_an_order_that_its_change_ends_says_why(mod: ModuleType) -> None:
    dialogs = import_module(f'{mod.__name__}._dialog')
    flows = import_module(f'{mod.__name__}._flows')
    orders = import_module(f'{mod.__name__}._orders')
    told: list[Any] = []
    venue = Refusing(None, None)
    venue.limits = import_module(f'{mod.__name__}.api').LIMITS
    it = flows.Flows('x.main', venue, Books(), told.append)
    it.begin('oid')
    await it.on_reply(orders.Reply(mk_order(mod, 'open', 0.0), []))
    async with trio.open_nursery() as tn:
        dialog = dialogs.AccountDialog(venue, it, told.append, tn)
        dialog.request(mk_request('edit'))
    *_, last = (msg for msg in told if isinstance(msg, BrokerdStatus))
    assert last.status == 'canceled'
    assert 'that id has been used' in last.reason


@pytest.mark.parametrize('is_there', [True, False])
async def test_an_order_that_a_predecessor_has_sent_is_not_placed_twice(
    mod: ModuleType, is_there: bool
) -> None:
    """
    It died, and the venue carries the request out when the next one has looked already.
    """
    dialogs = import_module(f'{mod.__name__}._dialog')
    flows = import_module(f'{mod.__name__}._flows')
    orders = import_module(f'{mod.__name__}._orders')
    limits = import_module(f'{mod.__name__}.api').LIMITS
    order, told = mk_order(mod, 'open', 0.0), Told()
    placed: list[float] = []
    end = trio.current_time() + 0.2

    class Slow(Refusing):
        async def find_orders(self, client_id: str, mkt: MktPair | None) -> list[Any]:
            return [order] if is_there and trio.current_time() > end else []

        async def find_order(self, order_id: str) -> Any:
            return None

        async def place(self, *terms: Any) -> Any:
            placed.append(trio.current_time())
            return orders.Reply(order, [])

    venue: Any = Slow(None, None)
    venue.traits = SimpleNamespace(edit='in_place', client_ids='never', deadline=True)
    venue.limits = replace(limits, valid_for=0.2, clock_error=0.1)
    it = flows.Flows('x.main', venue, Books(), told.emit)
    async with trio.open_nursery() as tn:
        dialog = dialogs.AccountDialog(venue, it, told.emit, tn)
        dialog.request(mk_request('place'))
        assert await told.status() == ('open', 0)
    assert [it > end for it in placed] == ([] if is_there else [True])


@pytest.mark.parametrize('is_booked', [True, False])
async def test_an_order_that_was_filled_unheard_is_not_placed_twice(
    mod: ModuleType, is_booked: bool
) -> None:
    """
    The host died before it was told, and sends the order again as if it were new.
    """
    dialogs = import_module(f'{mod.__name__}._dialog')
    flows = import_module(f'{mod.__name__}._flows')
    orders = import_module(f'{mod.__name__}._orders')
    order, told = mk_order(mod, 'filled', 0.5), Told()
    fill = orders.VenueFill(
        **TERMS, fill_id='1', client_id='oid', size=0.5, fee=0.0, time=1000.0, record={}
    )

    class Asked(Venue):
        async def find_orders(self, client_id: str, mkt: MktPair | None) -> list[Any]:
            return [self.order]

    venue: Any = Asked(order, fill)
    venue.limits = import_module(f'{mod.__name__}.api').LIMITS
    books = Books()
    it = flows.Flows('x.main', venue, books, told.emit)
    await it.reconcile()
    if is_booked:  # by a daemon of before
        it = flows.Flows('x.main', venue, books, told.emit)
    async with trio.open_nursery() as tn:
        dialog = dialogs.AccountDialog(venue, it, told.emit, tn)
        dialog.request(mk_request('place') | {'time_ns': 2**62})
        assert await told.status() == ('closed', 0.5)


class Replacing(Venue):
    """
    It has put another order in the place of one, while nobody listened.
    """

    traits = SimpleNamespace(edit='replace')
    limits = SimpleNamespace(doubt=0.01, probe=60)

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

    def price_tick(self, mkt: MktPair, price: float) -> Decimal:
        return mkt.price_tick

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
    orders = import_module(f'{mod.__name__}._orders')
    flows = import_module(f'{mod.__name__}._flows')
    old = mk_order(mod, 'canceled', 0.0)
    new = replace(mk_order(mod, state, filled), order_id='8', updated=2)
    terms = TERMS | {'order_id': '8'}
    fill = orders.VenueFill(
        **terms, fill_id='1', client_id='', size=0.5, fee=0.0, time=1000.0, record={}
    )
    told: list[Any] = []
    it = flows.Flows('x.main', Replacing(old, new, fill), Books(), told.append)
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
    orders = import_module(f'{mod.__name__}._orders')
    flows = import_module(f'{mod.__name__}._flows')
    old = replace(mk_order(mod, 'canceled', 0.0), updated=2)
    new = replace(mk_order(mod, state, filled), order_id='8', updated=3)
    terms = TERMS | {'order_id': '8'}
    fill = orders.VenueFill(
        **terms, fill_id='1', client_id='', size=0.5, fee=0.0, time=1000.0, record={}
    )
    venue, told = Replacing(old, new, fill), Told()
    if not state:
        venue.found = [old]
    it = flows.Flows('x.main', venue, Books(), told.emit)
    it.begin('oid')
    await it.on_reply(orders.Reply(mk_order(mod, 'open', 0.0), []))
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
    dialogs = import_module(f'{mod.__name__}._dialog')
    flows = import_module(f'{mod.__name__}._flows')
    orders = import_module(f'{mod.__name__}._orders')
    order, told = mk_order(mod, 'open', 0.0), Told()
    new = replace(order, order_id='8', updated=2, price=59_000.0)

    class Obeying(Replacing):
        async def edit(self, order: Any, *terms: Any) -> Any:
            await self.cancel(order)
            return orders.Reply(new, [])

    venue = Obeying(order, new, None)
    venue.limits = import_module(f'{mod.__name__}.api').LIMITS
    it = flows.Flows('x.main', venue, Books(), told.emit)
    it.begin('oid')
    await it.on_reply(orders.Reply(order, []))
    assert await told.status() == ('open', 0)
    async with trio.open_nursery() as tn:
        tn.start_soon(it.listen)
        dialog = dialogs.AccountDialog(venue, it, told.emit, tn)
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
    orders = import_module(f'{mod.__name__}._orders')
    flows = import_module(f'{mod.__name__}._flows')
    ours, told = mk_order(mod, 'open', 0.0), Told()
    other = replace(ours, order_id='8', updated=2)
    venue = Replacing(ours, other, None)
    it = flows.Flows('x.main', venue, Books(), told.emit)
    it.begin('oid')
    await it.on_reply(orders.Reply(ours, []))
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
    dialogs = import_module(f'{mod.__name__}._dialog')
    flows = import_module(f'{mod.__name__}._flows')
    old = mk_order(mod, 'canceled', 0.0)
    new = replace(mk_order(mod, 'open', 0.0), order_id='8', updated=2)
    venue, told = Replacing(old, new, None), Told()
    venue.limits = import_module(f'{mod.__name__}.api').LIMITS
    it = flows.Flows('x.main', venue, Books(), told.emit)
    await it.on_order(new)
    async with trio.open_nursery() as tn:
        tn.start_soon(it.listen)
        dialog = dialogs.AccountDialog(venue, it, told.emit, tn)
        dialog.request(mk_request('edit'))
        assert await told.status() == ('open', 0)
        dialog.request(mk_request('cancel'))
        assert await told.status() == ('canceled', 0)
        tn.cancel_scope.cancel()
    assert (venue.canceled, told.is_all) == (['8'], True)
