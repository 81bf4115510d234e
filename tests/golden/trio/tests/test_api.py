"""
The backend's calls, in the venue's own language.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager as acm
from itertools import count, pairwise
from typing import Any

import pytest
import trio
from msgspec.structs import asdict

from minipiker.brokers import BrokerError, SymbolNotFound
from piker_deribit2 import api
from piker_deribit2._channels import Reconnected
from piker_deribit2._config import Credentials
from piker_deribit2._errors import (
    AuthError,
    ConnectionLost,
    OrderRejected,
    Throttled,
)
from piker_deribit2.api import Client, get_client
from piker_deribit2.messages import (
    Changes,
    Order,
    Pair,
    Quote,
    UserTrade,
)
from simvenue import dialect
from simvenue.process import SimVenue, open_simvenue

pytestmark = pytest.mark.usefixtures('open_simvenue')

_perp: str = 'BTC-PERPETUAL'
_min: int = 60_000
"""A minute, in ms."""
_keys = Credentials('simkey', 'simsecretkey')
_labels = map(str, count(1))

OpenClient = Callable[..., Any]


@pytest.fixture
def open_client(monkeypatch: pytest.MonkeyPatch) -> OpenClient:
    @acm
    async def open_client(
        *, log_in: bool = False, **options: Any
    ) -> AsyncIterator[tuple[SimVenue, Client]]:
        """
        A client of a venue of its own, where nothing happens by itself.
        """
        known = {'credentials': _keys} if log_in else {}
        async with open_simvenue(**{'rate': 0, **options}) as venue:
            monkeypatch.setenv('DERIBIT2_URL', venue.url)
            async with get_client(**known) as client:
                yield venue, client

    return open_client


def test_both_sides_say_the_same_of_the_venue() -> None:
    ours = asdict(api.TRAITS)
    theirs = dict(dialect.TRAITS)
    assert {name: theirs[name] for name in ours} == {
        name: list(value) if isinstance(theirs[name], list) else value
        for name, value in ours.items()
    }


async def test_assets_and_pairs(open_client: OpenClient) -> None:
    async with open_client() as (_, client):
        assets = await client.get_assets()
        pairs: dict[str, Pair] = await client.get_mkt_pairs()
        assert (assets['btc'].atype, assets['usd'].atype) == ('crypto', 'fiat')
        assert all(name == asset.name == name.lower() for name, asset in assets.items())
        assert all(bs_fqme == pair.bs_fqme for bs_fqme, pair in pairs.items())
        assert {'btcusd.perp', 'btcusdc.perp', 'btcusdc.spot'} <= set(pairs)
        assert pairs['btcusd.perp'].bs_mktid == _perp
        kinds = {(pair.venue, pair.instrument_type) for pair in pairs.values()}
        assert kinds >= {
            ('spot', 'linear'),
            ('perp', 'reversed'),
            ('perp', 'linear'),
            ('future', 'reversed'),
            ('option', 'reversed'),
            ('option', 'linear'),
        }
        for pair in pairs.values():
            assert {pair.base_currency.lower(), pair.quote_currency.lower()} <= set(
                assets
            )
            assert None not in asdict(pair).values()
        # at every call the very same objects
        again = await client.get_mkt_pairs(reload=True)
        assert all(again[bs_fqme] is pair for bs_fqme, pair in pairs.items())
        assert await client.get_pair(_perp) is pairs['btcusd.perp']


async def test_bars(open_client: OpenClient) -> None:
    async with open_client() as (_, client):
        now = client.now_ms()
        bars = await client.get_bars(_perp, 60, now - 10 * _min, now)
        assert len(bars.ticks) == 10
        assert all(b - a == _min for a, b in pairwise(bars.ticks))
        some = await client.get_bars(_perp, 60, bars.ticks[2], bars.ticks[5])
        assert some.ticks == bars.ticks[2:6]
        assert some.close == bars.close[2:6]
        for seconds in api.TRAITS.bar_seconds:
            long_ago = now - 500 * 1000 * seconds
            bars = await client.get_bars(_perp, seconds, long_ago, now)
            assert 499 <= len(bars.ticks) <= 501
            assert bars.ticks[1] - bars.ticks[0] == 1000 * seconds


async def test_pages_of_trades(open_client: OpenClient) -> None:
    async with open_client(rate=50) as (_, client):
        newest, more = await client.get_trades(_perp, count=5, newest_first=True)
        numbers = [trade.number for trade in newest]
        assert more
        assert numbers == [*range(numbers[0], numbers[0] - 5, -1)]
        between, _ = await client.get_trades(
            _perp, first_number=numbers[3], last_number=numbers[1]
        )
        assert between == newest[1:4][::-1]
        since, _ = await client.get_trades(
            _perp, start_ms=newest[3].timestamp, end_ms=newest[1].timestamp
        )
        assert {*since} >= {*between}
        first, more = await client.get_trades(_perp, first_number=numbers[4], count=2)
        assert (first, more) == (newest[4:2:-1], True)


async def test_refusals(open_client: OpenClient) -> None:
    async with open_client() as (_, client):
        with pytest.raises(SymbolNotFound, match='BTC-XXX'):
            await client.get_ticker('BTC-XXX')
        with pytest.raises(SymbolNotFound):
            await client.get_pair('BTC-1JAN20-1-C')
        with pytest.raises(BrokerError, match='resolution'):
            await client.get_bars(_perp, 7 * 60, 0, 1)


async def test_heartbeats_are_answered(open_client: OpenClient) -> None:
    # by the venue's clock, which is a fast one
    async with open_client(rate=1, speed=50) as (venue, client):
        async with client.open_channel(f'quote.{_perp}') as msgs:
            first = await msgs.receive()
            assert isinstance(first, Quote)
            # the second one would have ended it, had the first got no answer
            async for msg in msgs:
                assert isinstance(msg, Quote)
                if msg.timestamp > first.timestamp + 2500 * api.HEARTBEAT:
                    break
        assert (await venue.state()).requests['test'] >= 2


async def test_the_venues_clock_may_be_another(open_client: OpenClient) -> None:
    epoch = 1_700_000_000_000
    async with open_client(log_in=True, epoch=epoch) as (_, client):
        assert epoch < client.now_ms() < epoch + 10 * _min


@pytest.mark.parametrize('part', [2, 500])
async def test_many_channels(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(api, '_channels_per_call', part)
    async with open_client() as (venue, client):
        names = [pair.bs_mktid for pair in (await client.get_mkt_pairs()).values()][:5]
        async with client.open_channel(*(f'quote.{name}' for name in names)):
            assert (await venue.state()).subscriptions['quote'] == dict.fromkeys(
                names, 1
            )


async def place(client: Client, price: float, **more: Any) -> Order:
    """
    An order to buy with a label of its own.
    """
    label = f'test-{next(_labels)}'
    reply = await client.place('buy', _perp, 10, price=price, label=label, **more)
    return reply.order


async def test_the_life_of_an_order(open_client: OpenClient) -> None:
    async with open_client(log_in=True) as (_, client):
        order = await place(client, 100)
        assert (order.order_state, order.amount, order.price) == ('open', 10, 100)
        assert order in await client.get_open_orders()
        edited = (await client.edit(order.order_id, 20, 101)).order
        assert edited.order_id == order.order_id
        assert (edited.amount, edited.price, edited.replaced) == (20, 101, True)
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
    async with open_client(log_in=True) as (_, client):
        assert await client.get_positions() == []
        async with client.open_channel('user.changes.any.any.raw') as msgs:
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
    async with open_client(log_in=True) as (venue, client):
        start = client.now_ms() - _min
        made: list[UserTrade] = []
        for of_old in (True, False):
            for name, amount in 2 * [(_perp, 10), ('ETH_USDC', 1), ('BTC_USDC', 1)]:
                for _ in range(2):
                    made += (await client.place('buy', name, amount)).trades
            if of_old:
                await venue.set_clock(client.now_ms() + two_days)
                await venue.misbehave('drop')
                await client.get_open_orders()  # on a connection that knows the time
        found = await get_user_trades(client, start)
        assert {it.trade_id for it in found} == {it.trade_id for it in made}
        assert len(found) == len(made)
        times = [it.timestamp for it in found]
        assert times == sorted(times)
        recent = await get_user_trades(client, client.now_ms() - 10 * _min)
        assert recent == found[len(found) // 2 :]


async def test_refused_orders(open_client: OpenClient) -> None:
    async with open_client(log_in=True) as (_, client):
        ask = (await client.get_ticker(_perp)).best_ask_price
        for order, code in (
            (place(client, ask, post_only=True), 11054),
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


async def test_logging_in(open_client: OpenClient) -> None:
    async with open_client() as (_, client):
        with pytest.raises(AuthError):
            await client.get_positions()
        with pytest.raises(AuthError):
            async with client.open_channel('user.changes.any.any.raw'):
                pass


async def test_secrets_stay_secret(
    open_client: OpenClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ('k3y-to-hide', 's3cret-to-hide')
    credentials = Credentials(*secrets)
    async with open_client():
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


async def test_a_lost_reply(open_client: OpenClient) -> None:
    async with open_client(log_in=True) as (venue, client):
        await venue.misbehave('lose_reply', operation='place')
        with pytest.raises(ConnectionLost):
            await client.place('buy', _perp, 10, price=100, label='lost')
        # it was carried out, and not again
        (order,) = await client.get_order_state_by_label('BTC', 'lost')
        assert await client.get_open_orders() == [order]

        await venue.misbehave('lose_request', operation='cancel')
        with pytest.raises(ConnectionLost):
            await client.cancel(order.order_id)
        assert await client.get_open_orders() == [order]


@pytest.mark.parametrize('kind', ['rate_limit', 'maintenance'])
async def test_an_order_that_comes_at_a_bad_time(
    open_client: OpenClient, kind: str
) -> None:
    async with open_client(log_in=True) as (venue, client):
        fault: dict[str, Any] = {'kind': kind, 'seconds': 0.3}
        await venue.misbehave(**fault, operation='place')
        with pytest.raises(Throttled):
            await place(client, 100)
        await venue.behave()
        assert await client.get_open_orders() == []
        # questions are asked again
        await venue.misbehave(**fault, operation='open_orders')
        assert await client.get_open_orders() == []


async def test_what_happened_to_orders_without_us(open_client: OpenClient) -> None:
    async with (
        open_client(log_in=True) as (venue, client),
        client.open_channel('user.changes.any.any.raw') as msgs,
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

    async with open_client(log_in=True) as (venue, client):
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
