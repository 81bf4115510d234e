"""
The calls that need an account, in the venue's own language.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import trio
from msgspec import convert

from piker_deribit2 import api
from piker_deribit2._channels import Reconnected
from piker_deribit2._config import Credentials
from piker_deribit2._errors import (
    AuthError,
    ConnectionLost,
    OrderRejected,
    Throttled,
)
from piker_deribit2._pacer import Pool
from piker_deribit2.api import Client
from piker_deribit2.messages import (
    AccountSummaries,
    Changes,
    Order,
    UserTrade,
    mk_error,
)

pytestmark = [pytest.mark.usefixtures('open_simvenue'), pytest.mark.in_actor]

_perp: str = 'BTC-PERPETUAL'
_min: int = 60_000
"""A minute, in ms."""
_keys = Credentials('simkey', 'simsecretkey')
_labels = map(str, count(1))

OpenClient = Callable[..., Any]


async def place(client: Client, price: float, **more: Any) -> Order:
    """
    An order to buy with a label of its own.
    """
    label = f'test-{next(_labels)}'
    reply = await client.place('buy', _perp, 10, price=price, label=label, **more)
    return reply.order


async def test_the_life_of_an_order(open_client: OpenClient) -> None:
    async with open_client(credentials=_keys) as (_, client):
        order = await place(client, 100)
        assert (order.order_state, order.amount, order.price) == ('open', 10, 100)
        assert order in await client.get_open_orders()
        edited = (await client.edit(order.order_id, 20, 101)).order
        assert edited.order_id == order.order_id
        assert (edited.amount, edited.price) == (20, 101)
        assert await client.get_order_state(order.order_id) == edited
        assert await client.get_order_state_by_label('BTC', order.label) == [edited]
        cancelled = await client.cancel(order.order_id)
        assert cancelled.order_state == 'cancelled'
        assert await client.get_order_state(order.order_id) == cancelled
        assert await client.get_open_orders() == []
        with pytest.raises(OrderRejected) as rejected:
            await client.cancel(order.order_id)
        assert rejected.value.code == 11044
        # nobody sees to it that labels are unique
        for _ in range(2):
            await client.place('buy', _perp, 10, price=100, label=order.label)
        assert len(await client.get_order_state_by_label('BTC', order.label)) == 3


async def test_what_a_trade_changes(open_client: OpenClient) -> None:
    async with open_client(credentials=_keys) as (_, client):
        assert await client.get_positions() == []
        async with client.session.open_channel('user.changes.any.any.raw') as msgs:
            reply = await client.place('sell', _perp, 50)
            assert reply.order.order_state == 'filled'
            assert sum(trade.amount for trade in reply.trades) == 50
            told: list[UserTrade] = []
            while len(told) < len(reply.trades):
                msg = await msgs.receive()
                assert isinstance(msg, Changes)
                told += msg.trades
            assert told == [*reply.trades]
        assert await get_user_trades(client, 0) == told
        (position,) = await client.get_positions()
        assert (position.instrument_name, position.signed_size) == (_perp, -50)


async def get_user_trades(client: Client, start_ms: int) -> list[UserTrade]:
    return [it async for page in client.get_user_trades(start_ms) for it in page]


async def test_the_accounts_trades(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Of all currencies, in several pages, from both stores of the venue.
    """
    monkeypatch.setattr(api, '_trades_per_page', 20)
    two_days = 2 * 24 * 60 * _min
    async with open_client(credentials=_keys) as (venue, client):
        start = client.clock.now_ms() - _min
        made: list[UserTrade] = []
        for of_old in (True, False):
            for name, amount in 2 * [(_perp, 10), ('ETH_USDC', 1), ('BTC_USDC', 1)]:
                for _ in range(2):
                    made += (await client.place('buy', name, amount)).trades
            if of_old:
                await venue.set_clock(client.clock.now_ms() + two_days)
                await venue.misbehave('drop')
                await client.get_open_orders()  # on a connection that knows the time
        found = await get_user_trades(client, start)
        assert {it.trade_id for it in found} == {it.trade_id for it in made}
        assert len(found) == len(made)
        times = [it.timestamp for it in found]
        assert times == sorted(times)
        recent = await get_user_trades(client, client.clock.now_ms() - 10 * _min)
        assert recent == found[len(found) // 2 :]


async def test_refused_orders(open_client: OpenClient) -> None:
    async with open_client(credentials=_keys) as (_, client):
        for order, code in (
            (place(client, 100.3), 10043),
            (place(client, 100, valid_for=-1), 13888),
            (client.place('buy', _perp, 12, price=100), 10021),
            (client.place('buy', _perp, 1e16, price=50_000), 10009),
            (client.get_order_state('no-such'), 10004),
        ):
            with pytest.raises(OrderRejected) as rejected:
                await order
            assert rejected.value.code == code
        assert await client.get_open_orders() == []


async def test_the_accounts_own_limits(open_client: OpenClient) -> None:
    """
    Of orders. They are told with each currency, or not.
    """
    async with open_client(credentials=_keys) as (_, client):
        assert client.pools['orders'] == Pool(250, 200)
    own = {'matching_engine': {'trading': {'total': {'burst': 7, 'rate': 3}}}}
    told = [{'currency': 'BTC', 'limits': own}, {'currency': 'ETH'}]
    assert convert({'summaries': told}, AccountSummaries).order_limits == {
        'burst': 7,
        'rate': 3,
    }


async def test_logging_in(open_client: OpenClient) -> None:
    async with open_client() as (_, client):
        with pytest.raises(AuthError):
            await client.get_positions()
        with pytest.raises(AuthError):
            async with client.session.open_channel('user.changes.any.any.raw'):
                pass


async def test_logging_in_by_the_venues_clock(open_client: OpenClient) -> None:
    async with open_client(credentials=_keys, epoch=1_700_000_000_000) as (_, client):
        assert await client.get_open_orders() == []


def test_what_maintenance_stands_for() -> None:
    error = mk_error('private/buy', 11051, 'system_maintenance', None)
    assert type(error) is Throttled


async def test_what_happened_to_orders_without_us(open_client: OpenClient) -> None:
    async with (
        open_client(credentials=_keys) as (venue, client),
        client.session.open_channel('user.changes.any.any.raw') as msgs,
    ):
        await venue.depth(_perp, 0)
        order = await place(client, 100)
        opened = await msgs.receive()
        assert isinstance(opened, Changes)
        assert opened.orders == (order,)
        await venue.print_trade(_perp, 100, 10, 'sell')
        filled = False
        while not filled:
            changes = await msgs.receive()
            assert isinstance(changes, Changes)
            filled = any(it.order_state == 'filled' for it in changes.orders)
        await venue.misbehave('drop')
        while not isinstance(await msgs.receive(), Reconnected):
            pass
        assert (await client.get_order_state(order.order_id)).average_price == 100


async def test_orders_in_flight_as_the_venue_dies(open_client: OpenClient) -> None:
    acknowledged: dict[str, Order] = {}
    uncertain: list[str] = []
    labels = map(str, count())

    async def submit(client: Client) -> None:
        while not (uncertain or restarted.is_set()):
            label = next(labels)
            try:
                reply = await client.place('buy', _perp, 10, price=100, label=label)
            except ConnectionLost:
                uncertain.append(label)
            else:
                acknowledged[label] = reply.order
                if len(acknowledged) == 10:
                    enough.set()

    async with open_client(credentials=_keys) as (venue, client):
        enough, restarted = trio.Event(), trio.Event()
        async with trio.open_nursery() as tn:
            for _ in range(10):  # of which each has an order on its way
                tn.start_soon(submit, client)
            await enough.wait()
            await venue.restart()
            restarted.set()
        orders = {it.label: it for it in await client.get_open_orders()}
        assert uncertain
        assert acknowledged.items() <= orders.items()
        assert {*orders} <= {*acknowledged, *uncertain}
