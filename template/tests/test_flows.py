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
    fills = [
        orders.VenueFill(
            **TERMS,
            fill_id=f'{number}',
            client_id='',
            size=0.5,
            fee=0.0,
            time=1000.0 + number,
            record={},
        )
        for number in range(2 * flows._max_kept)
    ]
    venue = Venue(None, fills[-1])
    it = flows.Flows('x.main', venue, Books(), lambda msg: None)
    await it._on_fills(fills)
    with trio.fail_after(10):
        async with trio.open_nursery() as tn:
            tn.start_soon(it.watch)
            while len(it._booked) > 2 * flows._overlap:
                await trio.lowlevel.checkpoint()
            tn.cancel_scope.cancel()
    assert fills[-1].fill_id in it._booked, 'the venue may tell of it again'


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
        terms: Any = {'symbol': 'btcusdt', 'price': 59_000.0, 'size': 0.5}
        terms |= {'action': 'buy', 'time_ns': 0, 'account': 'x.main', 'reqid': 'oid'}
        dialog.request(to_builtins(BrokerdOrder(oid='oid', **terms)))
    *_, last = (msg for msg in told if isinstance(msg, BrokerdStatus))
    assert last.status == 'canceled'
    assert 'that id has been used' in last.reason


class Replacing(Venue):
    """
    It has put another order in the place of one, while nobody listened.
    """

    traits = SimpleNamespace(edit='replace')

    def __init__(self, old: Any, new: Any, fill: Any) -> None:
        super().__init__(new, fill)
        self.found = [old, new]

    async def find_orders(self, client_id: str, mkt: MktPair | None) -> list[Any]:
        return self.found

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
