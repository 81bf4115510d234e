"""
Orders on paper: the whole way from a client through `emsd` to the paper engine, which
clears on live quotes.
"""

from __future__ import annotations

import os
import signal
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import psutil
import pytest
import trio
from msgspec.structs import replace

from minipiker.clearing import Order, OrderClient, TradesStream, open_ems
from minipiker.clearing._messages import BrokerdPosition
from minipiker.clearing._paperboi import paperboi_init
from minipiker.clearing.testing import (
    mk_order,
    order_of,
    responses,
    until_over,
    wait_for,
)
from minipiker.processes import descendants
from minipiker.service import ServiceDied, Services, find_service
from minipiker.service._liveness import actor_info
from minipiker.testing import (
    Market,
    OpenSimVenue,
    Tree,
    find_market,
    open_test_pikerd,
    run_and_kill,
)
from simvenue.process import SimVenue


class Session:
    """
    A venue where the market trades only when told to, and a tree.
    """

    def __init__(
        self, venue: SimVenue, services: type[Services], market: Market
    ) -> None:
        self.venue = venue
        self.services = services
        self.market = market

    def order(
        self, action: str, times: float, steps: int = 100, **fields: Any
    ) -> Order:
        """
        One at so many times the market's price, of so many of the smallest sizes.
        """
        market = self.market
        price, size = market.price(times), market.size(steps)
        return mk_order(market.fqme, action, price, size, **fields)

    async def trade_at(self, times: float, ticks: int = 0) -> None:
        market = self.market
        price = Decimal(str(market.price(times))) + ticks * market.mkt.price_tick
        await self.venue.print_trade(market.name, float(price), market.size(1))


