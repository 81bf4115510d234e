"""
Live orders, through `emsd` and `brokerd`, on an account at the venue.
"""

from __future__ import annotations

import math
import os
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from decimal import Decimal
from typing import Any

import pytest
import trio
from tractor.log import StackLevelAdapter

from minipiker.clearing import Order, OrderClient, Status, TradesStream, open_ems
from minipiker.clearing._messages import BrokerdPosition
from minipiker.clearing.testing import (
    Live,
    OpenLive,
    order_of,
    responses,
    until_over,
    wait_for,
)
from minipiker.service import ServiceDied, find_service
from minipiker.testing import Tree


@acm
async def open_client(
    live: Live,
) -> AsyncIterator[tuple[OrderClient, TradesStream, dict[str, Status]]]:
    broker = live.market.mkt.broker
    async with open_ems(broker, 'live') as (client, stream, _, names, dialogs):
        assert names == [live.account]
        yield client, stream, dialogs


def pid_of(live: Live, kind: str) -> int:
    name = kind if kind == 'emsd' else f'{kind}.{live.market.mkt.broker}'
    return live.services.service_tasks[name].process.pid


@pytest.mark.case('RULE-BOOT')
async def test_a_live_session(
    open_live: OpenLive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_live() as live:
        market = live.market
        async with open_client(live) as (client, stream, _):
            order = await client.send(live.order('buy', 1.5))
            told: list[str] = []
            position = 0.0
            while position != order.size or told[-1:] != ['closed']:
                match await stream.receive():
                    case Status(resp=resp):
                        told.append(resp)
                    case BrokerdPosition(symbol=symbol, size=position):
                        assert symbol == market.fqme
            assert told[0] == 'pending'
            assert 'fill' in told

            # a refused change leaves the order as it was
            order = await client.send(live.order('buy', 0.7))
            await wait_for(stream, order.oid, 'open')
            off_tick = market.price(0.7) + float(market.mkt.price_tick) / 4
            await client.update(order.oid, price=off_tick)
            msg = await stream.receive()
            assert isinstance(msg, Status)
            assert msg.resp == 'error'
            assert order_of(msg).price == off_tick
            resting = order

            # canceled before it was so much as acknowledged
            order = await client.send(live.order('buy', 0.6))
            await client.cancel(order.oid)
            assert (await responses(stream, order.oid))[-1] == 'canceled'

        async with open_client(live) as (client, stream, dialogs):
            assert list(dialogs) == [resting.oid]
            assert order_of(dialogs[resting.oid]) == resting
            logged: list[int] = []

            def note(log: Any, level: int, *args: Any, **kwargs: Any) -> None:
                logged.append(level)

            monkeypatch.setattr(StackLevelAdapter, 'log', note)
            await send_a_hundred(live, client, stream)
            assert len(logged) < 100  # or it takes longer than all that we do

        account = await live.venue.account('simkey')
        filled: Counter[str] = Counter()
        for fill in account.fills:
            filled[fill.client_id] += 1
        assert len(filled) == 101
        open_orders = [it.client_id for it in account.orders if it.state == 'open']
        assert open_orders == [resting.oid]
        brokerd = f'brokerd.{market.mkt.broker}'
        assert set(live.services.service_tasks) == {'emsd', brokerd}


async def send_a_hundred(
    live: Live,
    client: OrderClient,
    stream: TradesStream,
) -> None:
    """
    Orders that are all in flight at a time, each of which is filled.
    """
    sent = [live.order('buy', 1.5, 1) for _ in range(100)]
    closed: set[str] = set()
    filled: defaultdict[str, list[float]] = defaultdict(list)

    async def send_all() -> None:
        for order in sent:
            await client.send(order)

    async with trio.open_nursery() as tn:
        tn.start_soon(send_all)
        while len(closed) < len(sent):
            match await stream.receive():
                case Status(resp='fill', oid=oid, brokerd_msg=fill):
                    filled[oid].append(fill['size'])
                case Status(resp='closed', oid=oid):
                    closed.add(oid)
                case Status(resp='error') as error:
                    raise AssertionError(error)
    # some take more than one offer
    assert {oid: math.fsum(sizes) for oid, sizes in filled.items()} == {
        order.oid: pytest.approx(order.size) for order in sent
    }


async def test_orders_in_the_middle_of_a_disconnect(open_live: OpenLive) -> None:
    async with open_live() as live, open_client(live) as (client, stream, _):
        resting = await client.send(live.order('buy', 0.7))
        await wait_for(stream, resting.oid, 'open')
        oids = {resting.oid}
        for kind in ('delay', 'lose_reply', 'lose_request', 'drop', 'kill'):
            match kind:
                case 'kill':
                    await live.venue.kill()
                case 'lose_reply' | 'lose_request':
                    await live.venue.misbehave(kind, operation='place')
                case _:
                    await live.venue.misbehave(kind)
            order = await client.send(live.order('buy', 1.5))
            oids.add(order.oid)
            if kind == 'drop':
                # what happens while we are cut off is told afterwards
                await live.trade_at(0.7)
                told = await until_over(stream, order.oid, resting.oid)
                assert told[resting.oid][-1] == 'closed'
                assert 'fill' in told[resting.oid]
                continue
            if kind == 'kill':
                await live.venue.restart()
            told = await until_over(stream, order.oid)
            assert told[order.oid][-1] == 'closed', kind

        bought: Counter[str] = Counter()
        for fill in (await live.venue.account('simkey')).fills:
            bought[fill.client_id] += round(fill.amount / live.market.size(1))
        assert bought == dict.fromkeys(oids, 100)


@pytest.mark.case('EXEC-FOUND-FILLS')
async def test_no_order_is_lost_with_brokerd(open_live: OpenLive) -> None:
    async with open_live() as live, open_client(live) as (client, stream, _):
        filled, canceled, resting = [
            await client.send(live.order('buy', times)) for times in (0.8, 0.75, 0.7)
        ]
        missing = {filled.oid, canceled.oid, resting.oid}
        while missing:  # in whichever order the venue has them
            match await stream.receive():
                case Status(resp='open', oid=oid):
                    missing.discard(oid)

        # all that happens while there is none
        pid = pid_of(live, 'brokerd')
        os.kill(pid, signal.SIGSTOP)
        await live.trade_at(0.8, 100)
        unseen = await client.send(live.order('buy', 1.5, 200))
        await client.cancel(canceled.oid)
        os.kill(pid, signal.SIGKILL)

        told = await until_over(stream, filled.oid, unseen.oid, canceled.oid)
        assert [it[-1] for it in told.values()] == ['closed', 'closed', 'canceled']
        account = await live.venue.account('simkey')
        assert len(account.orders) == 4
        bought = sum(Decimal(str(fill.amount)) for fill in account.fills)
        assert float(bought) == live.market.size(300)
        await client.cancel(resting.oid)
        await wait_for(stream, resting.oid, 'canceled')


@pytest.mark.case('EXEC-FOUND-ORDERS')
async def test_no_order_is_lost_with_emsd(open_live: OpenLive) -> None:
    async with open_live() as live:
        with pytest.raises(ServiceDied, match='emsd'):
            async with open_client(live) as (client, stream, _):
                order = await client.send(live.order('buy', 0.7))
                await wait_for(stream, order.oid, 'open')
                brokerd = pid_of(live, 'brokerd')
                os.kill(pid_of(live, 'emsd'), signal.SIGKILL)
                with trio.fail_after(30):
                    while True:
                        await stream.receive()

        async with open_client(live) as (client, stream, dialogs):
            status = dialogs[order.oid]
            broker = live.market.mkt.broker
            assert status.src == broker
            assert order_of(status) == Order(**{**vars_of(order), 'brokers': [broker]})
            # whoever asks for it again is told as well
            await client.send(order)
            await wait_for(stream, order.oid, 'open')
            await live.trade_at(0.7)
            assert (await responses(stream, order.oid))[-1] == 'closed'
            assert pid_of(live, 'brokerd') == brokerd


def vars_of(order: Order) -> dict[str, Any]:
    return {name: getattr(order, name) for name in order.__struct_fields__}


@pytest.mark.case('EXEC-PAPER', 'RULE-NO-BROKERD')
async def test_without_credentials_one_trades_on_paper(
    shared_tree: Tree,
    broker: str,
) -> None:
    async with shared_tree(), open_ems(broker, 'live') as (_, _, _, names, _):
        assert names == ['paper']
        async with find_service(f'paperboi.{broker}') as paperboi:
            assert paperboi
        # it was asked, and there is nothing for it to do
        async with find_service(f'brokerd.{broker}') as brokerd:
            assert brokerd is None
