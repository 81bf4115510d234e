"""
Random orders, edits, cancels and disasters, against what the venue has in its books:
nothing is lost, nothing is doubled.

`TRADING_EXAMPLES=100 pytest tests/test_trading_model.py` looks further.
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest
import tractor
import trio
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from minipiker.accounting._pos import open_account
from minipiker.clearing import Order, OrderClient, TradesStream, open_ems
from minipiker.clearing._messages import BrokerdPosition, Status
from minipiker.clearing.testing import Live, open_live_tree
from minipiker.log import get_logger
from minipiker.service import ServiceDied

log = get_logger('tests')

sides = st.sampled_from(['buy', 'sell'])
# times the market's price. At rest: those to buy at the first two, to sell at the last
prices = st.sampled_from([0.7, 0.8, 1.3, 1.4])
off_tick = 0.0
sizes = st.integers(1, 50)
which = st.integers(0, 2)
operations = st.sampled_from(['place', 'edit', 'cancel'])
topics = st.sampled_from(['orders', 'fills'])
steps = st.one_of(
    st.tuples(st.just('order'), sides, prices, sizes),
    st.tuples(st.just('edit'), which, prices | st.just(off_tick)),
    st.tuples(st.just('cancel'), which),
    st.tuples(st.just('trade'), prices, sizes),
    st.tuples(st.just('drop')),
    st.tuples(st.sampled_from(['lose_reply', 'lose_request']), operations),
    st.tuples(st.just('skip'), topics),
    st.tuples(st.just('kill'), st.sampled_from(['brokerd', 'emsd', 'venue'])),
)


class Session:
    """
    A client that does as it is told, and remembers what it heard.
    """

    def __init__(self, live: Live) -> None:
        self.live = live
        self.sent: dict[str, Order] = {}
        self.shown: dict[str, float] = {}
        """At what price an order is open."""
        self.ended: dict[str, str] = {}
        self.fills: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self.progress = trio.Event()
        self.settled = False

    async def run(self, todo: list[tuple[Any, ...]]) -> None:
        """
        Do all steps, and see that each order is what it is at the venue. Then cancel
        what is left and wait for the end of every order.
        """
        broker = self.live.market.mkt.broker
        while todo or set(self.sent) != set(self.ended):
            try:
                async with (
                    open_ems(broker, 'live') as (client, stream, *_),
                    trio.open_nursery() as tn,
                ):
                    tn.start_soon(self.listen, stream)
                    for oid in self.left():
                        await client.send(self.sent[oid])
                    while todo:
                        await self.do(client, *todo.pop(0))
                    if not self.settled:
                        await self.settle()
                    while left := self.left():
                        for oid in left:
                            await client.cancel(oid)
                        self.progress = trio.Event()
                        with trio.move_on_after(1):
                            await self.progress.wait()
                    tn.cancel_scope.cancel()
            except* (ServiceDied, tractor.RemoteActorError) as died:
                log.info('%s', died)  # and another one will be there

    def left(self) -> list[str]:
        return [oid for oid in self.sent if oid not in self.ended]

    async def settle(self) -> None:
        while not self.settled:
            self.progress = trio.Event()
            there = {
                order.client_id: order.price
                for order in (await self.live.venue.account('simkey')).orders
                if order.state == 'open'
            }
            self.settled = there == {oid: self.shown.get(oid) for oid in self.left()}
            if not self.settled:
                log.info('%s here, %s there', self.shown, there)
                with trio.move_on_after(1):
                    await self.progress.wait()

    async def listen(self, stream: TradesStream) -> None:
        told: set[tuple[str, str]] = set()
        async for msg in stream:
            match msg:
                case Status(resp='fill', oid=oid, brokerd_msg=fill):
                    tid = fill['broker_details']['tid']
                    assert (oid, tid) not in told, 'doubled'
                    told.add((oid, tid))
                    self.fills[oid][tid] = fill['size']
                case Status(resp='closed' | 'canceled' as resp, oid=oid):
                    self.ended[oid] = resp
                    self.progress.set()
                case Status(resp='open', oid=oid, req=Order(price=price)):
                    self.shown[oid] = price
                    self.progress.set()

    async def do(self, client: OrderClient, step: str, *args: Any) -> None:
        venue, market = self.live.venue, self.live.market
        match step, *args:
            case 'order', side, times, steps:
                order = self.live.order(side, times, steps)
                self.sent[order.oid] = order
                await client.send(order)
            case 'edit', index, times:
                if oid := next(iter(self.left()[index:]), None):
                    price = market.price(times or 0.7)
                    if times == off_tick:
                        price += float(market.mkt.price_tick) / 4
                    order = replace(self.sent[oid], price=price)
                    await client.send(order)
                    if times != off_tick:
                        self.sent[oid] = order
            case 'cancel', index:
                if oid := next(iter(self.left()[index:]), None):
                    await client.cancel(oid)
            case 'trade', times, steps:
                await self.live.trade_at(times, steps)
            case 'drop', *_:
                await venue.misbehave('drop')
            case 'skip', topic:
                await venue.misbehave('skip', topic=topic)
            case 'lose_reply' | 'lose_request' as kind, operation:
                await venue.misbehave(kind, operation=operation)
            case 'kill', 'venue':
                await venue.restart()
            case 'kill', name:
                if name == 'brokerd':
                    name = f'{name}.{market.mkt.broker}'
                if service := self.live.services.service_tasks.get(name):
                    with suppress(ProcessLookupError):
                        os.kill(service.process.pid, signal.SIGKILL)
                if name == 'emsd':
                    await trio.sleep_forever()


async def check(todo: list[tuple[Any, ...]], mod: ModuleType) -> None:
    with TemporaryDirectory() as folder:
        async with open_live_tree(Path(folder), mod) as live:
            session = Session(live)
            with trio.fail_after(120):
                await session.run(todo)
            books = await live.venue.account('simkey')
            position = sum(
                fill.amount if fill.side == 'buy' else -fill.amount
                for fill in books.fills
            )
            async with open_ems(mod.name, 'live') as (_, stream, pps, _, dialogs):
                told = sum(
                    pp.size for by_fqme in pps.values() for pp in by_fqme.values()
                )
                # what the last fills come to may be on its way; it is the one market
                with trio.fail_after(60):
                    while told != pytest.approx(position):
                        if isinstance(msg := await stream.receive(), BrokerdPosition):
                            told = msg.size
            await live.services.cancel_service(f'brokerd.{mod.name}')
            async with open_account(mod, live.account) as account:
                entries = [tid for tid, _ in account.ledger.iter_records()]
                accounted = sum(pp.cumsize for pp in account.pps.values())

    # as many orders as were sent, of which each ended as it did at the venue
    assert not dialogs
    states = {order.client_id: order.state for order in books.orders}
    assert len(states) == len(books.orders) <= len(session.sent)
    names = {'filled': 'closed', 'cancelled': 'canceled'}
    for oid, end in session.ended.items():
        assert end == names[states.get(oid, 'cancelled')], session.sent[oid]

    # as many fills, in what was told and in the ledger
    traded: defaultdict[str, Decimal] = defaultdict(Decimal)
    for fill in books.fills:
        traded[fill.client_id] += Decimal(str(fill.amount))
    assert traded == {
        oid: sum(Decimal(str(size)) for size in fills.values())
        for oid, fills in session.fills.items()
    }
    assert len({*entries}) == len(entries) == len(books.fills)

    # and a position that they add up to
    assert accounted == pytest.approx(position)


@pytest.mark.usefixtures('open_simvenue')
@pytest.mark.timeout(0)
@settings(
    max_examples=int(os.environ.get('TRADING_EXAMPLES', '1')),
    # the same one every time, unless one wants to look further
    derandomize='TRADING_EXAMPLES' not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    # an example takes seconds: no shrinking
    phases=[Phase.explicit, Phase.generate],
)
@given(todo=st.lists(steps, min_size=8, max_size=16))
# filled in part while nobody listens, and then canceled by who has not heard of it
@example(
    todo=[
        ('order', 'buy', 0.8, 37),
        ('order', 'buy', 0.7, 20),
        ('kill', 'emsd'),
        ('trade', 0.8, 20),
        ('kill', 'brokerd'),
        ('edit', 1, 0.8),
        ('trade', 0.8, 1),
        ('cancel', 0),
    ]
)
def test_nothing_is_lost_and_nothing_doubled(
    mod: ModuleType,
    todo: list[tuple[Any, ...]],
) -> None:
    trio.run(check, list(todo), mod)
