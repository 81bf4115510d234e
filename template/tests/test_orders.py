"""
Live orders, through `emsd` and `brokerd`, on an account at the venue.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from msgspec import convert, to_builtins

from minipiker.brokers import open_cached_client
from minipiker.clearing import OrderClient, TradesStream, open_brokerd_dialog, open_ems
from minipiker.clearing._messages import (
    BrokerdCancel,
    BrokerdOrder,
    BrokerdPosition,
    Order,
    Status,
)
from minipiker.clearing.testing import (
    mk_account,
    mk_order,
    order_of,
    responses,
    wait_for,
)
from minipiker.service import ServiceDied, Services, find_service
from minipiker.testing import Tree, open_test_pikerd
from simvenue.process import SimVenue, open_simvenue

pytestmark = pytest.mark.disturbs_venue


@acm
async def open_live(
    conf_dir: Path,
) -> AsyncIterator[tuple[SimVenue, type[Services]]]:
    """
    A tree with an account at a venue where nothing happens but what we do.
    """
    async with (
        open_simvenue(rate=0) as venue,
        open_test_pikerd(conf_dir, url=venue.url, **mk_account()) as services,
    ):
        yield venue, services


async def trade_at(venue: SimVenue, price: float, amount: float = 1.0) -> None:
    await venue.call(
        'sim/trade', instrument_name='BTC-USDT', price=price, amount=amount
    )


async def books(venue: SimVenue) -> dict[str, Any]:
    """
    The account as the venue sees it.
    """
    account: dict[str, Any] = await venue.call('sim/account', account='simkey')
    return account


def kill(services: type[Services], name: str) -> None:
    os.kill(services.service_tasks[name].process.pid, signal.SIGKILL)


async def test_brokerd_trades_with_no_feed_ever_opened(
    tmp_path: Path,
    mod: ModuleType,
    broker: str,
) -> None:
    """
    The protocol of `open_trade_dialog()`, as a host sees it.
    """
    account = f'{broker}.main'
    async with (
        open_live(tmp_path) as (venue, services),
        open_brokerd_dialog(mod, exec_mode='live') as (stream, _, names),
    ):
        assert names == [account]
        assert set(services.service_tasks) == {f'brokerd.{broker}'}

        async def next_msg() -> dict[str, Any]:
            while (msg := await stream.receive())['name'] == 'position':
                pass
            return dict(msg)

        async def send(action: str, price: float, size: float, **fields: Any) -> str:
            order = mk_order('btcusdt.spot', action, price, size, account)
            msg = BrokerdOrder(
                oid=fields.get('oid', order.oid),
                account=fields.get('account', account),
                time_ns=time.time_ns(),
                symbol=fields.get('symbol', order.symbol),
                price=price,
                size=size,
                action='buy' if action == 'buy' else 'sell',
                reqid=fields.get('oid'),
            )
            await stream.send(msg)
            ack = await next_msg()
            assert ack['name'] == 'ack'
            assert (ack['oid'], ack['account']) == (msg.oid, msg.account)
            assert type(ack['reqid']) is str
            return msg.oid

        async def receive(name: str) -> dict[str, Any]:
            while (msg := await next_msg())['name'] != name:
                assert msg['name'] == 'ack', msg
            return msg

        # a limit order that rests, is changed, is filled in part, is canceled; that its
        # market cannot be looked up at once is no reason to refuse it
        lookup = 'public/get_instruments'
        await venue.fault('rate_limit', method=lookup, count=5, seconds=0.01)
        oid = await send('buy', 40_000, 0.2)
        status = await receive('status')
        assert (status['reqid'], status['status']) == (oid, 'open')
        await send('buy', 41_000, 0.3, oid=oid)
        status = await receive('status')
        assert (status['status'], status['remaining']) == ('open', 0.3)
        # a refused change leaves it open, and says so: piker would not cancel it else
        await send('buy', 41_000.01, 0.3, oid=oid)
        assert (await receive('error'))['reqid'] == oid
        status = await receive('status')
        assert (status['status'], status['remaining']) == ('open', 0.3)
        await trade_at(venue, 41_000, 0.1)
        fill = await receive('fill')
        assert (fill['reqid'], fill['price'], fill['size']) == (oid, 41_000, 0.1)
        assert abs(fill['broker_time'] - time.time()) < 60
        await stream.send(BrokerdCancel(oid, time.time_ns(), account, reqid=oid))
        while (status := await receive('status'))['status'] != 'canceled':
            pass
        assert (status['filled'], status['remaining']) == (0.1, pytest.approx(0.2))

        # at the market
        oid = await send('sell', 30_000, 0.1)
        fill = await receive('fill')
        assert (fill['reqid'], fill['size'], fill['action']) == (oid, 0.1, 'sell')
        status = await receive('status')
        assert (status['status'], status['filled']) == ('closed', 0.1)

        # every bad request is answered
        bad: dict[str, dict[str, Any]] = {
            'no account': {'account': f'{broker}.other'},
            'no market': {'symbol': 'nosuch.spot'},
            'multiple of 0.001': {'size': 0.0001},
            'multiple of 0.1': {'price': 40_000.01},
            'price inf': {'price': float('inf')},
            'size nan': {'size': float('nan')},
            'price 0': {'price': 0.0},
            'funds': {'size': 1e6},
            'buy:': {'price': 1e300, 'size': 1e30},
        }
        for reason, args in bad.items():
            oid = await send('buy', **({'price': 40_000, 'size': 0.1} | args))
            error = await receive('error')
            assert (error['oid'], error['reqid']) == (oid, oid)
            assert reason in error['reason']
        now, none = time.time_ns(), 'none'
        for unknown in (
            BrokerdCancel(none, now, account),
            BrokerdOrder(none, account, now, 'btcusdt', 1, 1, 'buy', reqid=none),
        ):
            await stream.send(unknown)
            assert (await next_msg())['name'] == 'ack'
            while (error := await next_msg())['name'] != 'error':
                assert error['status'] == 'canceled'
            assert "'none'" in error['reason']
            assert error['broker_details']['flow']['oid'] == none
        neither = to_builtins(BrokerdOrder('bad', account, now, 'btcusdt', 1, 1, ''))
        for fields in ({}, {'action': 'steal'}, {'price': 'high'}, {'size': None}):
            await stream.send({**neither, **fields})
            assert (await next_msg())['name'] == 'ack'
            assert (await next_msg())['name'] == 'error'

        await venue.fault('rate_limit', method='private/buy')
        await send('buy', 40_000, 0.1)
        assert 'too many requests' in (await receive('error'))['reason']

        # and somebody else's order is reported
        await venue.call(
            'sim/order',
            account='simkey',
            instrument_name='ETH-USDT',
            direction='buy',
            amount=0.5,
            price=1_000,
        )
        status = await receive('status')
        assert (status['resp'], status['src']) == ('open', broker)
        foreign = convert(status['req'], Order)
        assert (foreign.symbol, foreign.size) == ('ethusdt.spot', 0.5)
        assert not any(name.startswith('datad') for name in services.service_tasks)


@acm
async def open_client(
    broker: str,
) -> AsyncIterator[tuple[OrderClient, TradesStream, dict[str, Status]]]:
    async with open_ems(broker, 'live') as (client, stream, _, names, dialogs):
        assert names == [f'{broker}.main']
        yield client, stream, dialogs


async def test_a_live_session(tmp_path: Path, broker: str) -> None:
    fqme, account = f'btcusdt.spot.{broker}', f'{broker}.main'
    async with open_live(tmp_path) as (venue, services):
        async with open_client(broker) as (client, stream, _):
            order = await client.send(mk_order(fqme, 'buy', 100_000, 0.1, account))
            first, *between, last = await responses(stream, order.oid)
            assert (first, {*between}, last) == ('pending', {'fill'}, 'closed')
            while not isinstance(position := await stream.receive(), BrokerdPosition):
                pass
            assert (position.symbol, position.size) == (fqme, 0.1)

            # a refused change leaves the order as it was
            order = await client.send(mk_order(fqme, 'buy', 40_000, 0.1, account))
            await wait_for(stream, order.oid, 'open')
            await client.update(order.oid, price=40_000.01)
            msg = await stream.receive()
            assert isinstance(msg, Status)
            assert msg.resp == 'error'
            assert order_of(msg).price == 40_000.01
            resting = order

            # canceled before it was so much as acknowledged
            order = await client.send(mk_order(fqme, 'buy', 39_000, 0.1, account))
            await client.cancel(order.oid)
            assert (await responses(stream, order.oid))[-1] == 'canceled'

        async with open_client(broker) as (client, stream, dialogs):
            assert list(dialogs) == [resting.oid]
            assert order_of(dialogs[resting.oid]) == resting
            await send_a_hundred(client, stream, fqme, account)

        state = await books(venue)
        assert len(state['trades']) == 101
        assert [
            it['label'] for it in state['orders'] if it['order_state'] == 'open'
        ] == [resting.oid]
        assert set(services.service_tasks) == {'emsd', f'brokerd.{broker}'}


async def send_a_hundred(
    client: OrderClient,
    stream: TradesStream,
    fqme: str,
    account: str,
) -> None:
    """
    Orders that are all in flight at a time, each of which is filled.
    """
    sent = [mk_order(fqme, 'buy', 100_000, 0.001, account) for _ in range(100)]
    closed: set[str] = set()
    fills: list[str] = []

    async def send_all() -> None:
        for order in sent:
            await client.send(order)

    async with trio.open_nursery() as tn:
        tn.start_soon(send_all)
        while len(closed) < len(sent):
            match await stream.receive():
                case Status(resp='fill', oid=oid):
                    fills.append(oid)
                case Status(resp='closed', oid=oid):
                    closed.add(oid)
                case Status(resp='error') as error:
                    raise AssertionError(error)
    assert sorted(fills) == sorted(order.oid for order in sent)


async def test_orders_in_the_middle_of_a_disconnect(
    tmp_path: Path,
    broker: str,
) -> None:
    fqme, account = f'btcusdt.spot.{broker}', f'{broker}.main'
    async with (
        open_live(tmp_path) as (venue, _),
        open_client(broker) as (client, stream, _),
    ):
        resting = await client.send(mk_order(fqme, 'buy', 40_000, 0.1, account))
        await wait_for(stream, resting.oid, 'open')
        oids = {resting.oid}
        for kind in ('delay', 'lose_reply', 'drop', 'kill'):
            match kind:
                case 'kill':
                    await venue.kill()
                case 'lose_reply':
                    await venue.fault(kind, method='private/buy')
                case _:
                    await venue.fault(kind)
            order = await client.send(mk_order(fqme, 'buy', 100_000, 0.1, account))
            oids.add(order.oid)
            if kind == 'drop':
                # what happens while we are cut off is told afterwards
                await trade_at(venue, 40_000)
                told = await until_over(stream, order.oid, resting.oid)
                assert told[resting.oid] == ['fill', 'closed']
                continue
            if kind == 'kill':
                await venue.restart()
            told = await until_over(stream, order.oid)
            assert told[order.oid][-1] == 'closed', kind

        bought: Counter[str] = Counter()
        for trade in (await books(venue))['trades']:
            bought[trade['label']] += round(1000 * trade['amount'])
        assert bought == dict.fromkeys(oids, 100)


async def until_over(stream: TradesStream, *oids: str) -> dict[str, list[str]]:
    """
    What each of these orders goes through up to its end.
    """
    told: dict[str, list[str]] = {oid: [] for oid in oids}
    while not all({'closed', 'canceled', 'error'} & {*it} for it in told.values()):
        msg = await stream.receive()
        if isinstance(msg, Status) and msg.oid in told:
            told[msg.oid].append(msg.resp)
    return told


async def test_no_order_is_lost_with_a_daemon(tmp_path: Path, broker: str) -> None:
    async with open_live(tmp_path) as (venue, services):
        await lose_brokerd(venue, services, broker)
        await lose_emsd(venue, services, broker)


async def lose_brokerd(
    venue: SimVenue,
    services: type[Services],
    broker: str,
) -> None:
    fqme, account = f'btcusdt.spot.{broker}', f'{broker}.main'
    async with open_client(broker) as (client, stream, _):
        filled, canceled, resting = [
            await client.send(mk_order(fqme, 'buy', price, 0.1, account))
            for price in (42_000, 41_000, 40_000)
        ]
        await wait_for(stream, resting.oid, 'open')

        # all that happens while there is none
        pid = services.service_tasks[f'brokerd.{broker}'].process.pid
        os.kill(pid, signal.SIGSTOP)
        await trade_at(venue, 42_000, 0.1)
        unseen = await client.send(mk_order(fqme, 'buy', 100_000, 0.2, account))
        await client.cancel(canceled.oid)
        os.kill(pid, signal.SIGKILL)

        told = await until_over(stream, filled.oid, unseen.oid, canceled.oid)
        assert [it[-1] for it in told.values()] == ['closed', 'closed', 'canceled']
        state = await books(venue)
        assert len(state['orders']) == 4
        assert sum(it['amount'] for it in state['trades']) == pytest.approx(0.3)
        await client.cancel(resting.oid)
        await wait_for(stream, resting.oid, 'canceled')


async def lose_emsd(venue: SimVenue, services: type[Services], broker: str) -> None:
    fqme, account = f'btcusdt.spot.{broker}', f'{broker}.main'

    def pid_of_brokerd() -> int:
        return services.service_tasks[f'brokerd.{broker}'].process.pid

    with pytest.raises(ServiceDied, match='emsd'):
        async with open_client(broker) as (client, stream, _):
            order = await client.send(mk_order(fqme, 'buy', 40_000, 0.1, account))
            await wait_for(stream, order.oid, 'open')
            brokerd = pid_of_brokerd()
            kill(services, 'emsd')
            with trio.fail_after(4):
                while True:
                    await stream.receive()

    async with open_client(broker) as (client, stream, dialogs):
        status = dialogs.get(order.oid) or await wait_for(stream, order.oid, 'open')
        assert status.src == broker
        assert order_of(status) == Order(**{**vars_of(order), 'brokers': [broker]})
        await trade_at(venue, 40_000)
        assert await responses(stream, order.oid) == ['fill', 'closed']
        assert pid_of_brokerd() == brokerd


def vars_of(order: Order) -> dict[str, Any]:
    return {name: getattr(order, name) for name in order.__struct_fields__}


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


async def test_a_contract_is_cached_under_all_its_names(
    shared_tree: Tree,
    mod: ModuleType,
    broker: str,
) -> None:
    symbols = import_module(f'{mod.__name__}.symbols')
    async with shared_tree(), open_cached_client(broker) as client:
        mkt = await symbols.cache_contract(client, f'btcusdt.{broker}')
    for name in (mkt.bs_fqme, mkt.fqme):
        assert await symbols.cache_contract(None, name) is mkt
