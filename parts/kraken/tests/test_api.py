"""
The backend's calls, in the venue's own language.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest
from msgspec.structs import asdict, replace

from minipiker.brokers import BrokerError, SymbolNotFound
#{% filter replace('PACKAGE', package.replace(_copier_conf.sep, '.')) %}
from PACKAGE import api
from PACKAGE.book import Books
from PACKAGE.messages import BookNews, Level, Pair, Quote
#{% endfilter %}

#{% if client == 'asyncio' %}
pytestmark = [pytest.mark.usefixtures('open_simvenue'), pytest.mark.in_actor]
#{% else %}
pytestmark = pytest.mark.usefixtures('open_simvenue')
#{% endif %}

_market: str = 'BTC/USD'
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
        now = client.clock.now_ms()
        # at full minutes there would be another one
        end = now // _min * _min - 1
        bars = await client.get_bars(_market, 60, end - 10 * _min, end)
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


async def test_a_trade_at_the_end_of_its_ms(open_client: OpenClient) -> None:
    async with open_client(rate=50) as (_, client):
        (newest,), _ = await client.get_trades(_market, count=1, newest_first=True)
        # at 999 806 ns of one, which is in the next when it is rounded to µs
        first = newest.number // 10**6 * 10**6 - 194
        start_ms: int | None = None
        for _ in range(2):
            found, _ = await client.get_trades(
                _market, first_number=first, last_number=first + 2, start_ms=start_ms
            )
            assert [it.number for it in found] == [first, first + 1, first + 2]
            start_ms = found[0].timestamp
        for newest_first in (False, True):
            found, _ = await client.get_trades(
                _market, start_ms=start_ms, end_ms=start_ms, newest_first=newest_first
            )
            assert first in [it.number for it in found]
            assert all(it.timestamp == start_ms for it in found)


@pytest.mark.parametrize('rate', [0.2, 8, 1000])
async def test_trades_by_time(open_client: OpenClient, rate: float) -> None:
    async with open_client(rate=rate) as (_, client):
        end = client.clock.now_ms() - 60 * _min
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
        # however few they are: others of the same millisecond may come before them
        ascending, _ = await client.get_trades(
            _market, start_ms=page[-1].timestamp, end_ms=end
        )
        assert {*ascending} >= {*page[-5:]}


async def test_refusals(open_client: OpenClient) -> None:
    async with open_client() as (_, client):
        with pytest.raises(SymbolNotFound, match='Unknown asset pair'):
            await client.get_ticker('BTC/XXX')
        with pytest.raises(BrokerError, match='interval'):
            await client.get_bars(_market, 7 * 60, 0, 1)


async def test_a_quiet_connection_stays(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    No heartbeat comes where nobody has subscribed to anything.
    """
    monkeypatch.setattr(api, 'LIMITS', replace(api.LIMITS, silence=2))
    async with open_client() as (venue, _):
        # four of them are sent in that time
        while (await venue.state()).requests['test'] < 6:
            pass
        assert (await venue.state()).requests['time'] == 1


@pytest.mark.parametrize('fault', ['repeat', 'reorder', 'skip'])
async def test_a_book_is_the_venues(open_client: OpenClient, fault: str) -> None:
    """
    Whatever becomes of its messages: one that does not add up begins anew.
    """
    async with (
        open_client(rate=0) as (venue, client),
        client.session.open_channel(f'book.{_market}') as msgs,
    ):
        await msgs.receive()
        await venue.misbehave(fault, topic='book', market=_market)
        # each time other prices, and others of them the best
        for levels in (7, 3, 9):
            await venue.depth(_market, 2.5, levels)
        while (await venue.state()).faults:
            await venue.depth(_market, 1.5, 4)
        await venue.depth(_market, 0.75, 5)
        now = await venue.market(_market)
        while True:
            match await msgs.receive():
                case Quote(best_bid_amount=0.75, best_ask_amount=0.75) as quote:
                    break
        assert (quote.best_bid_price, quote.best_ask_price) == (now.bid, now.ask)
        begun_anew = 'unsubscribe' in (await venue.state()).requests
        assert begun_anew == (fault != 'repeat')


async def test_a_book_without_a_time_has_the_venues(open_client: OpenClient) -> None:
    epoch = 1_700_000_000_000
    async with open_client(epoch=epoch) as (_, client):
        books: Books = client._books
        whole = BookNews(_market, crc32(b'152'), (Level(Decimal('1.5'), Decimal(2)),))
        quote = books.take('book.of it', whole, 'snapshot')
        assert quote
        assert epoch < quote.timestamp < epoch + 10 * _min
