"""
Orders, from a client through `emsd` and `brokerd` to the venue and back.

Run in a generated project, by `benchmarks/trading.py`. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import bench_wire as wire
import httpx
import msgspec
import psutil
import tractor
import trio
from minipiker.brokers import __brokers__, get_brokermod
from minipiker.clearing import open_ems
from minipiker.clearing._messages import Status
from minipiker.clearing.testing import mk_account, mk_order
from minipiker.service import open_pikerd
from minipiker.testing import Market, find_market, write_brokers_toml
from simvenue.process import open_simvenue
from trio_websocket import open_websocket_url

(broker,) = __brokers__
account = f'{broker}.main'


def p99(times: list[float]) -> float:
    return quantiles(times, n=100)[-1]


async def bare_actor(count: int) -> list[float]:
    """
    A round trip over a context's stream, in processes that have nothing of the
    project: it makes the runtime itself somewhat faster.
    """
    command = [sys.executable, '-c', f'import bench_bare; bench_bare.main({count})']
    done = await trio.run_process(command, capture_stdout=True)
    times: list[float] = json.loads(done.stdout)
    return times


async def bare_socket(url: str, count: int) -> list[float]:
    """
    A request to the venue and its reply.
    """
    times: list[float] = []
    async with open_websocket_url(wire.socket_of(url)) as websocket:
        with trio.move_on_after(0.5):
            await websocket.get_message()  # a greeting
        for _ in range(count):
            begin = time.perf_counter()
            await websocket.send_message(wire.PING)
            await websocket.get_message()
            times.append(time.perf_counter() - begin)
    return times


async def bare_http(url: str, count: int) -> list[float]:
    """
    The same by HTTP, on a connection that is kept.
    """
    times: list[float] = []
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        await client.get(wire.PING_PATH)
        for _ in range(count):
            begin = time.perf_counter()
            await client.get(wire.PING_PATH)
            times.append(time.perf_counter() - begin)
    return times


@tractor.context
async def bare_brokerd(ctx: tractor.Context, url: str, orders: dict[str, Any]) -> None:
    """
    What brokerd cannot do without: an ack, the order on a socket to the venue, and
    what that says of it.
    """
    async with open_websocket_url(url) as websocket:

        async def post(id_: int, method: str, params: dict[str, Any]) -> None:
            request = {'jsonrpc': '2.0', 'id': id_, 'method': method, 'params': params}
            await websocket.send_message(msgspec.json.encode(request).decode())

        key, secret = mk_account()['main'].values()
        login = {'client_id': key, 'client_secret': secret}
        await post(0, 'public/auth', {'grant_type': 'client_credentials', **login})
        await websocket.get_message()
        await ctx.started()
        async with ctx.open_stream() as stream, trio.open_nursery() as nursery:

            async def read() -> None:
                while True:
                    reply = msgspec.json.decode(await websocket.get_message())
                    assert reply['result']['trades'], reply
                    await stream.send(['fill', reply['id']])

            nursery.start_soon(read)
            async for number in stream:
                await stream.send(['ack', number])
                side = 'sell' if number % 2 else 'buy'
                await post(number, f'private/{side}', orders[side])
            nursery.cancel_scope.cancel()


@tractor.context
async def bare_emsd(ctx: tractor.Context, url: str, orders: dict[str, Any]) -> None:
    """
    What emsd cannot do without: to hand on what comes from either side.
    """
    async with tractor.open_nursery() as actors:
        portal = await actors.start_actor('bare_brokerd', enable_modules=[__name__])
        async with portal.open_context(bare_brokerd, url=url, orders=orders) as (
            broker,
            _,
        ):
            await ctx.started()
            async with (
                ctx.open_stream() as client,
                broker.open_stream() as stream,
                trio.open_nursery() as nursery,
            ):

                async def relay() -> None:
                    async for msg in stream:
                        await client.send(msg)

                nursery.start_soon(relay)
                async for msg in client:
                    await stream.send(msg)
                nursery.cancel_scope.cancel()
            await broker.cancel()
        await portal.cancel_actor()


async def bare_trade(
    nursery: Any, url: str, market: Market, count: int, in_flight: int
) -> dict[str, list[float]]:
    """
    The same as `trade()`, with nothing in those actors that there must be.
    """
    orders = {
        side: {
            'instrument_name': market.name,
            'amount': market.size(1),
            'type': 'limit',
            'price': market.price(price),
        }
        for side, price in {'buy': 1.1, 'sell': 0.9}.items()
    }
    begins: dict[int, float] = {}
    took: dict[str, list[float]] = {'ack': [], 'fill': []}
    slots = trio.Semaphore(in_flight)
    portal = await nursery.start_actor('bare_emsd', enable_modules=[__name__])
    async with (
        portal.open_context(bare_emsd, url=url, orders=orders) as (ctx, _),
        ctx.open_stream() as stream,
        trio.open_nursery() as tn,
    ):

        async def send() -> None:
            for number in range(1, count + 1):
                await slots.acquire()
                begins[number] = time.perf_counter()
                await stream.send(number)

        tn.start_soon(send)
        while len(took['fill']) < count:
            what, number = await stream.receive()
            took[what].append(time.perf_counter() - begins[number])
            if what == 'fill':
                slots.release()
        await ctx.cancel()
    await portal.cancel_actor()
    return took


async def trade(market: Market, count: int, in_flight: int) -> dict[str, list[float]]:
    """
    Time `count` orders at the market to their ack and first fill, so many at a time.
    """
    begins: dict[str, float] = {}
    acks: dict[str, float] = {}
    fills: dict[str, float] = {}
    slots = trio.Semaphore(in_flight)
    async with open_ems(broker, 'live') as (client, stream, *_):

        async def send() -> None:
            for number in range(count):
                await slots.acquire()
                action = 'sell' if number % 2 else 'buy'
                price = market.price(0.9 if number % 2 else 1.1)
                order = mk_order(market.fqme, action, price, market.size(1), account)
                begins[order.oid] = time.perf_counter()
                await client.send(order)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            done = 0
            while done < count:
                msg = await stream.receive()
                if not isinstance(msg, Status):
                    continue
                now = time.perf_counter()
                match msg.resp:
                    case 'pending':
                        acks.setdefault(msg.oid, now - begins[msg.oid])
                    case 'fill':
                        fills.setdefault(msg.oid, now - begins[msg.oid])
                    case 'closed':
                        done += 1
                        slots.release()
                    case 'error':
                        raise RuntimeError(msg.brokerd_msg['reason'])
    return {'ack': [*acks.values()], 'fill': [*fills.values()]}


def memory() -> dict[str, int]:
    """
    Bytes that each daemon has for itself.
    """
    return {
        name: process.memory_info().rss
        for process in psutil.Process().children(recursive=True)
        for name in ('emsd', f'brokerd.{broker}')
        if name in ' '.join(process.cmdline())
    }


async def measure(count: int, history: int) -> dict[str, Any]:
    measured: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        # with limits that nobody comes near to
        limits = {
            f'{what}_{limit}': 1_000_000
            for what in ('request', 'order')
            for limit in ('burst', 'rate')
        }
        async with open_simvenue(rate=0, **limits) as venue:
            write_brokers_toml(Path(folder), url=venue.url, **mk_account())
            async with open_pikerd(
                loglevel='error',
                tractor_runtime_overrides={'piker_test_dir': folder},
            ) as services:
                market = await find_market(venue, get_brokermod(broker))
                await trade(market, 50, 1)
                actor = await bare_actor(count)
                venues = {'socket': await bare_socket(venue.url, count)}
                if wire.PING_PATH:
                    venues['HTTP'] = await bare_http(venue.url, count)
                for way, times in venues.items():
                    for name, of in {'median': median, 'p99': p99}.items():
                        both = of(actor) + of(times)
                        measured.setdefault(f'round_trips_{name}', {})[way] = both
                for in_flight in (1, 100):
                    took = await trade(market, count, in_flight)
                    for name, values in took.items():
                        measured[f'{name}_{in_flight}'] = median(values)
                        measured[f'{name}_{in_flight}_p99'] = p99(values)
                    if not wire.HAS_BARE_ORDERS:
                        continue
                    bare = await bare_trade(
                        services.actor_n, venue.url, market, count, in_flight
                    )
                    for name, values in bare.items():
                        measured[f'bare_{name}_{in_flight}'] = median(values)
                if history:
                    await trade(market, history // 10, 100)
                    before = memory()
                    begin = time.perf_counter()
                    await trade(market, history - history // 10, 100)
                    measured['per_second'] = (
                        history * 0.9 / (time.perf_counter() - begin)
                    )
                    after = memory()
                    measured['growth'] = {
                        name: after[name] / before[name] for name in before
                    }
    return measured


def main(count: int = 500, history: int = 0) -> None:
    json.dump(trio.run(measure, count, history), sys.stdout)


if __name__ == '__main__':
    os.environ.setdefault('PYTHONDONTWRITEBYTECODE', '')
    main(*map(int, sys.argv[1:]))
