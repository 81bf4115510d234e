"""
The backend's calls, in the venue's own language.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict

from minipiker.brokers import BrokerError, SymbolNotFound
from piker_deribit2 import api
from piker_deribit2._errors import Unexpected
from piker_deribit2.messages import Pair

pytestmark = pytest.mark.usefixtures('open_simvenue')

_perp: str = 'BTC-PERPETUAL'
_min: int = 60_000
"""A minute, in ms."""

OpenClient = Callable[..., Any]


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
        now = client.clock.now_ms()
        # at full minutes there would be another one
        end = now // _min * _min - 1
        bars = await client.get_bars(_perp, 60, end - 10 * _min, end)
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
    async with open_client() as (venue, _):

        async def pass_half() -> None:
            """
            At every other one the venue asks, and in between sees to the answer.
            """
            await venue.set_clock((await venue.state()).now + 500 * api.HEARTBEAT)

        before = (await venue.state()).requests['time']
        for answers in range(1, 4):
            await pass_half()
            while (await venue.state()).requests.get('test', 0) < answers:
                pass
            await pass_half()
        state = await venue.state()
        assert (state.connections, state.requests['time']) == (1, before)


@pytest.mark.parametrize('channel', ['book.{}.raw', 'chart.trades.{}.1', 'user.lock'])
def test_a_channel_that_nobody_reads_is_unexpected(channel: str) -> None:
    said = {'channel': channel.format(_perp), 'data': {}}
    params = msgspec.Raw(msgspec.json.encode(said))
    client: Any = api.Client()  # which needs no connection for it
    with pytest.raises(Unexpected):
        client.on_notification(None, 'subscription', params)


async def test_more_channels_than_go_into_one_call(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, '_channels_per_call', 2)
    async with open_client() as (venue, client):
        names = [pair.bs_mktid for pair in (await client.get_mkt_pairs()).values()][:5]
        async with client.session.open_channel(*(f'quote.{name}' for name in names)):
            assert (await venue.state()).subscriptions['quote'] == dict.fromkeys(
                names, 1
            )
