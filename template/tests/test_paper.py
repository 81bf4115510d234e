"""
Orders on paper: the whole way from a client through `emsd` to the paper engine, which
clears on live quotes.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import trio
from msgspec.structs import replace

from minipiker.clearing import OrderClient, TradesStream, open_ems
from minipiker.clearing._messages import BrokerdPosition
from minipiker.clearing._paperboi import paperboi_init
from minipiker.clearing.testing import (
    mk_order,
    order_of,
    responses,
    until_over,
    wait_for,
)
from minipiker.service import ServiceDied, Services, find_service
from minipiker.service._liveness import actor_info
from minipiker.testing import Tree, descendants, open_test_pikerd, run_and_kill
from simvenue.process import SimVenue, open_simvenue


async def trade_at(venue: SimVenue, price: float) -> None:
    await venue.call('sim/trade', instrument_name='BTC-USDT', price=price, amount=0.001)


@pytest.mark.disturbs_venue
async def test_a_paper_session(tmp_path: Path, broker: str) -> None:
    fqme = f'btcusdt.spot.{broker}'
    async with (
        # where the market trades only when told to
        open_simvenue(rate=0) as venue,
        open_test_pikerd(tmp_path, url=venue.url) as services,
    ):
        async with open_ems(fqme, 'paper') as (client, stream, *_):
            await trade(venue, client, stream, fqme)
        await lose_daemons(venue, services, fqme)


async def trade(
    venue: SimVenue,
    client: OrderClient,
    stream: TradesStream,
    fqme: str,
) -> None:
    """
    Whatever one can do.
    """
    # at the market: filled at once
    order = await client.send(mk_order(fqme, 'buy', 100_000, 0.1))
    assert await responses(stream, order.oid) == [
        'pending',
        'open',
        'fill',
        'closed',
    ]
    position = await stream.receive()
    assert isinstance(position, BrokerdPosition)
    assert (position.symbol, position.account) == (fqme, 'paper')
    assert position.size == 0.1

    # below it: when the market gets there, at its own price; until then changed
    order = await client.send(mk_order(fqme, 'buy', 40_000, 0.2))
    await wait_for(stream, order.oid, 'open')
    await client.update(order.oid, price=45_000.0)
    assert order_of(await wait_for(stream, order.oid, 'open')).price == 45_000
    await trade_at(venue, 45_000)
    fill = await wait_for(stream, order.oid, 'fill')
    assert (fill.brokerd_msg['price'], fill.brokerd_msg['size']) == (45_000, 0.2)

    # canceled
    order = await client.send(mk_order(fqme, 'sell', 90_000, 0.1))
    await wait_for(stream, order.oid, 'open')
    await client.cancel(order.oid)
    await wait_for(stream, order.oid, 'canceled')

    # kept until the market gets there
    dark = await client.send(mk_order(fqme, 'buy', 40_000, 0.1, exec_mode='dark'))
    alert = await client.send(mk_order(fqme, 'alert', 41_000, 0.1))
    dropped = await client.send(mk_order(fqme, 'sell', 90_000, 0.1, exec_mode='dark'))
    await wait_for(stream, dropped.oid, 'dark_open')
    await client.cancel(dropped.oid)
    await wait_for(stream, dropped.oid, 'canceled')

    await trade_at(venue, 40_500)
    await wait_for(stream, alert.oid, 'triggered')
    await trade_at(venue, 39_999.9)
    submitted = await wait_for(stream, dark.oid, 'triggered')
    assert order_of(submitted).price == pytest.approx(40_000.4)
    await wait_for(stream, dark.oid, 'closed')

    for bad, reason in [
        (mk_order(fqme, 'buy', 45_000.01, 0.1), 'multiple of 0.1'),
        (mk_order(fqme, 'buy', 45_000, 0.0001), 'multiple of 0.001'),
        (mk_order(fqme, 'buy', 1e30, 1e-30), 'multiple of 0.001'),
        (mk_order(fqme, 'buy', 45_000, -1), 'above 0'),
        (mk_order(fqme, 'buy', 45_000, 0.1, account='other'), 'no account'),
        (mk_order(f'no{fqme}', 'buy', 45_000, 0.1), 'SymbolNotFound'),
        (mk_order(fqme, 'steal', 45_000, 0.1), 'Invalid enum value'),
    ]:
        await client.send(bad)
        error = await wait_for(stream, bad.oid, 'error')
        assert reason in error.brokerd_msg['reason']

    # no broker had a part in this
    names = [' '.join(process.cmdline()) for process in descendants()]
    assert any('paperboi' in name for name in names)
    assert not any('brokerd' in name for name in names)


async def lose_daemons(
    venue: SimVenue,
    services: type[Services],
    fqme: str,
) -> None:
    """
    The books outlive every daemon, and open orders all but `emsd`.
    """
    broker = fqme.rpartition('.')[2]

    def kill(name: str) -> None:
        os.kill(services.service_tasks[name].process.pid, signal.SIGKILL)

    order = mk_order(fqme, 'buy', 35_000, 0.1)
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
            assert position.size == pytest.approx(0.4)
            await wait_for(stream, order.oid, 'open')

            kill('emsd')
            with trio.fail_after(4):
                await stream.receive()

    # the engine ended with it; who still wants the order gives it to the next one
    async with open_ems(fqme, 'paper') as (client, stream, positions, accounts, _):
        assert accounts == ['paper']
        ((key, by_fqme),) = positions.items()
        assert key == (broker, 'paper')
        assert by_fqme[fqme].size == pytest.approx(0.4)
        await client.send(order)
        await wait_for(stream, order.oid, 'open')
        # which finds the market where it is by then
        kill(f'datad.{broker}')
        await trade_at(venue, 34_999)
        fill = await wait_for(stream, order.oid, 'fill')
        assert fill.brokerd_msg['size'] == 0.1
        await wait_for(stream, order.oid, 'closed')


async def test_clients_share_what_happens_and_find_it_again(
    shared_tree: Tree,
    broker: str,
) -> None:
    fqme, short = f'btcusdt.spot.{broker}', f'btcusdt.{broker}'
    async with shared_tree():
        async with (
            open_ems(short, 'paper') as (client, stream, *_),
            open_ems(fqme, 'paper') as (_, others, *_),
            open_ems(broker, 'paper') as (_, observer, *_),
        ):
            order = await client.send(mk_order(short, 'buy', 1_000_000, 0.1))
            told = await responses(stream, order.oid)
            assert told == await responses(others, order.oid)
            assert told == await responses(observer, order.oid)

            order = await client.send(mk_order(short, 'buy', 1_000, 0.1))
            await wait_for(stream, order.oid, 'open')
        async with open_ems(broker, 'paper') as (client, stream, _, _, dialogs):
            assert dialogs[order.oid].resp == 'open'
            assert dialogs[order.oid].req == replace(order, symbol=fqme)
            await client.cancel(order.oid)
            await wait_for(stream, order.oid, 'canceled')


async def test_a_killed_client_takes_nobody_along(
    shared_tree: Tree,
    broker: str,
) -> None:
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
            order = mk_order('btcusdt.spot.{broker}', 'buy', 1_000.01, 0.001)
            await client.send(order)
            await wait_for(stream, order.oid, 'error')
            print('refused', flush=True)

if __name__ == '__main__':
    trio.run(main)
"""
    async with shared_tree(), open_ems(broker, 'paper') as (client, stream, *_):
        await run_and_kill(script)

        order = mk_order(f'btcusdt.spot.{broker}', 'buy', 1_000_000, 0.1)
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
