"""
The simulated venue's answers on the wire: markets and channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

import pytest
from trio_websocket import ConnectionClosed
from wire import BTC, Refused, open_wire, rest

from minipiker.testing import open_process
from simvenue.dialect import LIMITS, TRAITS, Dialect
from simvenue.process import open_simvenue
from simvenue.refusals import Reason


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """
    Of a venue that tests share which do not disturb it.
    """
    with open_process('simvenue', '--until-eof') as (_, it):
        yield it


async def test_requests_by_socket_and_by_http() -> None:
    params = {'instrument_name': BTC}
    async with open_simvenue(rate=0) as venue, open_wire(venue.url) as wire:
        by_socket = await wire.reply('public/ticker', **params)
        async with rest(venue.url) as http:
            by_get = (await http.get('/public/ticker', params=params)).json()
            body = {'id': 'a', 'method': 'public/ticker', 'params': params}
            by_post = (await http.post('/public/ticker', json=body)).json()
            refused = await http.get('/public/ticker', params={'instrument_name': 'X'})
    assert (by_socket['id'], by_post['id']) == (1, 'a')
    assert 'id' not in by_get
    assert by_socket['result'].keys() == by_get['result'].keys()
    for reply in (by_socket, by_get, by_post):
        assert reply['usOut'] - reply['usIn'] == reply['usDiff'] >= 0
        assert (reply['jsonrpc'], reply['testnet']) == ('2.0', True)
        assert reply['result']['best_bid_price'] == by_get['result']['best_bid_price']
    assert (refused.status_code, refused.json()['error']['code']) == (400, 13020)


@pytest.mark.parametrize(
    ('message', 'code'),
    [
        ('{"id": 1, "method": ', -32700),
        ('[]', 11050),
        ('{"id": 1}', 11050),
        ('{"method": "public/test"}', 11050),
        ('{"id": 1, "method": "public/ticker", "params": []}', -32602),
        ('{"id": 1, "method": "public/ticker", "params": [1]}', 11050),
        ('{"id": 1, "method": "public/nothing"}', -32601),
        ('{"id": 1, "method": "public/ticker"}', -32602),
        ('{"id": 1, "method": "public/test"}' + ' ' * 33_000, -32600),
        ('[' * 10_000, -32700),
    ],
)
async def test_bad_requests(url: str, message: str, code: int) -> None:
    async with open_wire(url) as wire:
        await wire.websocket.send_message(message)
        assert (await wire.receive())['error']['code'] == code
        # and the connection goes on
        assert await wire.request('public/get_time')


def test_every_refusal_has_a_code() -> None:
    assert set(get_args(Reason)) == Dialect.errors.keys()


async def test_bad_parameters_are_named(url: str) -> None:
    async with open_wire(url) as wire:
        for params, data in [
            ({}, {'param': 'instrument_name', 'reason': 'required'}),
            ({'instrument_name': 5}, {'param': 'instrument_name'}),
        ]:
            reply = await wire.reply('public/ticker', **params)
            assert data.items() <= reply['error']['data'].items()


async def test_instruments(url: str) -> None:
    async with open_wire(url) as wire:

        async def names(**params: object) -> set[str]:
            listed = await wire.request('public/get_instruments', **params)
            return {it['instrument_name'] for it in listed}

        everything = await names(currency='any')
        assert everything == await names()
        assert {BTC, 'BTC_USDC-PERPETUAL', 'BTC_USDC'} < everything
        options = await names(currency='BTC', kind='option')
        assert options
        assert all(it.startswith('BTC-') and it[-1] in 'CP' for it in options)
        assert await names(kind='spot') == {
            it for it in everything if '_' in it and '-' not in it
        }
        expired = await names(currency='BTC', expired=True)
        assert expired.isdisjoint(everything)
        for name in sorted(everything | expired):
            it = await wire.request('public/get_instrument', instrument_name=name)
            assert it['is_active'] == (name in everything)
        perpetual = await wire.request('public/get_instrument', instrument_name=BTC)
        assert perpetual['settlement_period'] == 'perpetual'
        assert perpetual['expiration_timestamp'] == 32_503_708_800_000


async def test_candles() -> None:
    async with open_simvenue(rate=8) as venue, open_wire(venue.url) as wire:
        # at full minutes there would be another one
        now = await wire.request('public/get_time') // 60_000 * 60_000 - 1

        async def chart(minutes: float, resolution: str) -> Any:
            return await wire.request(
                'public/get_tradingview_chart_data',
                instrument_name=BTC,
                start_timestamp=int(now - minutes * 60_000),
                end_timestamp=now,
                resolution=resolution,
            )

        for resolution, length in [('1', 1), ('5', 5), ('60', 60), ('1D', 1440)]:
            bars = await chart(10 * length, resolution)
            assert bars.pop('status') == 'ok'
            assert {len(column) for column in bars.values()} == {10}
            steps = {b - a for a, b in pairwise(bars['ticks'])}
            assert steps == {length * 60_000}
            for volume, cost, price in zip(
                bars['volume'], bars['cost'], bars['close'], strict=True
            ):
                # amounts are in USD here, volumes in BTC
                assert volume == pytest.approx(cost / price, rel=0.1)
        assert len((await chart(10_000, '1'))['ticks']) == 5000
        with pytest.raises(Refused, match='-32602'):
            await chart(10, '2')
        assert (await chart(-10, '1'))['status'] == 'no_data'


async def test_pages_of_trades(url: str) -> None:
    async with open_wire(url) as wire:

        async def page(by: str = 'instrument', **params: object) -> Any:
            if by.startswith('instrument'):
                params['instrument_name'] = BTC
            return await wire.request(f'public/get_last_trades_by_{by}', **params)

        newest = (await page(count=10))['trades']
        numbers = [it['trade_seq'] for it in newest]
        assert numbers == list(range(numbers[0], numbers[0] - 10, -1))
        first = numbers[-1] - 1000
        onwards = await page(start_seq=first, count=5, sorting='asc')
        assert [it['trade_seq'] for it in onwards['trades']] == [
            *range(first, first + 5)
        ]
        assert onwards['has_more']
        between = await page(start_seq=first, end_seq=first + 2, sorting='asc')
        assert [it['trade_seq'] for it in between['trades']] == [
            *range(first, first + 3)
        ]
        assert not between['has_more']
        start, end = newest[-1]['timestamp'] - 5000, newest[-1]['timestamp'] - 3000
        timed = await page(
            'instrument_and_time',
            start_timestamp=start,
            end_timestamp=end,
            count=1000,
            sorting='asc',
        )
        times = [it['timestamp'] for it in timed['trades']]
        assert start <= times[0] <= times[-1] <= end
        before = await page(end_seq=timed['trades'][0]['trade_seq'] - 1, count=1)
        assert before['trades'][0]['timestamp'] < start
        ids = {
            it['trade_id'] for it in (await page('currency', currency='BTC'))['trades']
        }
        assert len(ids) == 10
        with pytest.raises(Refused, match='-32602'):
            await page(count=1001)


async def test_channels() -> None:
    async with open_simvenue(seed=1) as venue, open_wire(venue.url) as wire:
        wanted = [
            f'quote.{BTC}',
            f'trades.{BTC}.100ms',
            f'ticker.{BTC}.agg2',
            f'book.{BTC}.100ms',
            f'book.{BTC}.5.10.100ms',
            f'chart.trades.{BTC}.1',
            'trades.future.ETH.100ms',
        ]
        unknown = ['quote.X', f'trades.{BTC}', f'ticker.{BTC}.1s', 'nothing']
        assert set(await wire.subscribe(*wanted, *unknown)) == set(wanted)
        # each begins with a snapshot, but for trades
        begun = [(await wire.receive())['params']['channel'] for _ in range(4)]
        assert set(begun) == {
            it for it in wanted if it[:5] in ('quote', 'ticke', 'book.')
        }
        state = await venue.state()
        assert state.subscribers('trades', BTC) == 1
        assert state.subscribers('book', BTC) == 2
        trades = [
            *await wire.notification(wanted[1]),
            *await wire.notification(wanted[1]),
        ]
        numbers = [it['trade_seq'] for it in trades]
        assert numbers == list(range(numbers[0], numbers[0] + len(trades)))
        wide = await wire.notification(wanted[-1])
        assert {it['instrument_name'][:3] for it in wide} == {'ETH'}
        assert (await wire.notification(wanted[5]))['tick'] % 60_000 == 0
        levels = (await wire.notification(wanted[4]))['bids']
        assert all(price % 2.5 == 0 for price, _ in levels)

        gone = await wire.request('public/unsubscribe', channels=[*wanted[1:], 'X'])
        assert gone == wanted[1:]
        assert await wire.request('public/unsubscribe_all') == 'ok'
        assert not (await venue.state()).subscriptions


@pytest.mark.case('TRAIT-CHANNELS')
async def test_a_gap_shows_in_what_is_counted() -> None:
    assert TRAITS['numbered_channels'] == ('book',)
    async with open_simvenue() as venue, open_wire(venue.url) as wire:
        channel = f'book.{BTC}.100ms'
        await wire.subscribe(channel)
        last = (await wire.notification(channel))['change_id']
        await venue.misbehave('skip', topic='book', market=BTC)
        is_whole = []
        while False not in is_whole:
            change = await wire.notification(channel)
            is_whole.append(change['prev_change_id'] == last)
            last = change['change_id']
        assert not (await venue.state()).faults
        # all are there again
        assert (await wire.notification(channel))['prev_change_id'] == last


async def test_a_book_is_told_by_its_changes() -> None:
    async with open_simvenue() as venue, open_wire(venue.url) as wire:
        channel = f'book.{BTC}.100ms'
        await wire.subscribe(channel)
        first = await wire.notification(channel)
        assert first['type'] == 'snapshot'
        book = {
            side: {row[1]: row[2] for row in first[side]} for side in ('bids', 'asks')
        }
        last = first['change_id']
        for _ in range(8):
            change = await wire.notification(channel)
            assert (change['type'], change['prev_change_id']) == ('change', last)
            last = change['change_id']
            for side, prices in book.items():
                for action, price, amount in change[side]:
                    assert (price in prices) == (action != 'new')
                    prices[price] = amount
                    if action == 'delete':
                        del prices[price]
            assert max(book['bids']) < min(book['asks'])
        await wire.request('public/unsubscribe', channels=[channel])
        again = await wire.subscribe(channel) and await wire.notification(channel)
        assert again['type'] == 'snapshot'


async def test_raw_channels_need_a_login(url: str) -> None:
    async with open_wire(url) as wire:
        with pytest.raises(Refused, match='13778'):
            await wire.subscribe(f'trades.{BTC}.raw')


async def test_instruments_come_and_go_on_their_channel() -> None:
    async with open_simvenue(rate=0) as venue, open_wire(venue.url) as wire:
        await wire.subscribe('instrument.state.any.any')
        await venue.delist(BTC)
        gone = await wire.notification('instrument.state.any.any')
        assert (gone['instrument_name'], gone['state']) == (BTC, 'terminated')
        ticker = await wire.request('public/ticker', instrument_name=BTC)
        assert ticker['state'] == 'archivized'
        await venue.list_market(BTC)
        assert (await wire.notification())['data']['state'] == 'started'


async def test_heartbeats() -> None:
    async with open_simvenue(rate=0) as venue:

        async def pass_half() -> None:
            """
            Of an interval of 10 s.
            """
            await venue.set_clock((await venue.state()).now + 5000)

        async with open_wire(venue.url) as wire:
            with pytest.raises(Refused, match='-32602'):
                await wire.request('public/set_heartbeat', interval=9)
            await wire.request('public/set_heartbeat', interval=10)
            for is_answered in (True, True, False):
                await pass_half()
                assert await wire.notification() == {'type': 'heartbeat'}
                assert await wire.notification() == {'type': 'test_request'}
                if is_answered:
                    await wire.request('public/test')
                await pass_half()
            with pytest.raises(ConnectionClosed) as closed:
                await wire.receive()
            assert closed.value.reason
            assert closed.value.reason.code == 4000
        async with open_wire(venue.url) as wire:
            await wire.request('public/set_heartbeat', interval=10)
            await wire.request('public/disable_heartbeat')
            await pass_half()
            await wire.request('public/get_time')
            assert not wire.notifications
        async with rest(venue.url) as http:
            reply = await http.get('/public/set_heartbeat', params={'interval': 10})
            assert reply.json()['error']['code'] == 10030


async def test_too_many_requests() -> None:
    assert LIMITS['subscribe_burst'][0] == 10
    async with open_simvenue(request_burst=3, request_rate=0.001) as venue:
        async with open_wire(venue.url) as wire:
            for _ in range(3):
                await wire.request('public/get_time')
            # what keeps a connection alive is free
            await wire.request('public/test')
            with pytest.raises(Refused, match='10028') as refused:
                await wire.request('public/get_time')
            assert refused.value.args[2] is None
            with pytest.raises(ConnectionClosed):
                await wire.receive()
        async with rest(venue.url) as http:
            statuses = [
                (await http.get('/public/get_time')).status_code for _ in range(4)
            ]
            assert statuses == [200, 200, 200, 429]
        await venue.misbehave('rate_limit', seconds=1.5)
        async with open_wire(venue.url) as wire:
            with pytest.raises(Refused) as refused:
                await wire.request('public/get_time')
            assert refused.value.args[2] == {'wait': 1.5}
            assert await wire.request('public/get_time')
