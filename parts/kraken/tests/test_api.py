"""
The backend's calls, in the venue's own language.
"""

from __future__ import annotations

#{% if trading %}
import logging
import time
import traceback
#{% endif %}
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager as acm
#{% if trading %}
from itertools import count, pairwise
#{% else %}
from itertools import pairwise
#{% endif %}
from typing import Any

import pytest
import trio
from msgspec.structs import asdict, replace

from minipiker.brokers import BrokerError, SymbolNotFound
#{% filter replace('PACKAGE', package.replace(_copier_conf.sep, '.')) %}
#{% if trading %}
from PACKAGE import api, pace
from PACKAGE._channels import Reconnected
from PACKAGE._config import Credentials
#{% else %}
from PACKAGE import api
#{% endif %}
from PACKAGE._connection import read_pause
#{% if trading %}
from PACKAGE._errors import (
    AuthError,
    ConnectionLost,
    OrderExpired,
    OrderRejected,
    Throttled,
)
from PACKAGE.account import Execution, Executions, UserTrade
#{% endif %}
from PACKAGE.api import Client, get_client
from PACKAGE.messages import Pair, Quote
#{% endfilter %}
from simvenue import dialect
from simvenue.process import SimVenue, open_simvenue

#{% if client == 'asyncio' %}
pytestmark = [pytest.mark.usefixtures('open_simvenue'), pytest.mark.in_actor]
#{% else %}
pytestmark = pytest.mark.usefixtures('open_simvenue')
#{% endif %}

_market: str = 'BTC/USD'
_min: int = 60_000
"""A minute, in ms."""
#{% if trading %}
_keys = Credentials('simkey', 'simsecretkey')
_ids = map(str, count(1))
#{% endif %}

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
#{% if trading %}
        known = {'credentials': _keys} if log_in else {}
#{% else %}
        known: dict[str, Any] = {}
#{% endif %}
        async with open_simvenue(**{'rate': 0, **options}) as venue:
            monkeypatch.setenv('{{ backend | upper }}_URL', venue.url)
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
        btc = pairs['btcusd.spot']
        # requests call it otherwise than sockets do
        assert btc.names == {'BTC/USD', 'XBT/USD', 'XBTUSD', 'XXBTZUSD'}
        assert btc.bs_mktid == _market
        for pair in pairs.values():
            assert {pair.base_currency.lower(), pair.quote_currency.lower()} <= set(
                assets
            )
            assert None not in asdict(pair).values()
        # at every call the very same objects
        again = await client.get_mkt_pairs(reload=True)
        assert all(again[bs_fqme] is pair for bs_fqme, pair in pairs.items())


async def test_bars(open_client: OpenClient) -> None:
    async with open_client() as (_, client):
        now = client.now_ms()
        bars = await client.get_bars(_market, 60, now - 10 * _min, now)
        assert len(bars.ticks) == 10
        assert all(b - a == _min for a, b in pairwise(bars.ticks))
        some = await client.get_bars(_market, 60, bars.ticks[2], bars.ticks[5])
        assert some.ticks == bars.ticks[2:6]
        assert some.close == bars.close[2:6]
        for seconds in api.TRAITS.bar_seconds:
            # it has no more, whatever is asked for, and the last one is not over
            bars = await client.get_bars(_market, seconds, 0, now)
            assert 1 < len(bars.ticks) <= 721
            assert bars.ticks[1] - bars.ticks[0] == 1000 * seconds
            assert now - bars.ticks[-1] < 1000 * seconds + _min


@pytest.mark.parametrize('back', [3, 5_000, 1_000_000])
async def test_trades_by_number(open_client: OpenClient, back: int) -> None:
    async with open_client(rate=50) as (venue, client):
        newest, more = await client.get_trades(_market, count=5, newest_first=True)
        numbers = [trade.number for trade in newest]
        assert more
        assert numbers == [*range(numbers[0], numbers[0] - 5, -1)]
        first = numbers[0] - back
        asked = (await venue.state()).requests['trades']
        found, more = await client.get_trades(
            _market, first_number=first, last_number=first + 2
        )
        assert [it.number for it in found] == [first, first + 1, first + 2]
        assert not more
        assert (await venue.state()).requests['trades'] - asked < 20
        # at once, where it is known since when
        asked = (await venue.state()).requests['trades']
        again, _ = await client.get_trades(
            _market,
            first_number=first,
            last_number=first + 2,
            start_ms=found[0].timestamp,
        )
        assert again == found
        assert (await venue.state()).requests['trades'] == asked + 1


