"""
Random orders, edits, cancels and disasters, against what the venue has in its books:
nothing is lost, nothing is doubled.

`TRADING_EXAMPLES=100 pytest tests/test_trading_model.py` looks further.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from contextlib import suppress
from functools import partial
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
from minipiker.clearing.testing import mk_account, mk_order
from minipiker.log import get_logger
from minipiker.service import ServiceDied, Services
from minipiker.testing import open_test_pikerd
from simvenue.process import SimVenue, open_simvenue

log = get_logger('tests')

sides = st.sampled_from(['buy', 'sell'])
# at rest: those to buy at the first two, to sell at the last two; the market is between
prices = st.sampled_from([40_000.0, 45_000.0, 90_000.0, 95_000.0])
off_tick = 40_000.01
sizes = st.integers(1, 50).map(lambda steps: steps / 1000)
which = st.integers(0, 2)
methods = st.sampled_from(
    ['private/buy', 'private/sell', 'private/edit', 'private/cancel']
)
steps = st.one_of(
    st.tuples(st.just('order'), sides, prices, sizes),
    st.tuples(st.just('edit'), which, prices | st.just(off_tick)),
    st.tuples(st.just('cancel'), which),
    st.tuples(st.just('trade'), prices, sizes),
    st.tuples(st.just('drop')),
    st.tuples(st.just('lose_reply'), methods),
    st.tuples(st.just('kill'), st.sampled_from(['brokerd', 'emsd', 'venue'])),
)


class Session:
    """
    A client that does as it is told, and remembers what it heard.
    """

    def __init__(self, venue: SimVenue, services: type[Services], broker: str) -> None:
        self.venue = venue
        self.services = services
        self.broker = broker
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
        while todo or set(self.sent) != set(self.ended):
            try:
                async with (
                    open_ems(self.broker, 'live') as (client, stream, *_),
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
            books = await self.venue.call('sim/account', account='simkey')
            there = {
                order['label']: order['price']
                for order in books['orders']
                if order['order_state'] == 'open'
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
        match step, *args:
            case 'order', side, price, size:
                fqme, account = f'btcusdt.spot.{self.broker}', f'{self.broker}.main'
                order = mk_order(fqme, side, price, size, account)
                self.sent[order.oid] = order
                await client.send(order)
            case 'edit', index, price:
                if oid := next(iter(self.left()[index:]), None):
                    order = replace(self.sent[oid], price=price)
                    await client.send(order)
                    if price != off_tick:
                        self.sent[oid] = order
            case 'cancel', index:
                if oid := next(iter(self.left()[index:]), None):
                    await client.cancel(oid)
            case 'trade', price, amount:
                await self.venue.call(
                    'sim/trade', instrument_name='BTC-USDT', price=price, amount=amount
                )
            case 'drop', *_:
                await self.venue.fault('drop')
            case 'lose_reply', method:
                await self.venue.fault('lose_reply', method=method)
            case 'kill', 'venue':
                await self.venue.restart()
            case 'kill', name:
                name = f'{name}.{self.broker}' if name == 'brokerd' else name
                if service := self.services.service_tasks.get(name):
                    with suppress(ProcessLookupError):
                        os.kill(service.process.pid, signal.SIGKILL)
                if name == 'emsd':
                    await trio.sleep_forever()


async def check(todo: list[tuple[Any, ...]], mod: ModuleType, broker: str) -> None:
    with TemporaryDirectory() as folder:
        async with (
            open_simvenue(rate=0) as venue,
            open_test_pikerd(Path(folder), url=venue.url, **mk_account()) as it,
        ):
            session = Session(venue, it, broker)
            with trio.fail_after(120):
                await session.run(todo)
            books = await venue.call('sim/account', account='simkey')
            position = sum(
                trade['amount'] if trade['direction'] == 'buy' else -trade['amount']
                for trade in books['trades']
            )
            async with open_ems(broker, 'live') as (_, stream, positions, _, dialogs):
                told = sum(pp.size for pps in positions.values() for pp in pps.values())
                # what the last fills come to may be on its way; it is the one market
                with trio.fail_after(60):
                    while told != pytest.approx(position):
                        if isinstance(msg := await stream.receive(), BrokerdPosition):
                            told = msg.size
            await it.cancel_service(f'brokerd.{broker}')
            async with open_account(mod, f'{broker}.main') as account:
                entries = [record for _, record in account.ledger.iter_records()]
                accounted = sum(pp.cumsize for pp in account.pps.values())

    # as many orders as were sent, of which each ended as it did at the venue
    assert not dialogs
    states = {order['label']: order['order_state'] for order in books['orders']}
    assert len(states) == len(books['orders']) <= len(session.sent)
    names = {'filled': 'closed', 'cancelled': 'canceled'}
    for oid, end in session.ended.items():
        assert end == names[states.get(oid, 'cancelled')], session.sent[oid]

    # as many fills, in what was told and in the ledger
    traded: Counter[str] = Counter()
    for trade in books['trades']:
        traded[trade['label']] += round(1000 * trade['amount'])
    assert traded == {
        oid: sum(round(1000 * size) for size in fills.values())
        for oid, fills in session.fills.items()
    }
    seqs = [entry['user_seq'] for entry in entries]
    assert seqs == list(range(1, len(books['trades']) + 1))

    # and a position that they add up to
    assert accounted == pytest.approx(position)


@pytest.mark.disturbs_venue
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
        ('order', 'buy', 45_000.0, 0.037),
        ('order', 'buy', 40_000.0, 0.02),
        ('kill', 'emsd'),
        ('trade', 45_000.0, 0.02),
        ('kill', 'brokerd'),
        ('edit', 1, 45_000.0),
        ('trade', 45_000.0, 0.001),
        ('cancel', 0),
    ]
)
def test_nothing_is_lost_and_nothing_doubled(
    mod: ModuleType,
    broker: str,
    todo: list[tuple[Any, ...]],
) -> None:
    trio.run(partial(check, list(todo), mod, broker))
