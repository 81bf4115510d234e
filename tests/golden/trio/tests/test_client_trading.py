"""
The venue's client as a trader: logging in, orders, and replies that never come.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import trio

from minipiker.testing import open_process
from piker_deribit2.api import (
    AuthError,
    Client,
    ConnectionLost,
    Credentials,
    Order,
    OrderRejected,
    OrdersMsg,
    PositionsMsg,
    Reconnected,
    Throttled,
    UserTradesMsg,
    get_client,
)
from simvenue.process import open_simvenue
from simvenue.wire import call

_ann: Credentials = Credentials('simkey', 'simsecret')
_btc: dict[str, Any] = {'instrument_name': 'BTC-USDT'}
_labels: Iterator[int] = count(1)


@pytest.fixture(scope='module')
def venue_url() -> Iterator[str]:
    """
    A venue that the tests of this module share; nothing happens there by itself.
    """
    with open_process('simvenue', '--rate=0') as (_, url):
        yield url


@pytest.fixture
def url(venue_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv('DERIBIT2_URL', venue_url)
    return venue_url


async def place(client: Client, price: float, **more: Any) -> Order:
    """
    An order to buy with a label of its own.
    """
    label = f'test-{next(_labels)}'
    return (
        await client.submit_order('BTC-USDT', 'buy', 1, price, label=label, **more)
    ).order


async def test_the_life_of_an_order(url: str) -> None:
    async with get_client(credentials=_ann) as client:
        order = await place(client, 100)
        assert (order.order_state, order.amount, order.price) == ('open', 1, 100)
        assert order in await client.get_open_orders()
        edited = (await client.edit_order(order.order_id, 2, 101)).order
        assert edited.order_id == order.order_id
        assert (edited.amount, edited.price) == (2, 101)
        assert await client.get_order_state(label=order.label) == edited
        cancelled = await client.cancel_order(order.order_id)
        assert cancelled.order_state == 'cancelled'
        assert await client.get_order_state(order.order_id) == cancelled
        with pytest.raises(OrderRejected, match='order is cancelled'):
            await client.cancel_order(order.order_id)
        await place(client, 100)
        assert await client.cancel_all() == 1
        assert await client.get_open_orders() == []


async def test_what_a_trade_changes(url: str) -> None:
    async with get_client(credentials=_ann) as client:
        before = {it.instrument_name: it for it in await client.get_positions()}
        reply = await client.submit_order('ETH-USDT', 'sell', 0.5, order_type='market')
        assert (reply.order.order_state, reply.order.price) == ('filled', None)
        assert await client.get_user_trades(reply.trades[0].user_seq) == reply.trades
        after = {it.instrument_name: it for it in await client.get_positions()}
        size = before['ETH-USDT'].size if before else 0
        assert after['ETH-USDT'].size == size - 0.5
        balances = {it.currency: it for it in await client.get_balances()}
        assert balances['ETH'].available == balances['ETH'].balance < 10_000_000


async def test_refusals(url: str) -> None:
    async with get_client(credentials=_ann) as client:
        ask = (await client.get_ticker('BTC-USDT')).best_ask_price
        with pytest.raises(OrderRejected, match='post_only_reject'):
            await place(client, ask, post_only=True)
        with pytest.raises(OrderRejected, match='not_enough_funds'):
            await client.submit_order('BTC-USDT', 'buy', 1e9, 100)
        with pytest.raises(OrderRejected, match='order_not_found'):
            await client.get_order_state(label='nothing')
        assert await client.get_open_orders() == []


async def test_logging_in(url: str) -> None:
    async with get_client() as client:
        with pytest.raises(AuthError, match='unauthorized'):
            await client.get_balances()
        with pytest.raises(AuthError, match='unauthorized'):
            async with client.open_channel('user.orders'):
                pass
    with pytest.raises(AuthError, match='wrong signature'):
        async with get_client(credentials=Credentials('simkey', 'wrong')):
            pass


async def test_our_clock_may_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_simvenue(epoch=1_600_000_000_000) as venue:
        monkeypatch.setenv('DERIBIT2_URL', venue.url)
        async with get_client(credentials=_ann) as client:
            assert await client.get_positions() == []


async def test_secrets_stay_secret(
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ('k3y-to-hide', 's3cret-to-hide')
    credentials = Credentials(*secrets)
    with pytest.raises(AuthError) as failure:
        async with get_client(credentials=credentials):
            pass
    shown = [
        caplog.text,
        repr(credentials),
        str(credentials),
        *traceback.format_exception(failure.value),
    ]
    assert not [text for text in shown if any(it in text for it in secrets)]


async def test_a_lost_reply(url: str) -> None:
    label = f'lost-{next(_labels)}'
    async with get_client(credentials=_ann) as client:
        await call(url, 'sim/fault', kind='lose_reply', method='private/buy')
        with pytest.raises(ConnectionLost):
            await client.submit_order('BTC-USDT', 'buy', 1, 100, label=label)
        # it was carried out, and will not be again
        order = await client.get_order_state(label=label)
        assert await client.get_open_orders() == [order]
        with pytest.raises(OrderRejected, match='used before'):
            await client.submit_order('BTC-USDT', 'buy', 1, 100, label=label)

        await call(url, 'sim/fault', kind='lose_reply', method='private/cancel')
        with pytest.raises(ConnectionLost):
            await client.cancel_order(order.order_id)
        order = await client.get_order_state(label=label)
        assert order.order_state == 'cancelled'


async def test_too_many_orders(url: str) -> None:
    async with get_client(credentials=_ann) as client:
        fault = {'kind': 'rate_limit', 'seconds': 0.05}
        await call(url, 'sim/fault', **fault, method='private/buy')
        with pytest.raises(Throttled) as throttled:
            await place(client, 100)
        assert throttled.value.pause == 0.05
        assert await client.get_open_orders() == []
        # questions are asked again
        await call(url, 'sim/fault', **fault, method='private/get_open_orders')
        assert await client.get_open_orders() == []


async def test_no_fill_is_lost(url: str) -> None:
    async with (
        get_client(credentials=_ann) as client,
        client.open_channel('user.orders', 'user.trades', 'user.positions') as stream,
    ):
        order = await place(client, 100)
        opened = await stream.receive()
        assert isinstance(opened, OrdersMsg)
        assert opened.orders == [order]

        await call(url, 'sim/trade', **_btc, price=100, amount=0.25)
        trades, orders, positions = [await stream.receive() for _ in range(3)]
        assert isinstance(trades, UserTradesMsg)
        (seen,) = trades.trades
        assert isinstance(orders, OrdersMsg)
        assert orders.orders[0].filled_amount == seen.amount == 0.25
        assert isinstance(positions, PositionsMsg)

        # the rest is filled while nobody listens
        await call(url, 'sim/fault', kind='skip', channel='user.trades')
        await call(url, 'sim/trade', **_btc, price=100, amount=0.25)
        await call(url, 'sim/trade', **_btc, price=100, amount=0.5)
        while not isinstance(await stream.receive(), Reconnected):
            pass
        missed = await client.get_user_trades(seen.user_seq + 1)
        assert [it.amount for it in missed] == [0.25, 0.5]
        assert [it.user_seq - seen.user_seq for it in missed] == [1, 2]
        order = await client.get_order_state(order.order_id)
        assert (order.order_state, order.average_price) == ('filled', 100)


async def test_orders_in_flight_as_the_venue_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acknowledged: dict[str, Order] = {}
    uncertain: list[str] = []
    labels = map(str, count())

    async def submit(client: Client) -> None:
        while not (uncertain or restarted.is_set()):
            label = next(labels)
            try:
                reply = await client.submit_order(
                    'BTC-USDT', 'buy', 1, 100, label=label
                )
            except ConnectionLost:
                uncertain.append(label)
            else:
                acknowledged[label] = reply.order
                if len(acknowledged) == 20:
                    enough.set()

    async with open_simvenue(rate=0) as venue:
        monkeypatch.setenv('DERIBIT2_URL', venue.url)
        async with get_client(credentials=_ann) as client:
            enough, restarted = trio.Event(), trio.Event()
            async with trio.open_nursery() as nursery:
                for _ in range(10):  # of which each has an order on its way
                    nursery.start_soon(submit, client)
                await enough.wait()
                await venue.restart()
                restarted.set()
            orders = {it.label: it for it in await client.get_open_orders()}
            assert uncertain
            assert acknowledged.items() <= orders.items()
            # those that were lost can be placed, the others are there
            for label in uncertain:
                if label not in orders:
                    await client.submit_order('BTC-USDT', 'buy', 1, 100, label=label)
            known = [it.label for it in await client.get_open_orders()]
    assert sorted(known) == sorted([*acknowledged, *uncertain])