@pytest.mark.usefixtures('no_forkserver')
async def test_a_paper_session(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> None:
    async with (
        open_simvenue(rate=0) as venue,
        open_test_pikerd(tmp_path, url=venue.url) as services,
    ):
        session = Session(venue, services, await find_market(venue, mod))
        async with open_ems(session.market.fqme, 'paper') as (client, stream, *_):
            await trade(session, client, stream)
        await lose_daemons(session)


async def trade(
    session: Session,
    client: OrderClient,
    stream: TradesStream,
) -> None:
    """
    Whatever one can do.
    """
    market, tick = session.market, session.market.mkt.price_tick
    # at the market: filled at once
    order = await client.send(session.order('buy', 1.5))
    assert await responses(stream, order.oid) == [
        'pending',
        'open',
        'fill',
        'closed',
    ]
    position = await stream.receive()
    assert isinstance(position, BrokerdPosition)
    assert (position.symbol, position.account) == (market.fqme, 'paper')
    assert position.size == market.size(100)

    # below it: when the market gets there, at its own price; until then changed
    order = await client.send(session.order('buy', 0.6, 200))
    await wait_for(stream, order.oid, 'open')
    await client.update(order.oid, price=market.price(0.7))
    changed = order_of(await wait_for(stream, order.oid, 'open'))
    assert changed.price == market.price(0.7)
    await session.trade_at(0.7)
    fill = (await wait_for(stream, order.oid, 'fill')).brokerd_msg
    assert (fill['price'], fill['size']) == (market.price(0.7), market.size(200))

    # canceled
    order = await client.send(session.order('sell', 1.5))
    await wait_for(stream, order.oid, 'open')
    await client.cancel(order.oid)
    await wait_for(stream, order.oid, 'canceled')

    # kept until the market gets there
    dark = await client.send(session.order('buy', 0.6, exec_mode='dark'))
    alert = await client.send(session.order('alert', 0.62))
    dropped = await client.send(session.order('sell', 1.5, exec_mode='dark'))
    await wait_for(stream, dropped.oid, 'dark_open')
    await client.cancel(dropped.oid)
    await wait_for(stream, dropped.oid, 'canceled')

    await session.trade_at(0.61)
    await wait_for(stream, alert.oid, 'triggered')
    await session.trade_at(0.6, -1)
    submitted = order_of(await wait_for(stream, dark.oid, 'triggered'))
    # some ticks beyond the market, to be filled at once
    assert submitted.price >= market.price(0.6)
    await wait_for(stream, dark.oid, 'closed')

    good = session.order('buy', 0.5)
    off_tick = good.price + float(tick) / 4
    size_tick = float(market.mkt.size_tick)
    unknown = f'no{market.fqme}'
    for bad, reason in [
        (replace(good, price=off_tick), f'multiple of {tick}'),
        (replace(good, size=market.size(1) + size_tick / 2), 'multiple of'),
        (replace(good, price=1e30, size=1e-30), 'multiple of'),
        (replace(good, size=-good.size), 'above 0'),
        (replace(good, account='other'), 'no account'),
        (replace(good, symbol=unknown), 'SymbolNotFound'),
        (replace(good, action='steal'), 'Invalid enum value'),
    ]:
        bad = replace(bad, oid=str(uuid4()))
        await client.send(bad)
        error = await wait_for(stream, bad.oid, 'error')
        assert reason in error.brokerd_msg['reason']

    # no broker had a part in this
    names = [' '.join(process.cmdline()) for process in descendants()]
    assert any('paperboi' in name for name in names)
    assert not any('brokerd' in name for name in names)


async def lose_daemons(session: Session) -> None:
    """
    The books outlive every daemon, and open orders all but `emsd`.
    """
    services, market, fqme = session.services, session.market, session.market.fqme
    broker = market.mkt.broker
    held = pytest.approx(market.size(400))

    def kill(name: str) -> None:
        os.kill(services.service_tasks[name].process.pid, signal.SIGKILL)

    order = session.order('buy', 0.5)
    with pytest.raises(ServiceDied, match='emsd'):
        async with open_ems(fqme, 'paper') as (client, stream, *_):
            await client.send(order)
            await wait_for(stream, order.oid, 'open')

            # emsd, whose child it is, gives the order to the next engine, which finds
            # the books
            async with find_service(f'paperboi.{broker}') as paperboi:
                assert paperboi
                pid = (await paperboi.run(actor_info))['pid']
            emsd = services.service_tasks['emsd'].process.pid
            assert psutil.Process(pid).ppid() == emsd
            os.kill(pid, signal.SIGKILL)
            while not isinstance(position := await stream.receive(), BrokerdPosition):
                pass
            assert position.size == held
            await wait_for(stream, order.oid, 'open')

            kill('emsd')
            with trio.fail_after(30):
                await stream.receive()

    # the engine ended with it; who still wants the order gives it to the next one
    async with open_ems(fqme, 'paper') as (client, stream, positions, accounts, _):
        assert accounts == ['paper']
        ((key, by_fqme),) = positions.items()
        assert key == (broker, 'paper')
        assert by_fqme[fqme].size == held
        await client.send(order)
        await wait_for(stream, order.oid, 'open')
        # which finds the market where it is by then
        kill(f'datad.{broker}')
        await session.trade_at(0.5, -1)
        fill = await wait_for(stream, order.oid, 'fill')
        assert fill.brokerd_msg['size'] == market.size(100)
        await wait_for(stream, order.oid, 'closed')


async def test_clients_share_what_happens_and_find_it_again(
    shared_tree: Tree,
    market: Market,
    fqme: str,
    broker: str,
) -> None:
    high, low = market.price(1.5), market.price(0.5)
    async with shared_tree():
        async with (
            open_ems(fqme, 'paper') as (client, stream, *_),
            open_ems(market.fqme, 'paper') as (_, others, *_),
            open_ems(broker, 'paper') as (_, observer, *_),
        ):
            order = await client.send(mk_order(fqme, 'buy', high, market.size(100)))
            told = await responses(stream, order.oid)
            assert told == await responses(others, order.oid)
            assert told == await responses(observer, order.oid)

            order = await client.send(mk_order(fqme, 'buy', low, market.size(100)))
            await wait_for(stream, order.oid, 'open')
        async with open_ems(broker, 'paper') as (client, stream, _, _, dialogs):
            assert dialogs[order.oid].resp == 'open'
            assert dialogs[order.oid].req == replace(order, symbol=market.fqme)
            await client.cancel(order.oid)
            await wait_for(stream, order.oid, 'canceled')


async def test_a_killed_client_takes_nobody_along(
    shared_tree: Tree,
    market: Market,
    broker: str,
) -> None:
    size = market.size(100)
    off_tick = market.price(0.5) + float(market.mkt.price_tick) / 4
    script = f"""
import trio
from minipiker.clearing import open_ems
from minipiker.clearing.testing import mk_order, wait_for
from minipiker.service import maybe_open_pikerd
from minipiker.service._registry import find_registry

async def main():
    async with (
        maybe_open_pikerd(find_registry()),
        open_ems({broker!r}, 'paper') as (client, stream, *_),
    ):
        while True:
            order = mk_order({market.fqme!r}, 'buy', {off_tick}, {size})
            await client.send(order)
            await wait_for(stream, order.oid, 'error')
            print('refused', flush=True)

if __name__ == '__main__':
    trio.run(main)
"""
    async with shared_tree(), open_ems(broker, 'paper') as (client, stream, *_):
        await run_and_kill(script)

        order = mk_order(market.fqme, 'buy', market.price(1.5), size)
        await client.send(order)
        assert (await responses(stream, order.oid))[-1] == 'closed'


async def test_a_client_may_send_before_it_reads(
    shared_tree: Tree,
    broker: str,
) -> None:
    """
    More than may be under way, in either direction.
    """
    fqme = f'btcusdt.spot.{broker}'
    async with shared_tree(), open_ems(broker, 'paper') as (client, stream, *_):
        sent = [mk_order(fqme, 'buy', 1_000, 1, account='other') for _ in range(100)]
        with trio.fail_after(60):
            for order in sent:
                await client.send(order)
            told = await until_over(stream, *(order.oid for order in sent))
        assert all(it == ['pending', 'error'] for it in told.values())
        assert not client._sent_orders, 'what is over is forgotten'


def test_the_engine_is_spawned_as_the_backend_asks(
    mod: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mod, '_spawn_kwargs', {'debug_mode': False}, raising=False)
    found, kwargs, _ = paperboi_init(mod.name, rpc_module_paths=[])
    assert found is mod
    assert kwargs == {
        'name': f'paperboi.{mod.name}',
        'enable_modules': [
            'minipiker.clearing._paperboi',
            'minipiker.clearing._paper_engine',
        ],
        'debug_mode': False,
        'rpc_module_paths': [],
    }
