"""
The calls that need an account, in the venue's own language.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import trio

#{% filter replace('PACKAGE', package.replace(_copier_conf.sep, '.')) %}
from PACKAGE import pace
from PACKAGE._broker import open_orders
from PACKAGE._channels import Reconnected
from PACKAGE._client import get_client
from PACKAGE._config import Credentials
from PACKAGE._errors import (
    ConnectionLost,
    OrderExpired,
    OrderRejected,
)
from PACKAGE.account import Execution, Executions, UserTrade
from PACKAGE.api import Client
from PACKAGE.messages import mk_error
#{% endfilter %}

#{% if client == 'asyncio' %}
pytestmark = [pytest.mark.usefixtures('open_simvenue'), pytest.mark.in_actor]
#{% else %}
pytestmark = pytest.mark.usefixtures('open_simvenue')
#{% endif %}

_market: str = 'BTC/USD'
_keys = Credentials('simkey', 'simsecretkey')
_ids = map(str, count(1))

OpenClient = Callable[..., Any]


async def test_nonces_rise_whoever_signs(open_client: OpenClient) -> None:
    """
    However many requests are made at once, and after a restart: none is refused.
    """
    async with open_client(credentials=_keys) as (venue, client):
        async with get_client(credentials=_keys) as another:
            for who in (client, another, client):
                async with trio.open_nursery() as tn:
                    for _ in range(20):
                        tn.start_soon(who.get_open_orders)
        assert (await venue.state()).requests['open_orders'] == 60


async def test_a_nonce_that_is_too_low(open_client: OpenClient) -> None:
    async with open_client(credentials=_keys) as (_, client):
        ahead = time.time_ns() + 10**9
        client._nonce = ahead
        await client.get_open_orders()
        client._nonce = 0
        # the clock gets there
        assert await client.get_open_orders() == {}
        assert client._nonce > ahead


async def test_each_connection_has_a_token_of_its_own(open_client: OpenClient) -> None:
    async with (
        open_client(credentials=_keys) as (venue, client),
        client.session.open_channel('executions') as msgs,
    ):
        token = client.token
        await venue.misbehave('drop')
        while not isinstance(await msgs.receive(), Reconnected):
            pass
        await place(client, 30_000)
        assert client.token != token
        assert (await venue.state()).requests['login'] == 2


async def test_a_token_that_ran_out_is_fetched_anew(open_client: OpenClient) -> None:
    async with (
        open_client(credentials=_keys) as (venue, client),
        client.session.open_channel('executions'),
    ):
        await venue.misbehave('unauthorized', operation='subscribe')
        async with client.session.open_channel('balances'):
            assert (await venue.state()).requests['login'] == 2


async def place(client: Client, price: float, **more: Any) -> str:
    """
    An order to buy with an id of its own.
    """
    more.setdefault('cl_ord_id', f'test-{next(_ids)}')
    return await client.place('buy', _market, 0.001, price=price, **more)


async def test_the_life_of_an_order(open_client: OpenClient) -> None:
    async with open_client(credentials=_keys) as (_, client):
        order_id = await place(client, 30_000, cl_ord_id='mine')
        (order,) = (await client.get_open_orders()).values()
        assert (order.status, order.cl_ord_id) == ('open', 'mine')
        assert (float(order.vol), float(order.descr.price)) == (0.001, 30_000)
        # no two open ones have the same id
        with pytest.raises(OrderRejected):
            await place(client, 30_000, cl_ord_id='mine')

        await client.amend(order_id, 0.002, 30_001)
        order = await client.get_order(order_id)
        assert (float(order.vol), float(order.descr.price)) == (0.002, 30_001)
        assert (await client.get_open_orders('mine')).keys() == {order_id}
        assert await client.get_open_orders('other') == {}
        replaced = await client.replace(order_id, _market, 0.003, 30_002)
        assert (await client.get_open_orders()).keys() == {replaced} != {order_id}

        await client.cancel(replaced)
        assert await client.get_open_orders() == {}
        assert (await client.get_order(replaced)).status == 'canceled'
        assert {order_id, replaced} == {*await client.get_closed_orders('mine')}
        with pytest.raises(OrderRejected, match='Unknown order'):
            await client.cancel(replaced)


async def test_what_a_trade_changes(open_client: OpenClient) -> None:
    async with open_client(credentials=_keys) as (_, client):
        await client.get_mkt_pairs()
        before = await client.get_balances()
        async with client.session.open_channel('executions') as msgs:
            order_id = await client.place('sell', _market, 0.5)
            rows: list[Execution] = []
            numbers: list[int] = []
            while not rows or rows[-1].order_status != 'filled':
                msg = await msgs.receive()
                assert isinstance(msg, Executions)
                rows += msg.rows
                numbers.append(msg.sequence)
        assert numbers == [*range(1, len(numbers) + 1)]
        assert {it.order_id for it in rows} == {order_id}
        told = {it.exec_id: it.last_qty for it in rows if it.exec_type == 'trade'}
        assert sum(told.values()) == pytest.approx(0.5)
        found = await get_user_trades(client, 0)
        assert {it.exec_id: it.qty for it in found} == told
        assert {it.symbol for it in found} == {_market}
        after = await client.get_balances()
        sold = float(before['XXBT'].balance) - float(after['XXBT'].balance)
        assert sold == pytest.approx(0.5)


@pytest.mark.case('TRAIT-CHANNELS')
async def test_what_is_missing_is_noticed(open_client: OpenClient) -> None:
    """
    The host is told to ask for everything anew.
    """
    async with (
        open_client(credentials=_keys) as (venue, client),
        open_orders(_keys) as orders,
    ):
        await client.get_mkt_pairs()
        await venue.misbehave('skip', topic='fills')
        for _ in range(2):
            await client.place('sell', _market, 0.01)
        with trio.fail_after(20):
            async for event in orders.events:
                if isinstance(event, Reconnected):
                    break
        assert not (await venue.state()).faults


async def get_user_trades(client: Client, start: float) -> list[UserTrade]:
    return [it async for page in client.get_user_trades(start) for it in page]


async def test_the_accounts_trades(open_client: OpenClient) -> None:
    """
    In several pages, of which the venue has the newest first.
    """
    async with open_client(credentials=_keys) as (venue, client):
        await client.get_mkt_pairs()
        assert await get_user_trades(client, 0) == []
        for _ in range(130):
            await client.place('sell', _market, 0.0001)
        pages = [page async for page in client.get_user_trades(0)]
        assert len(pages) > 2
        found = [it for page in pages for it in page]
        assert len({it.exec_id for it in found}) == len(found)
        assert len(found) == len((await venue.account('simkey')).fills)
        times = [it.time for it in found]
        assert times == sorted(times)
        recent = await get_user_trades(client, times[100])
        assert [it for it in recent if it.time >= times[100]] == [
            it for it in found if it.time >= times[100]
        ]


async def test_refused_orders(open_client: OpenClient) -> None:
    async with open_client(credentials=_keys) as (_, client):
        ask = (await client.get_ticker(_market)).best_ask_price
        for order, text in (
            (place(client, 30_000.03), 'EOrder:Tick size check failed'),
            (client.place('buy', _market, 1e-8, price=100), 'EOrder:Order minimum'),
            (client.place('buy', _market, 1e5, price=ask), 'EOrder:Insufficient funds'),
            (client.get_order('OAAAAA-AAAAA-AAAAAA'), 'EOrder:Unknown order'),
        ):
            with pytest.raises(OrderRejected) as rejected:
                await order
            assert str(rejected.value.code).startswith(text)
        with pytest.raises(OrderExpired):
            await place(client, 30_000, valid_for=-1)
        assert await client.get_open_orders() == {}


def test_what_changes_cost() -> None:
    """
    The more, the younger the order is.
    """
    changes = {'O1': pace.Change(_market, 100.0)}
    for method, params, now, expected in (
        ('public/Time', {}, 0, ('requests', 1)),
        ('private/OpenOrders', {}, 0, ('account', 1)),
        ('private/TradesHistory', {}, 0, ('account', 2)),
        ('add_order', {'symbol': _market}, 0, (f'orders {_market}', 1)),
        ('amend_order', {'order_id': 'O1'}, 101, (f'orders {_market}', 4)),
        ('amend_order', {'order_id': 'O1'}, 120, (f'orders {_market}', 1)),
        ('edit_order', {'order_id': 'O1'}, 101, (f'orders {_market}', 7)),
        ('cancel_order', {'order_id': ['O1']}, 101, (f'orders {_market}', 8)),
        ('cancel_order', {'order_id': ['O1']}, 1000, (f'orders {_market}', 0)),
    ):
        assert pace.cost(method, params, changes, now) == expected


def test_what_maintenance_stands_for() -> None:
    error = mk_error('add_order', 'EService:Unavailable', 0)
    assert type(error) is ConnectionLost
