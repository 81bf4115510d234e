"""
What is made of an order's story, in whichever order it is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace
from order_stubs import (
    Books,
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
from minipiker.brokers import SymbolNotFound
from minipiker.clearing._messages import BrokerdError, BrokerdFill, BrokerdStatus


async def test_a_fill_that_is_booked_before_its_order_is_known(mod: ModuleType) -> None:
    order = mk_order(mod, 'filled', 0.5)
    fill = mk_fill(mod)
    told: list[Any] = []
    books = Books()
    it = mk_flows(mod, Venue(order, fill), told.append, books)
    it.begin('oid')
    # while its reply is under way
    await it.reconcile()
    assert books.records
    assert not [msg for msg in told if isinstance(msg, BrokerdFill)]
    await it.on_reply(mk_reply(mod, order, fill))
    await it.reconcile()
    *_, last = (msg for msg in told if isinstance(msg, BrokerdStatus))
    assert (last.reqid, last.status, last.filled) == ('oid', 'closed', 0.5)
    assert [msg.size for msg in told if isinstance(msg, BrokerdFill)] == [0.5]
    assert it.get('oid') is None


class Bank(Venue):
    """
    Its ledger has deposits as well.
    """

    def read_record(self, record: Any) -> Any:
        return None if 'deposit' in record else self.fill


async def test_what_is_no_trade_in_the_ledger_is_passed_over(mod: ModuleType) -> None:
    books = Books()
    fill = mk_fill(mod)
    for tid in ('1', '2', '3'):
        books.add(tid, {} if tid == '2' else {'deposit': 7})
    it = mk_flows(mod, Bank(None, fill), lambda msg: None, books)
    assert it.fills._booked == {fill.fill_id: fill.time}
    assert it.fills.find_past(mk_order(mod, 'filled', 0.5), {}) == [fill]


async def test_fills_are_not_remembered_for_ever(mod: ModuleType) -> None:
    """
    Not even where every order is filled at once, so that none is open when it is time
    to ask how they stand.
    """
    limits = import_module(f'{mod.__name__}._fills')
    made = [
        mk_fill(mod, fill_id=f'{number}', time=1000.0 + number)
        for number in range(2 * limits._max_booked)
    ]
    venue = Venue(None, made[-1])
    it = mk_flows(mod, venue, lambda msg: None)
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

    async def edit(self, order: Any, *terms: Any) -> Any:
        self.order = replace(order, state='canceled', updated=2)
        errors = import_module(f'{type(order).__module__.rpartition(".")[0]}._errors')
        raise errors.OrderRejected('that id has been used', 1)

    async def fills_since(
        self, since: float, markets: Collection[str]
    ) -> AsyncIterator[list[Any]]:
        yield []


async def test_an_order_that_its_change_ends_says_why(mod: ModuleType) -> None:
    told: list[Any] = []
    venue = Refusing(None, None)
    it = mk_flows(mod, venue, told.append)
    it.begin('oid')
    await it.on_reply(mk_reply(mod, mk_order(mod, 'open', 0.0)))
    async with trio.open_nursery() as tn:
        dialog = mk_dialog(mod, it, tn)
        dialog.request(mk_request('edit'))
    *_, last = (msg for msg in told if isinstance(msg, BrokerdStatus))
    assert last.status == 'canceled'
    assert 'that id has been used' in last.reason


@pytest.mark.parametrize('is_there', [True, False])
@pytest.mark.parametrize(('time_ns', 'sent'), [(0, []), (2**62, ['oid'])])
async def test_an_order_that_a_predecessor_has_sent_is_not_placed_twice(
    mod: ModuleType, is_there: bool, time_ns: int, sent: list[str]
) -> None:
    """
    It died, and the venue carries the request out when the next one has looked already.
    The host knows how old the order is, or else this daemon, where only its dialog has
    ended.
    """
    order, told = mk_order(mod, 'open', 0.0), Told()
    placed: list[float] = []
    end = trio.current_time() + Venue.limits.valid_for

    class Slow(Refusing):
        async def find_orders(self, client_id: str, mkt: MktPair | None) -> list[Any]:
            return [order] if is_there and trio.current_time() > end else []

        async def find_order(self, order_id: str) -> Any:
            return None

        async def place(self, *terms: Any) -> Any:
            placed.append(trio.current_time())
            return mk_reply(mod, order)

    venue: Any = Slow(None, None)
    venue.traits = SimpleNamespace(edit='in_place', client_ids='never', deadline=True)
    it = mk_flows(mod, venue, told.emit)
    async with trio.open_nursery() as tn:
        dialog = mk_dialog(mod, it, tn, dict.fromkeys(sent))
        dialog.request(mk_request('place') | {'time_ns': time_ns})
        assert await told.status() == ('open', 0)
    assert [it > end for it in placed] == ([] if is_there else [True])


@pytest.mark.parametrize('is_booked', [True, False])
async def test_an_order_that_was_filled_unheard_is_not_placed_twice(
    mod: ModuleType, is_booked: bool
) -> None:
    """
    The host died before it was told, and sends the order again as if it were new.
    """
    order, told, books = mk_order(mod, 'filled', 0.5), Told(), Books()
    venue = Venue(order, mk_fill(mod, client_id='oid'))
    it = mk_flows(mod, venue, told.emit, books)
    await it.reconcile()
    if is_booked:  # by a daemon of before
        it = mk_flows(mod, venue, told.emit, books)
    async with trio.open_nursery() as tn:
        dialog = mk_dialog(mod, it, tn)
        dialog.request(mk_request('place') | {'time_ns': 2**62})
        assert await told.status() == ('closed', 0.5)


@pytest.mark.parametrize('refusal', ['OrderRejected', 'Throttled', 'NotConnected'])
async def test_an_order_that_was_refused_may_be_asked_for_again(
    mod: ModuleType, refusal: str
) -> None:
    """
    Though nobody can tell of one that was sent and is not there if it will be.
    """
    error = getattr(import_module(f'{mod.__name__}._errors'), refusal)
    reasons: list[str] = []
    told = Told()

    def emit(msg: Any) -> None:
        told.emit(msg)
        if isinstance(msg, BrokerdError):
            reasons.append(msg.reason)

    class Moody(Venue):
        is_willing = False

        async def find_orders(self, client_id: str, mkt: MktPair | None) -> list[Any]:
            return []

        async def find_order(self, order_id: str) -> Any:
            return None

        async def place(self, *terms: Any) -> Any:
            if not self.is_willing:
                raise error('not now', 1)
            return mk_reply(mod, mk_order(mod, 'open', 0.0))

    venue: Any = Moody(None, None)
    venue.traits = SimpleNamespace(edit='in_place', client_ids='open', deadline=False)
    sent: dict[str, None] = {}
    for venue.is_willing in (False, True):
        it = mk_flows(mod, venue, emit)
        async with trio.open_nursery() as tn:
            dialog = mk_dialog(mod, it, tn, sent)
            dialog.request(mk_request('place') | {'time_ns': 2**62})
    assert (len(reasons), await told.status()) == (1, ('open', 0))
    # now there is one, as far as anybody knows
    it = mk_flows(mod, venue, emit)
    async with trio.open_nursery() as tn:
        dialog = mk_dialog(mod, it, tn, sent)
        dialog.request(mk_request('place') | {'time_ns': 2**62})
    assert 'is not placed again' in reasons[-1]
    assert told.is_all


async def test_which_orders_were_sent_is_not_remembered_for_ever(
    mod: ModuleType,
) -> None:
    class Obeying(Refusing):
        async def place(self, *terms: Any) -> Any:
            return mk_reply(mod, mk_order(mod, 'open', 0.0))

    most = import_module(f'{mod.__name__}._dialog')._max_sent
    sent = dict.fromkeys(map(str, range(most)))
    it = mk_flows(mod, Obeying(None, None), lambda msg: None)
    async with trio.open_nursery() as tn:
        dialog = mk_dialog(mod, it, tn, sent)
        dialog.request(mk_request('place') | {'time_ns': 2**62})
    assert [*sent] == [*map(str, range(1, most)), 'oid']


@pytest.mark.parametrize('is_there', [True, False])
async def test_an_order_whose_market_has_gone_has_its_end_told(
    mod: ModuleType, is_there: bool
) -> None:
    """
    A predecessor placed it, and the host sends it again: that it is refused for its
    market would say that it never was.
    """
    order, told = mk_order(mod, 'canceled', 0.0), Told()
    errors: list[str] = []

    def emit(msg: Any) -> None:
        told.emit(msg)
        if isinstance(msg, BrokerdError):
            errors.append(msg.reason)

    class Closed(Venue):
        async def market(self, name: str) -> MktPair:
            raise SymbolNotFound('no such market')

        async def find_order(self, order_id: str) -> Any:
            return None

        async def find_orders(self, client_id: str, mkt: MktPair | None) -> list[Any]:
            return [order] if is_there else []

    venue: Any = Closed(None, None)
    venue.traits = SimpleNamespace(edit='in_place', client_ids='ever', deadline=True)
    it = mk_flows(mod, venue, emit)
    async with trio.open_nursery() as tn:
        dialog = mk_dialog(mod, it, tn)
        dialog.request(mk_request('place'))
    if is_there:
        assert await told.status() == ('canceled', 0)
    assert (errors, told.is_all) == ([] if is_there else ['no such market'], True)


@pytest.mark.parametrize('request_for', ['edit', 'cancel'])
async def test_what_is_asked_of_an_order_that_is_over_comes_to_nothing(
    mod: ModuleType, request_for: str
) -> None:
    """
    The host had not heard of the end when it sent that.
    """
    order, told = mk_order(mod, 'filled', 0.5), Told()
    fill = mk_fill(mod, client_id='oid')

    class Obeying(Venue):
        placed = 0

        async def place(self, *terms: Any) -> Any:
            self.placed += 1
            return mk_reply(mod, self.order)

    venue = Obeying(order, fill)
    it = mk_flows(mod, venue, told.emit)
    it.begin('oid')
    await it.on_reply(mk_reply(mod, order, fill))
    assert await told.status() == ('closed', 0.5)
    async with trio.open_nursery() as tn:
        dialog = mk_dialog(mod, it, tn)
        dialog.request(mk_request(request_for))
        await trio.testing.wait_all_tasks_blocked()
        assert it.get('oid') is None
    assert (venue.placed, it._reqids, told.is_all) == (0, {}, True)