@pytest.mark.parametrize('rate', [0.2, 8, 1000])
async def test_trades_by_time(open_client: OpenClient, rate: float) -> None:
    async with open_client(rate=rate) as (_, client):
        end = client.now_ms() - 60 * _min
        page, more = await client.get_trades(
            _market, start_ms=end - 60 * _min, end_ms=end, newest_first=True
        )
        assert more or rate < 1
        assert all(b.number - a.number == 1 for b, a in pairwise(page))
        assert page[0].timestamp <= end
        # they are the last ones of that time
        later, _ = await client.get_trades(_market, start_ms=page[0].timestamp, count=9)
        (after, *_) = (it for it in later if it.number > page[0].number)
        assert after.timestamp > end
        ascending, _ = await client.get_trades(
            _market, start_ms=page[-1].timestamp, end_ms=end, count=len(page)
        )
        assert {*ascending} >= {*page[-5:]}


async def test_refusals(open_client: OpenClient) -> None:
    async with open_client() as (_, client):
        with pytest.raises(SymbolNotFound, match='Unknown asset pair'):
            await client.get_ticker('BTC/XXX')
        with pytest.raises(BrokerError, match='interval'):
            await client.get_bars(_market, 7 * 60, 0, 1)


async def test_what_got_lost_on_the_way_is_asked_for_again(
    open_client: OpenClient,
) -> None:
    async with open_client() as (venue, client):
        sockets = (await venue.state()).connections
        for kind in ('server_error', 'lose_reply', 'lose_request', 'malformed'):
            await venue.misbehave(kind, operation='ticker', count=2)
            began = trio.current_time()
            await client.get_ticker(_market)
            # after pauses, and on the same sockets
            assert trio.current_time() - began > api.LIMITS.min_backoff
        assert (await venue.state()).requests['time'] == 1
        assert (await venue.state()).connections == sockets


def test_retry_after() -> None:
    assert read_pause('3') == 3
    assert read_pause('soon') is read_pause(None) is None
    assert (read_pause('Fri, 01 Jan 2100 00:00:00 GMT') or 0) > 10**9


