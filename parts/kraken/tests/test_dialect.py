"""
The simulated venue's answers on the wire: markets and channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any, get_args
from zlib import crc32

import pytest
import trio
from wire import BTC, PAIR, Refused, Wire, open_rest, open_wire

from minipiker.testing import open_process
from simvenue.dialect import TRAITS
from simvenue.dialect.requests import ERRORS
from simvenue.process import open_simvenue
from simvenue.refusals import Reason


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """
    Of a venue that tests share which do not disturb it.
    """
    with open_process('simvenue', '--until-eof') as (_, it):
        yield it


async def test_a_pair_has_many_names(url: str) -> None:
    async with open_rest(url) as rest:
        pairs = await rest.get('AssetPairs')
        assert pairs[PAIR]['altname'] == 'XBTUSD'
        for name in (PAIR, 'XBTUSD', 'XBT/USD', BTC):
            key = name if '/' in name else PAIR
            found = await rest.get('AssetPairs', pair=name)
            assert found == {key: pairs[PAIR]}
            assert (await rest.get('Ticker', pair=name)).keys() == {key}
        both = await rest.get('AssetPairs', pair='XBTUSD,ETHUSD')
        assert both.keys() == {PAIR, 'XETHZUSD'}
        assets = await rest.get('Assets')
        for pair in pairs.values():
            assert {pair['base'], pair['quote']} <= assets.keys()
            assert Decimal(pair['tick_size']) == Decimal(10) ** -pair['pair_decimals']
        assert (await rest.get('Assets', asset='XBT')).keys() == {'XXBT'}
        refused: list[tuple[str, dict[str, Any], str]] = [
            ('Ticker', {'pair': 'X'}, 'EQuery:Unknown asset pair'),
            ('Assets', {'asset': 'X'}, 'EQuery:Unknown asset'),
            ('Trades', {}, 'EGeneral:Invalid arguments:pair'),
            ('Trades', {'pair': PAIR, 'count': 1001}, 'EGeneral:Invalid arguments'),
            ('OHLC', {'pair': PAIR, 'interval': 2}, 'EGeneral:Invalid arguments'),
            ('Nothing', {}, 'EGeneral:Unknown method'),
        ]
        for name, params, error in refused:
            with pytest.raises(Refused, match=error):
                await rest.get(name, **params)


def test_every_refusal_has_a_text() -> None:
    assert set(get_args(Reason)) == ERRORS.keys()


async def test_time_and_status(url: str) -> None:
    async with open_rest(url) as rest:
        assert isinstance((await rest.get('Time'))['unixtime'], int)
        assert (await rest.get('SystemStatus'))['status'] == 'online'


async def test_bars() -> None:
    # at a time that stands still, so that no minute begins between two requests
    async with (
        open_simvenue(rate=0.01, epoch=1_750_000_000_000, speed=0.001) as venue,
        open_rest(venue.url) as rest,
    ):
        for interval in (1, 60, 21600):
            bars = await rest.get('OHLC', pair=PAIR, interval=interval)
            rows, last = bars[PAIR], bars['last']
            # the newest 720 that are finished, and one that is not
            assert len(rows) == 721 or interval == 21600
            assert {b[0] - a[0] for a, b in pairwise(rows)} == {60 * interval}
            assert last == rows[-2][0]
            since = await rest.get('OHLC', pair=PAIR, interval=interval, since=last)
            assert [row[0] for row in since[PAIR]] == [rows[-1][0]]
        rows = (await rest.get('OHLC', pair=PAIR))[PAIR]
        flat = [row for row in rows if not row[7]]
        assert 0 < len(flat) < len(rows)
        for _, *ohlc, vwap, volume, count in flat:
            assert (len(set(ohlc)), vwap, volume, count) == (1, '0.0', '0.00000000', 0)
        start = rows[-3][0]
        page = await rest.get('Trades', pair=PAIR, since=start * 10**9 - 1)
        trades = [row for row in page[PAIR] if row[2] < start + 60]
        assert len(trades) == rows[-3][7]
        assert sum(Decimal(row[1]) for row in trades) == Decimal(rows[-3][6])


async def test_pages_of_trades(url: str) -> None:
    async with open_rest(url) as rest:
        newest = (await rest.get('Trades', pair=PAIR, count=50))[PAIR]
        ids = [row[6] for row in newest]
        assert ids == [*range(ids[0], ids[0] + 50)]
        since, found = str(int(newest[0][2] - 600) * 10**9), []
        for _ in range(5):
            page = await rest.get('Trades', pair=PAIR, since=since, count=100)
            found += page[PAIR]
            since = page['last']
        ids = [row[6] for row in found]
        assert ids == [*range(ids[0], ids[0] + 500)]
        assert all(a[2] <= b[2] for a, b in pairwise(found))


async def test_no_trade_is_missed_between_pages() -> None:
    """
    However many there are at one time.
    """
    async with open_simvenue(rate=0) as venue, open_rest(venue.url) as rest:
        since = (await rest.get('Trades', pair=PAIR))['last']
        printed = [
            await venue.print_trade(BTC, 60_000 + number, 1) for number in range(20)
        ]
        found: list[int] = []
        while len(found) < len(printed):
            page = await rest.get('Trades', pair=PAIR, since=since, count=3)
            found += [row[6] for row in page[PAIR]]
            since = page['last']
        assert (await rest.get('Trades', pair=PAIR, since=since))[PAIR] == []
        assert found == [trade.seq for trade in printed]


async def test_depth_and_ticker() -> None:
    async with open_simvenue(rate=0) as venue, open_rest(venue.url) as rest:
        depth = (await rest.get('Depth', pair='XBTUSD', count=3))[PAIR]
        ticker = (await rest.get('Ticker', pair='XBTUSD'))[PAIR]
        info = await venue.market(BTC)
        assert len(depth['bids']) == len(depth['asks']) == 3
        assert float(depth['bids'][0][0]) == float(ticker['b'][0]) == info.bid
        assert float(depth['asks'][0][0]) == float(ticker['a'][0]) == info.ask
        assert ticker['t'] == [0, 0]
        assert len(await rest.get('Ticker')) == len(await rest.get('AssetPairs'))


async def test_requests_by_socket(url: str) -> None:
    async with open_wire(url) as wire:
        (status,) = await wire.rows('status')
        assert (status['system'], status['api_version']) == ('online', 'v2')
        pong = await wire.reply('ping')
        assert pong.keys() == {'method', 'req_id', 'time_in', 'time_out'}
        assert pong['method'] == 'pong'
        for message, error in [
            ('{"method": ', 'malformed'),
            ('[]', 'EGeneral:Invalid arguments'),
            ('{"method": 1}', 'EGeneral:Invalid arguments'),
            ('{"method": "ping", "params": [1]}', 'EGeneral:Invalid arguments'),
            ('{"method": "nothing"}', 'EGeneral:Unknown method'),
            ('[' * 10_000, 'malformed'),
        ]:
            await wire.websocket.send_message(message)
            reply = await wire.receive()
            assert not reply['success']
            assert error in reply['error']
        # there is one answer for each symbol
        first = await wire.reply('subscribe', channel='ticker', symbol=[BTC, 'X'])
        second = await wire.receive()
        assert first['result'] == {
            'channel': 'ticker',
            'event_trigger': 'trades',
            'snapshot': True,
            'symbol': BTC,
        }
        assert (second['success'], second['symbol']) == (False, 'X')
        assert second['error'] == 'Currency pair not supported X'
        assert second['req_id'] == first['req_id']
        for params in ({'channel': 'x', 'symbol': [BTC]}, {'channel': 'ticker'}):
            with pytest.raises(Refused, match='EGeneral:Invalid arguments'):
                await wire.request('subscribe', **params)


async def test_channels() -> None:
    async with open_simvenue(seed=1) as venue, open_wire(venue.url) as wire:
        await wire.subscribe('ticker', BTC, event_trigger='bbo')
        await wire.subscribe('trade', BTC, 'ETH/USD', snapshot=True)
        await wire.answer(2)
        await wire.subscribe('ohlc', BTC, interval=5)
        state = await venue.state()
        assert state.subscribers('trades', 'ETH/USD') == 1
        assert state.subscribers('quote', BTC) == 1
        first = await wire.rows('ticker', 'snapshot')
        assert first[0]['bid'] < first[0]['ask']
        trades = [row for _ in range(2) for row in await wire.rows('trade', 'snapshot')]
        assert len(trades) == 100
        news = [row for _ in range(8) for row in await wire.rows('trade')]
        ids = [row['trade_id'] for row in [*trades, *news] if row['symbol'] == BTC]
        assert ids == [*range(ids[0], ids[0] + len(ids))]
        bar = (await wire.rows('ohlc'))[0]
        assert (bar['symbol'], bar['interval']) == (BTC, 5)
        assert bar['low'] <= bar['close'] <= bar['high']
        await wire.request('unsubscribe', channel='ohlc', symbol=[BTC], interval=5)
        with pytest.raises(Refused, match='EGeneral:Invalid arguments'):
            await wire.request('unsubscribe', channel='ohlc', symbol=[BTC])
        await wire.reply('unsubscribe', channel='trade', symbol=[BTC, 'ETH/USD'])
        assert (await wire.receive())['success']
        assert not (await venue.state()).subscribers('trades', BTC)


def check(book: dict[str, dict[Decimal, Decimal]]) -> int:
    best = [
        *sorted(book['asks'].items())[:10],
        *sorted(book['bids'].items(), reverse=True)[:10],
    ]
    digits = [f'{it:f}'.replace('.', '').lstrip('0') for row in best for it in row]
    return crc32(''.join(digits).encode())


async def follow(wire: Wire, depth: int, changes: int) -> None:
    """
    Keep a book by what is told of it, as it is to be kept.
    """
    (first,) = await wire.rows('book', 'snapshot')
    book = {
        side: {row['price']: row['qty'] for row in first[side]}
        for side in ('bids', 'asks')
    }
    assert check(book) == first['checksum']
    for _ in range(changes):
        (change,) = await wire.rows('book')
        for side, prices in book.items():
            for row in change[side]:
                prices[row['price']] = row['qty']
                if not row['qty']:
                    del prices[row['price']]
                # there are never more
                for price in sorted(prices, reverse=side == 'bids')[depth:]:
                    del prices[price]
        assert check(book) == change['checksum']
        assert max(book['bids']) < min(book['asks'])


@pytest.mark.parametrize('symbol', [BTC, 'ETH/BTC', 'DOGE/USD'])
async def test_a_book_is_told_by_its_changes(symbol: str) -> None:
    async with open_simvenue() as venue, open_wire(venue.url) as wire:
        await venue.depth(symbol, 20, 30)
        await wire.subscribe('book', symbol, depth=25)
        await follow(wire, 25, 4)
        await venue.depth(symbol, 30, 12)
        await wire.request('unsubscribe', channel='book', symbol=[symbol], depth=25)
        await wire.subscribe('book', symbol)
        await follow(wire, 10, 8)
        with pytest.raises(Refused, match='EGeneral:Invalid arguments'):
            await wire.subscribe('book', symbol, depth=11)


@pytest.mark.case('TRAIT-CHANNELS')
async def test_what_everybody_hears_is_not_counted() -> None:
    async with open_simvenue() as venue, open_wire(venue.url) as wire:
        for channel in ('book', 'ticker', 'trade'):
            assert channel not in TRAITS['numbered_channels']
            await wire.subscribe(channel, BTC)
            assert 'sequence' not in await wire.news(channel)


async def test_instruments_come_and_go_on_their_channel() -> None:
    async with (
        open_simvenue(rate=0) as venue,
        open_wire(venue.url) as wire,
        open_rest(venue.url) as rest,
    ):
        await wire.subscribe('instrument')
        listed = await wire.rows('instrument', 'snapshot')
        pairs = {it['symbol']: it for it in listed['pairs']}
        assert pairs[BTC]['status'] == 'online'
        assets = {it['id'] for it in listed['assets']}
        assert all({it['base'], it['quote']} <= assets for it in pairs.values())
        await venue.delist(BTC)
        (gone,) = (await wire.rows('instrument'))['pairs']
        assert (gone['symbol'], gone['status']) == (BTC, 'delisted')
        assert PAIR not in await rest.get('AssetPairs')
        await venue.list_market(BTC)
        (back,) = (await wire.rows('instrument'))['pairs']
        assert back['status'] == 'online'


async def test_heartbeats() -> None:
    # time flies, so that a second is short
    async with open_simvenue(speed=20, rate=0) as venue, open_wire(venue.url) as wire:
        await wire.rows('status')
        with trio.move_on_after(0.3):
            raise AssertionError(await wire.receive())
        await wire.subscribe('trade', BTC)
        for _ in range(3):
            assert await wire.receive() == {'channel': 'heartbeat'}


async def test_too_many_requests() -> None:
    limits: dict[str, Any] = {'request_burst': 3, 'request_rate': 0.001}
    async with open_simvenue(**limits) as venue, open_rest(venue.url) as rest:
        for _ in range(3):
            await rest.get('Time')
        with pytest.raises(Refused, match='EAPI:Rate limit exceeded'):
            await rest.get('Time')
        # that is for everybody who comes from there
        async with open_rest(venue.url) as other:
            with pytest.raises(Refused, match='EAPI:Rate limit exceeded'):
                await other.get('Time')


async def test_a_venue_may_differ() -> None:
    assert TRAITS['trade_numbers'] == 'contiguous'
    async with open_simvenue() as venue, open_rest(venue.url) as rest:
        await venue.differ(trade_numbers='none')
        rows = (await rest.get('Trades', pair=PAIR, count=3))[PAIR]
        assert rows[1][6] - rows[0][6] > 1
