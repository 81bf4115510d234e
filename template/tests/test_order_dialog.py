"""
The protocol of `open_trade_dialog()`, as a host sees it, and what becomes of orders at
venues that differ.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from decimal import Decimal
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import trio
import trio.testing
from msgspec import convert, to_builtins
from tractor import MsgStream

from minipiker.clearing import Order, open_brokerd_dialog
from minipiker.clearing._messages import BrokerdCancel, BrokerdOrder
from minipiker.clearing.testing import Live, OpenLive
from simvenue.operations import Operation, Topic


class SlowHost:
    """
    Takes a message when it is told to.
    """

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.room = trio.Semaphore(0)

    async def send(self, msg: Any) -> None:
        await self.room.acquire()
        self.heard.append(msg)


async def test_nothing_that_the_host_hears_overtakes(mod: ModuleType) -> None:
    outbox = import_module(f'{mod.__name__}._dialog').Outbox()
    host = SlowHost()
    async with trio.open_nursery() as tn:
        tn.start_soon(outbox.keep_flushed, host)
        outbox.post(1)
        await trio.testing.wait_all_tasks_blocked()
        outbox.post(2)
        # somebody is at it already, and sends that as well
        await outbox.flush(host)
        assert host.heard == []
        for _ in range(3):
            host.room.release()
        await trio.testing.wait_all_tasks_blocked()
        outbox.post(3)
        # nobody is: it is sent by the time that this returns
        await outbox.flush(host)
        assert host.heard == [1, 2, 3]
        tn.cancel_scope.cancel()


class Dialog:
    """
    The host's end of an order dialog.
    """

    def __init__(self, live: Live, stream: MsgStream) -> None:
        self.live = live
        self.stream = stream
        self._unread: defaultdict[str, deque[dict[str, Any]]] = defaultdict(deque)
        """What was told of each order while another was waited for."""

    async def next_msg(self, oid: str) -> dict[str, Any]:
        """
        The next message about an order.
        """
        unread = self._unread[oid]
        while not unread:
            msg = await self.stream.receive()
            if msg['name'] != 'position':
                self._unread[msg['reqid']].append(msg)
        return unread.popleft()

    async def send(
        self,
        action: str,
        times: float,
        steps: int = 100,
        **fields: Any,
    ) -> str:
        """
        Request an order, or a change of the order `oid`; returns the oid once that is
        acknowledged.
        """
        order = self.live.order(action, times, steps)
        msg = BrokerdOrder(
            oid=fields.get('oid', order.oid),
            account=fields.get('account', order.account),
            time_ns=time.time_ns(),
            symbol=fields.get('symbol', self.live.market.mkt.bs_fqme),
            price=fields.get('price', order.price),
            size=fields.get('size', order.size),
            action='buy' if action == 'buy' else 'sell',
            reqid=fields.get('reqid', fields.get('oid')),
        )
        await self.stream.send(msg)
        ack = await self.receive(msg.oid, 'ack')
        assert (ack['oid'], ack['account']) == (msg.oid, msg.account)
        return msg.oid

    async def cancel(self, oid: str, reqid: str | None = None) -> None:
        account = self.live.account
        await self.stream.send(BrokerdCancel(oid, time.time_ns(), account, reqid=reqid))

    async def receive(self, oid: str, name: str) -> dict[str, Any]:
        """
        The next message of that name about an order.
        """
        while (msg := await self.next_msg(oid))['name'] != name:
            pass
        return msg

    async def until(self, oid: str, status: str) -> list[dict[str, Any]]:
        """
        All messages about an order up to the next status of that name, before which it
        does not end.
        """
        msgs = [await self.next_msg(oid)]
        while (now := msgs[-1].get('status')) != status:
            is_end = now in ('closed', 'canceled') or msgs[-1]['name'] == 'error'
            assert not is_end, msgs[-1]
            msgs.append(await self.next_msg(oid))
        return msgs


@acm
async def open_dialog(live: Live, mod: ModuleType) -> AsyncIterator[Dialog]:
    async with open_brokerd_dialog(mod, exec_mode='live') as (stream, _, names):
        assert names == [live.account]
        # with no feed ever opened
        assert set(live.services.service_tasks) == {f'brokerd.{mod.name}'}
        yield Dialog(live, stream)


@pytest.mark.case('RULE-WARM', 'RULE-ACK')
async def test_an_order_that_rests(open_live: OpenLive, mod: ModuleType) -> None:
    """
    It is changed, filled in part, and canceled.
    """
    async with open_live() as live, open_dialog(live, mod) as dialog:
        # that its market cannot be looked up at once is no reason to refuse it
        await live.venue.misbehave(
            'rate_limit', operation='instruments', count=5, seconds=0.01
        )
        oid = await dialog.send('buy', 0.7, 200)
        *_, status = await dialog.until(oid, 'open')
        assert status['remaining'] == live.market.size(200)
        await dialog.send('buy', 0.71, 300, oid=oid)
        *_, status = await dialog.until(oid, 'open')
        assert status['remaining'] == live.market.size(300)

        # a refused change leaves it open, and says so: piker would not cancel it else
        off_tick = live.market.price(0.71) + float(live.market.mkt.price_tick) / 4
        await dialog.send('buy', 0.71, 300, oid=oid, price=off_tick)
        await dialog.receive(oid, 'error')
        *_, status = await dialog.until(oid, 'open')
        assert status['remaining'] == live.market.size(300)

        await live.trade_at(0.71, 100)
        fill = await dialog.receive(oid, 'fill')
        assert fill['price'] == live.market.price(0.71)
        assert fill['size'] == live.market.size(100)
        assert abs(fill['broker_time'] - time.time()) < 60
        await dialog.cancel(oid, reqid=oid)
        *_, status = await dialog.until(oid, 'canceled')
        assert status['filled'] == live.market.size(100)
        assert status['remaining'] == live.market.size(200)


async def test_an_order_at_the_market(open_live: OpenLive, mod: ModuleType) -> None:
    async with open_live() as live, open_dialog(live, mod) as dialog:
        oid = await dialog.send('sell', 0.5)
        msgs = await dialog.until(oid, 'closed')
        fills = [msg for msg in msgs if msg['name'] == 'fill']
        assert {fill['action'] for fill in fills} == {'sell'}
        assert sum(Decimal(str(fill['size'])) for fill in fills) == Decimal(
            str(live.market.size(100))
        )
        assert msgs[-1]['filled'] == live.market.size(100)


async def test_bad_requests_are_answered(open_live: OpenLive, mod: ModuleType) -> None:
    async with open_live() as live, open_dialog(live, mod) as dialog:
        mkt, market = live.market.mkt, live.market
        tick = float(mkt.size_tick)
        bad: dict[str, dict[str, Any]] = {
            'no account': {'account': f'{mod.name}.other'},
            'no market': {'symbol': 'nosuch.market'},
            f'multiple of {mkt.size_tick:f}': {'size': market.size(1) + tick / 2},
            'multiple of': {'price': market.price(0.7) + float(mkt.price_tick) / 4},
            'price inf': {'price': float('inf')},
            'size nan': {'size': float('nan')},
            'price 0': {'price': 0.0},
            '': {'size': market.size(10**15)},
        }
        for reason, fields in bad.items():
            oid = await dialog.send('buy', 0.7, **fields)
            error = await dialog.receive(oid, 'error')
            assert error['oid'] == oid
            assert reason in error['reason']

        # a size off its step is refused with the nearest two that are not
        oid = await dialog.send('buy', 0.7, size=market.size(2) + tick / 4)
        reason = (await dialog.receive(oid, 'error'))['reason']
        for steps in (0, 1):
            near = Decimal(str(market.size(2))) + steps * mkt.size_tick
            assert f'{near.normalize():f}' in reason


async def test_requests_about_nothing(open_live: OpenLive, mod: ModuleType) -> None:
    async with open_live() as live, open_dialog(live, mod) as dialog:
        await dialog.cancel('none')
        error = await dialog.receive('none', 'error')
        assert error['broker_details']['flow']['oid'] == 'none'
        await dialog.send('buy', 0.7, oid='none')
        error = await dialog.receive('none', 'error')
        assert "'none'" in error['reason']

        neither = to_builtins(
            BrokerdOrder(
                'bad', live.account, time.time_ns(), live.market.mkt.bs_fqme, 1, 1, ''
            )
        )
        for fields in ({}, {'action': 'steal'}, {'price': 'high'}, {'size': None}):
            await dialog.stream.send({**neither, **fields})
            assert (await dialog.next_msg('bad'))['name'] == 'ack'
            assert (await dialog.next_msg('bad'))['name'] == 'error'


async def test_what_comes_too_soon(open_live: OpenLive, mod: ModuleType) -> None:
    async with open_live() as live, open_dialog(live, mod) as dialog:
        await live.venue.misbehave('rate_limit', operation='place')
        oid = await dialog.send('buy', 0.7)
        assert (await dialog.receive(oid, 'error'))['oid'] == oid
        assert not (await live.venue.account('simkey')).orders


async def test_somebody_elses_order(open_live: OpenLive, mod: ModuleType) -> None:
    async with open_live() as live, open_dialog(live, mod) as dialog:
        market = live.market
        placed = await live.venue.place(
            'simkey', market.name, 'buy', market.size(5), market.price(0.5)
        )
        status = await dialog.receive(placed.order_id, 'status')
        assert (status['resp'], status['src']) == ('open', mod.name)
        order = convert(status['req'], Order)
        assert (order.symbol, order.size) == (market.mkt.bs_fqme, market.size(5))
        await dialog.cancel(status['oid'], reqid=status['reqid'])
        await dialog.until(status['reqid'], 'canceled')
        (there,) = (await live.venue.account('simkey')).orders
        assert (there.order_id, there.state) == (placed.order_id, 'cancelled')


async def test_an_order_that_ended_unheard_is_not_placed_again(
    open_live: OpenLive,
    mod: ModuleType,
) -> None:
    """
    The host was killed before it heard of the end, and the next one is asked for the
    order as for a new one.
    """
    async with open_live() as live:
        async with open_dialog(live, mod) as dialog:
            oid = await dialog.send('buy', 0.7)
            await dialog.until(oid, 'open')
        (order,) = (await live.venue.account('simkey')).orders
        await live.venue.cancel(order.order_id)
        async with open_dialog(live, mod) as dialog:
            await dialog.send('buy', 0.7, oid=oid, reqid=None)
            await dialog.until(oid, 'canceled')
        (order,) = (await live.venue.account('simkey')).orders
        assert order.state == 'cancelled'


async def test_what_never_comes_is_asked_for(
    open_live: OpenLive,
    mod: ModuleType,
) -> None:
    async with open_live() as live, open_dialog(live, mod) as dialog:
        places: dict[Topic, float] = {'orders': 0.7, 'fills': 0.6}
        missed = [await dialog.send('buy', times) for times in places.values()]
        missed.reverse()  # what is told first is read last
        for oid in missed:
            await dialog.until(oid, 'open')
        for topic, times in places.items():
            await live.venue.misbehave('skip', topic=topic)
            await live.trade_at(times)
        for oid in missed:
            *_, status = await dialog.until(oid, 'closed')
            assert status['filled'] == live.market.size(100)


KINDS = {'': 0.9, 'lose_reply': 0.7, 'lose_request': 0.5}


async def trade_with(
    dialog: Dialog,
    kind: str,
    times: float,
) -> list[tuple[str, int]]:
    """
    Place, change, fill and cancel orders at about so many times the first price, which
    the market follows, each time with a fault of that `kind`. What comes of them: oids,
    and how much was bought.
    """
    venue, size = dialog.live.venue, dialog.live.market.size

    async def misbehave(operation: Operation) -> None:
        if kind:
            await venue.misbehave(kind, operation=operation)

    await misbehave('place')
    changed = await dialog.send('buy', times, 300)
    await dialog.until(changed, 'open')
    await dialog.live.trade_at(times, 100)  # in part
    await dialog.receive(changed, 'fill')
    await misbehave('edit')
    await dialog.send('buy', 0.9 * times, 200, oid=changed)
    while (await dialog.until(changed, 'open'))[-1]['remaining'] != size(100):
        pass
    await dialog.live.trade_at(0.9 * times, 1000)
    await dialog.until(changed, 'closed')

    await misbehave('place')
    filled = await dialog.send('buy', 1.5)
    await dialog.until(filled, 'closed')

    canceled = await dialog.send('buy', 0.1)
    await dialog.until(canceled, 'open')
    await misbehave('cancel')
    await dialog.cancel(canceled, reqid=canceled)
    await dialog.until(canceled, 'canceled')
    await venue.behave()
    return [(changed, 200), (filled, 100), (canceled, 0)]


TRAITS: list[dict[str, Any]] = [
    {},
    {'client_ids': 'open', 'fills': 'stream'},
    {'client_ids': 'ever', 'positions': 'fills'},
    {'client_ids': 'ever', 'edit': 'replace'},
    {'edit': 'replace', 'fills': 'stream', 'positions': 'fills'},
]


@pytest.mark.parametrize('traits', TRAITS, ids=str)
@pytest.mark.case('EXEC-AMBIGUOUS')
async def test_orders_at_a_venue_that_differs(
    traits: dict[str, Any],
    open_live: OpenLive,
    mod: ModuleType,
) -> None:
    """
    Nothing is lost and nothing doubled, whatever reply or event gets lost.
    """
    async with open_live(**traits) as live:
        async with open_dialog(live, mod) as dialog:
            sent: list[tuple[str, int]] = []
            for kind, times in KINDS.items():
                sent += await trade_with(dialog, kind, times)
        account = await live.venue.account('simkey')
        bought: Counter[str] = Counter()
        for fill in account.fills:
            bought[fill.client_id] += round(fill.amount / live.market.size(1))
        assert bought == {oid: steps for oid, steps in sent if steps}
        assert not [order for order in account.orders if order.state == 'open']

        async with open_brokerd_dialog(mod, exec_mode='live') as (_, positions, _):
            (position,) = positions[mod.name, live.account].values()
            assert position.size == live.market.size(sum(steps for _, steps in sent))
