"""
Random orders, edits, cancels, faults and disasters, against what the venue has in its
books: no order, fill or trade is lost or doubled, and nothing that is told contradicts
what was told before. The venue is one of many kinds, see `TRAITS`.

`TRADING_EXAMPLES=100 pytest tests/test_trading_model.py` looks further.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import tractor
import trio
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from minipiker.accounting._pos import open_account
from minipiker.clearing import Order, OrderClient, TradesStream, open_ems
from minipiker.clearing._messages import BrokerdPosition, Error, Status
from minipiker.clearing.testing import Live, open_live_tree
from minipiker.data.feed import iter_ticks, open_feed
from minipiker.log import get_logger
from minipiker.service import ServiceDied
from minipiker.testing import run_async
from simvenue.faults import CONNECTION, MESSAGE, REQUEST, STREAM
from simvenue.process import SimVenueError
from simvenue.reports import OrderInfo, TradeInfo

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = get_logger('tests')

sides = st.sampled_from(['buy', 'sell'])
# times the market's price. At rest: those to buy at the first two, to sell at the last
prices = st.sampled_from([0.7, 0.8, 1.3, 1.4])
off_tick = 0.0
sizes = st.integers(1, 50)
which = st.integers(0, 2)
operations = st.sampled_from(
    ['place', 'edit', 'cancel', 'subscribe', 'time', 'trades', 'open_orders', 'fills']
)
topics = st.sampled_from(['orders', 'fills', 'trades', 'quote'])
asked = st.tuples(st.tuples(st.just('operation'), operations))
told = st.tuples(st.tuples(st.just('topic'), topics))
counts = st.integers(1, 2)
faults = st.one_of(
    [
        st.tuples(st.just('fault'), st.sampled_from(kinds), where, counts)
        for kinds, where in (
            (CONNECTION, st.just(())),
            (REQUEST, asked),
            (STREAM, told),
            (MESSAGE, asked | told),
        )
    ]
)
steps = st.one_of(
    st.tuples(st.just('order'), sides, prices, sizes),
    st.tuples(st.just('edit'), which, prices | st.just(off_tick)),
    st.tuples(st.just('cancel'), which),
    st.tuples(st.just('trade'), prices, sizes),
    faults,
    st.tuples(st.just('kill'), st.sampled_from(['brokerd', 'datad', 'emsd', 'venue'])),
    st.tuples(st.sampled_from(['list', 'delist'])),
)


def is_varied(todo: list[tuple[Any, ...]]) -> bool:
    """
    Whether there is something in it that could go wrong. The first that is drawn is the
    simplest there is, which would be nothing but orders.
    """
    return {'order', 'edit', 'kill'} <= {step for step, *_ in todo}


def loses_trades(step: tuple[Any, ...]) -> bool:
    """
    Whether trades may be lost by it that have no numbers, and nobody notices.
    """
    match step:
        case ('kill', 'datad') | ('delist',) | (_, 'silent', *_):
            return True
        case (_, _, (('topic', 'trades'),), _):
            return True
    return False


def ended_with_market(it: OrderInfo) -> bool:
    """
    Whether all that became of it is that: who has not heard of it asks for it anew.
    """
    return it.reason == 'market_closed' and not it.filled


todos = st.lists(steps, min_size=8, max_size=16).filter(is_varied)
# how a venue may differ from what it is by its documentation, whichever it is
differing = st.fixed_dictionaries(
    {
        'edit': st.sampled_from(['replace', 'in_place']),
        'client_ids': st.sampled_from(['open', 'ever', 'never']),
    },
    optional={
        'fills': st.just('stream'),
        'positions': st.just('fills'),
        'trade_numbers': st.just('none'),
    },
)
_seconds: dict[str, float] = {'slow_reads': 0.01, 'delay': 0.5}
"""What a fault lasts, where it is not 1."""
_lost = (ServiceDied, ConnectionError, tractor.RemoteActorError)


class Session:
    """
    A client that does as it is told, and remembers what it heard.
    """

    def __init__(self, live: Live, traits: dict[str, Any]) -> None:
        self.live = live
        self.numbered = traits['trade_numbers'] == 'contiguous'
        self.sent: dict[str, Order] = {}
        self.shown: dict[str, float] = {}
        """At what price an order is open."""
        self.ended: dict[str, str] = {}
        self.refused: set[str] = set()
        """Of which something was, the order itself or a change of it."""
        self.fills: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self.printed: list[TradeInfo] = []
        """Trades of others than the account."""
        self.told: Counter[tuple[float, float]] = Counter()
        """Prices and sizes of trades that were told."""
        self.trades: dict[int, tuple[float, float]] = {}
        """The same by their numbers, where they have any."""
        self.newest = 0
        """The number of the last one..."""
        self.is_listed = True
        self.was_delisted = False
        self.untold: set[int] = set()
        """... and those up to it of which it was told that they are missing."""
        self.progress = trio.Event()
        self.settled = False

    async def run(self, todo: list[tuple[Any, ...]]) -> None:
        """
        Do all steps, and see that each order is what it is at the venue. Then cancel
        what is left and wait for the end of every order, and for the last trade.
        """
        async with trio.open_nursery() as watchers:
            await watchers.start(self.watch)
            while todo or set(self.sent) != set(self.ended):
                try:
                    await self.trade(todo)
                except* _lost as died:
                    log.info('%s', died)  # and another one will be there
            await self.hear_out()
            watchers.cancel_scope.cancel()

    async def trade(self, todo: list[tuple[Any, ...]]) -> None:
        broker = self.live.market.mkt.broker
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
                await self.live.venue.behave()
                await self.list_market()
                await self.settle()
            while self.left():
                placed = await self.placed()
                for oid in self.left():
                    if oid in self.refused and oid not in placed:
                        self.ended[oid] = 'refused'
                    else:
                        await client.cancel(oid)
                await self.wait()
            tn.cancel_scope.cancel()

    async def hear_out(self) -> None:
        """
        Wait for a trade that is made now, and so for all before it.
        """
        last = await self.print_trade(1)
        while (
            self.newest < last.seq
            if self.numbered
            else not self.told[last.price, last.amount]
        ):
            await self.wait()
            if not self.numbered:  # it may have been when there was no feed
                await self.print_trade(1)

    async def print_trade(self, times: float, steps: int = 10_000) -> TradeInfo:
        """
        What steps do not print, unless they say so, is of another price than theirs.
        """
        trade = await self.live.trade_at(times, steps)
        self.printed.append(trade)
        return trade

    async def list_market(self) -> None:
        await self.live.venue.list_market(self.live.market.name)
        self.is_listed = True

    async def wait(self) -> None:
        self.progress = trio.Event()
        with trio.move_on_after(1):
            await self.progress.wait()

    def left(self) -> list[str]:
        return [oid for oid in self.sent if oid not in self.ended]

    async def placed(self) -> dict[str, OrderInfo]:
        """
        What the venue ever had.
        """
        orders = (await self.live.venue.account('simkey')).orders
        return {it.client_id: it for it in orders if not ended_with_market(it)}

    async def settle(self) -> None:
        while not self.settled:
            placed = await self.placed()
            there = {oid: it.price for oid, it in placed.items() if it.state == 'open'}
            here = {
                oid: self.shown.get(oid)
                for oid in self.left()
                if oid in placed or oid not in self.refused
            }
            self.settled = there == here
            if not self.settled:
                log.info('%s here, %s there', here, there)
                await self.wait()

    async def watch(self, task_status: TaskStatus[None]) -> None:
        """
        Follow the market's trades. A feed ends only where its market does, by an error.
        """
        is_first = True
        while True:
            try:
                async with open_feed([self.live.market.fqme]) as feed:
                    (first,) = feed.quotes.values()
                    newest = first['trade_id'] if self.numbered else 0
                    if is_first:
                        task_status.started()
                    else:
                        self.untold |= {*range(self.newest + 1, newest + 1)}
                    is_first, self.newest = False, newest
                    async for quotes in feed:
                        for tick in iter_ticks(*quotes.values()):
                            if tick['type'] == 'trade':
                                self.take(tick)
            except* tractor.RemoteActorError:
                if not self.was_delisted:
                    raise
                await trio.sleep(0.1)

    def take(self, tick: dict[str, Any]) -> None:
        self.told[tick['price'], tick['size']] += 1
        self.progress.set()
        if not self.numbered:
            return
        number, missed = tick['trade_id'], tick.get('missed', 0)
        assert number == self.newest + 1 + missed, f'{number} after {self.newest}'
        self.untold |= {*range(self.newest + 1, number)}
        self.trades[number] = tick['price'], tick['size']
        self.newest = number

    async def listen(self, stream: TradesStream) -> None:
        told: set[tuple[str, str]] = set()
        async for msg in stream:
            match msg:
                case Error(oid=oid):
                    self.refused.add(oid)
                case Status(resp='fill' | 'open', oid=oid) if oid in self.ended:
                    raise AssertionError(f'{self.ended[oid]}, and then {msg}')
                case Status(resp='fill', oid=oid, brokerd_msg=fill):
                    tid = fill['broker_details']['tid']
                    assert (oid, tid) not in told, 'doubled'
                    told.add((oid, tid))
                    self.fills[oid][tid] = fill['size']
                case Status(resp='closed' | 'canceled' as resp, oid=oid):
                    assert self.ended.setdefault(oid, resp) == resp
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
            case 'trade', times, steps if self.is_listed:
                await self.print_trade(times, steps)
            case 'fault', 'stale_nonce', _, count:
                with suppress(SimVenueError):  # there may be no nonces
                    await venue.misbehave('stale_nonce', count=count)
            case 'fault', kind, where, count:
                seconds = _seconds.get(kind, 1)
                await venue.misbehave(kind, count=count, seconds=seconds, **dict(where))
            case 'delist', *_:
                self.is_listed, self.was_delisted = False, True
                with suppress(SimVenueError):  # it is already
                    await venue.delist(market.name)
            case 'list', *_:
                await self.list_market()
            case 'kill', 'venue':
                await venue.restart()
            case 'kill', name:
                if name in ('brokerd', 'datad'):
                    name = f'{name}.{market.mkt.broker}'
                if service := self.live.services.service_tasks.get(name):
                    with suppress(ProcessLookupError):
                        os.kill(service.process.pid, signal.SIGKILL)
                if name == 'emsd':
                    await trio.sleep_forever()


async def check(
    differing: dict[str, str], todo: list[tuple[Any, ...]], mod: ModuleType
) -> None:
    is_lossy = any(map(loses_trades, todo))
    with TemporaryDirectory() as folder:
        async with open_live_tree(Path(folder), mod, **differing) as live:
            session = Session(live, (await live.venue.state()).traits)
            with trio.fail_after(300):
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
    orders = [it for it in books.orders if not ended_with_market(it)]
    states = {it.client_id: it.state for it in orders}
    placed = Counter(it.client_id for it in orders if it.reason != 'replaced')
    assert max(placed.values(), default=0) <= 1
    assert len(states) <= len(session.sent)
    names = {'filled': 'closed', 'cancelled': 'canceled'}
    for oid, end in session.ended.items():
        if end == 'refused':
            assert oid not in states, session.sent[oid]
        else:
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

    # and trades, of which there were no others
    made = {it.seq: (it.price, it.amount) for it in session.printed}
    made |= {it.trade_seq: (it.price, it.amount) for it in books.fills}
    if session.numbered:
        heard = made.keys() - session.untold
        assert session.trades == {number: made[number] for number in heard}
    untold = Counter(made.values())
    untold.subtract(session.told)
    # at the end one was made again and again, until it was told
    assert min(untold.values()) >= 0
    assert is_lossy or len(+untold) <= 1

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
@given(differing=differing, todo=todos)
# filled in part while nobody listens, and then canceled by who has not heard of it
@example(
    differing={'edit': 'replace'},
    todo=[
        ('order', 'buy', 0.8, 37),
        ('order', 'buy', 0.7, 20),
        ('kill', 'emsd'),
        ('trade', 0.8, 20),
        ('kill', 'brokerd'),
        ('edit', 1, 0.8),
        ('trade', 0.8, 1),
        ('cancel', 0),
    ],
)
def test_nothing_is_lost_and_nothing_doubled(
    mod: ModuleType,
    differing: dict[str, str],
    todo: list[tuple[Any, ...]],
) -> None:
    run_async(check, differing, list(todo), mod)