async def test_a_quiet_connection_stays(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    No heartbeat comes where nobody has subscribed to anything.
    """
    monkeypatch.setattr(api, 'LIMITS', replace(api.LIMITS, silence=0.4))
    async with open_client() as (venue, _):
        while (await venue.state()).requests['test'] < 8:
            pass
        assert (await venue.state()).requests['time'] == 1


async def test_the_venues_clock_may_be_another(open_client: OpenClient) -> None:
    epoch = 1_700_000_000_000
    async with open_client(epoch=epoch) as (_, client):
        assert epoch < client.now_ms() < epoch + 10 * _min


async def test_many_channels(open_client: OpenClient) -> None:
    async with open_client() as (venue, client):
        names = [pair.symbol for pair in (await client.get_mkt_pairs()).values()]
        async with client.open_channel(*(f'ticker.{name}' for name in names)) as msgs:
            state = await venue.state()
            assert state.subscriptions['quote'] == dict.fromkeys(names, 1)
            quotes = [await msgs.receive() for _ in names]
            assert {it.instrument_name for it in quotes if isinstance(it, Quote)} == {
                *names
            }
#{% if trading %}


async def test_nonces_rise_whoever_signs(open_client: OpenClient) -> None:
    """
    However many requests are made at once, and after a restart: none is refused.
    """
    async with open_client(log_in=True) as (venue, client):
        async with get_client(credentials=_keys) as another:
            for who in (client, another, client):
                async with trio.open_nursery() as tn:
                    for _ in range(20):
                        tn.start_soon(who.get_open_orders)
        assert (await venue.state()).requests['open_orders'] == 60


async def test_a_nonce_that_is_too_low(open_client: OpenClient) -> None:
    async with open_client(log_in=True) as (_, client):
        ahead = time.time_ns() + 10**9
        client._nonce = ahead
        await client.get_open_orders()
        client._nonce = 0
        # the clock gets there
        assert await client.get_open_orders() == {}
        assert client._nonce > ahead


async def test_each_connection_has_a_token_of_its_own(open_client: OpenClient) -> None:
    async with (
        open_client(log_in=True) as (venue, client),
        client.open_channel('executions') as msgs,
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
        open_client(log_in=True) as (venue, client),
        client.open_channel('executions'),
    ):
        await venue.misbehave('unauthorized', operation='subscribe')
        async with client.open_channel('balances'):
            assert (await venue.state()).requests['login'] == 2


async def place(client: Client, price: float, **more: Any) -> str:
    """
    An order to buy with an id of its own.
    """
    more.setdefault('cl_ord_id', f'test-{next(_ids)}')
    return await client.place('buy', _market, 0.001, price=price, **more)


async def test_the_life_of_an_order(open_client: OpenClient) -> None:
    async with open_client(log_in=True) as (_, client):
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
    async with open_client(log_in=True) as (_, client):
        await client.get_mkt_pairs()
        before = await client.get_balances()
        async with client.open_channel('executions') as msgs:
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


async def get_user_trades(client: Client, start: float) -> list[UserTrade]:
    return [it async for page in client.get_user_trades(start) for it in page]


async def test_the_accounts_trades(open_client: OpenClient) -> None:
    """
    In several pages, of which the venue has the newest first.
    """
    async with open_client(log_in=True) as (venue, client):
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
    async with open_client(log_in=True) as (_, client):
        ask = (await client.get_ticker(_market)).best_ask_price
        for order, text in (
            (place(client, ask, post_only=True), 'EOrder:Post only order'),
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


async def test_without_credentials(open_client: OpenClient) -> None:
    async with open_client() as (_, client):
        with pytest.raises(AuthError):
            await client.get_open_orders()
        with pytest.raises(AuthError):
            await place(client, 30_000)
        with pytest.raises(BrokerError, match='no channel'):
            async with client.open_channel('executions'):
                pass


@pytest.mark.parametrize('secret', ['s3cret-to-hide', 'c2VjcmV0LXRvLWhpZGU='])
async def test_secrets_stay_secret(
    open_client: OpenClient, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    caplog.set_level(logging.DEBUG)
    credentials = Credentials('k3y-to-hide', secret)
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
    assert not [text for text in shown if 'k3y-to-hide' in text or secret in text]


async def test_a_lost_reply(open_client: OpenClient) -> None:
    async with open_client(log_in=True) as (venue, client):
        await venue.misbehave('lose_reply', operation='place')
        with pytest.raises(ConnectionLost):
            await place(client, 30_000, cl_ord_id='lost')
        # it was carried out, and not again
        ((order_id, order),) = (await client.get_open_orders('lost')).items()
        assert order.cl_ord_id == 'lost'

        await venue.misbehave('lose_request', operation='cancel')
        with pytest.raises(ConnectionLost):
            await client.cancel(order_id)
        assert (await client.get_open_orders()).keys() == {order_id}


@pytest.mark.parametrize(
    ('kind', 'expected'), [('rate_limit', Throttled), ('maintenance', ConnectionLost)]
)
async def test_an_order_that_comes_at_a_bad_time(
    open_client: OpenClient, kind: str, expected: type[BrokerError]
) -> None:
    async with open_client(log_in=True) as (venue, client):
        fault: dict[str, Any] = {'kind': kind, 'seconds': 0.3}
        await venue.misbehave(**fault, operation='place')
        with pytest.raises(expected):
            await place(client, 30_000)
        await venue.behave()
        assert await client.get_open_orders() == {}
        # questions are asked again
        await venue.misbehave(**fault, operation='open_orders')
        assert await client.get_open_orders() == {}
#{% endif %}
