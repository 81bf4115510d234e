"""Clients that nobody here wrote work on the simulator: only the URL is new."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import outside
from simulator import Venue
from typed_core.exceptions import ApiError, AuthError, RateLimited
from typed_deribit import Deribit
from typed_deribit.core.auth import Credentials
from typed_deribit.core.transport.http import HmacHttpRpcClient, OAuthHttpRpcClient
from typed_deribit.core.transport.ws import SocketRpcStreamClient

PERPETUAL = 'BTC-PERPETUAL'


def client_of(venue: Venue, secret: str = 'simsecretkey', hmac: bool = False) -> Any:
    credentials = Credentials('simkey', secret)
    rest = HmacHttpRpcClient if hmac else OAuthHttpRpcClient
    return Deribit(
        rpc_client=rest(base_url=venue.rest, credentials=credentials),
        ws_client=SocketRpcStreamClient.new(venue.url, credentials=credentials),
    )


def test_market_data(venue: Venue) -> None:
    async def look() -> None:
        async with client_of(venue) as client:
            data = client.market_data
            for transport in ('http', 'ws'):
                listed = await data.get_instruments('any', transport=transport)
                kinds = {it['kind'] for it in listed}
                assert kinds == {'spot', 'future', 'option'}
                for kind in kinds:
                    name = next(it for it in listed if it['kind'] == kind)
                    name = name['instrument_name']
                    one = await data.get_instrument(name, transport=transport)
                    assert one['instrument_name'] == name
                    ticker = await data.ticker(name, transport=transport)
                    assert ticker['best_bid_price'] < ticker['best_ask_price']
                    book = await data.get_order_book(name, transport=transport)
                    assert book['bids'][0][0] == book['best_bid_price']
            currencies = await data.get_currencies()
            assert {'BTC', 'USDC'} <= {it['currency'] for it in currencies}
            assert await data.get_book_summary_by_currency('BTC')
            now = datetime.fromtimestamp(await client.supporting.get_time() / 1000, UTC)
            page = await data.get_last_trades_by_instrument(PERPETUAL, count=20)
            assert len(page['trades']) == 20
            assert page['has_more']
            chart = await data.get_tradingview_chart_data(
                PERPETUAL,
                start_timestamp=now - timedelta(minutes=10),
                end_timestamp=now,
                resolution='1',
            )
            assert chart['status'] == 'ok'
            assert len(chart['ticks']) in (10, 11)

    asyncio.run(look())


def test_market_streams(venue: Venue) -> None:
    async def listen() -> None:
        async with client_of(venue) as client:
            streams = client.streams.market_data
            async with (
                streams.trades_by_instrument(PERPETUAL, interval='100ms') as trades,
                streams.quote(PERPETUAL) as quotes,
                streams.ticker(PERPETUAL, interval='100ms') as tickers,
                streams.book(PERPETUAL, interval='100ms') as books,
                streams.book_grouped(
                    PERPETUAL, group='none', depth=10, interval='100ms'
                ) as groups,
                streams.chart_trades(PERPETUAL, resolution='1') as charts,
            ):
                rows: list[Any] = []
                while len(rows) < 5:
                    rows += await anext(aiter(trades))
                numbers = [it['trade_seq'] for it in rows]
                assert numbers == list(range(numbers[0], numbers[0] + len(rows)))
                quote = await anext(aiter(quotes))
                assert quote['best_bid_price'] < quote['best_ask_price']
                assert (await anext(aiter(tickers)))['instrument_name'] == PERPETUAL
                assert (await anext(aiter(charts)))['volume'] > 0
                assert len((await anext(aiter(groups)))['bids']) == 10
                follow([await anext(aiter(books)) for _ in range(5)])

    asyncio.run(listen())


def follow(messages: list[Any]) -> None:
    """The changes of a book fit together, and never cross it."""
    first, *changes = messages
    assert first['type'] == 'snapshot'
    last = first
    sides = {side: {row[1]: row[2] for row in first[side]} for side in ('bids', 'asks')}
    for change in changes:
        assert change['prev_change_id'] == last['change_id']
        for side, prices in sides.items():
            for action, price, amount in change[side]:
                assert (price in prices) == (action != 'new')
                if action == 'delete':
                    del prices[price]
                else:
                    prices[price] = amount
        assert max(sides['bids']) < min(sides['asks'])
        last = change


@pytest.mark.parametrize('transport', ['http', 'ws'])
@pytest.mark.parametrize('name', [PERPETUAL, 'ETH_USDC-PERPETUAL', 'BTC_USDC'])
def test_orders(venue: Venue, name: str, transport: Any) -> None:
    async def trade() -> None:
        async with client_of(venue) as client:
            trading = client.trading
            market = await client.market_data.get_instrument(name)
            ticker = await client.market_data.ticker(name)
            amount = 10 * market['min_trade_amount']
            tick = market['tick_size']
            low = round(round(ticker['best_bid_price'] * 0.9 / tick) * tick, 8)
            placed = await trading.buy(
                {
                    'instrument_name': name,
                    'amount': amount,
                    'price': low,
                    'label': 'mine',
                    'post_only': True,
                },
                transport=transport,
            )
            order = placed['order']
            assert (order['order_state'], placed['trades']) == ('open', [])
            edited = await trading.edit(
                order['order_id'],
                amount=2 * amount,
                price=round(low - tick, 8),
                transport=transport,
            )
            assert edited['order']['order_id'] == order['order_id']
            assert edited['order']['replaced']
            ours = await trading.get_open_orders_by_instrument(
                name, transport=transport
            )
            assert order['order_id'] in {it['order_id'] for it in ours}
            state = await trading.get_order_state(order['order_id'])
            assert state['amount'] == 2 * amount
            gone = await trading.cancel(order['order_id'], transport=transport)
            assert gone['order_state'] == 'cancelled'
            ours = await trading.get_open_orders_by_instrument(name)
            assert order['order_id'] not in {it['order_id'] for it in ours}

            bought = await trading.buy(
                {'instrument_name': name, 'amount': amount, 'type': 'market'},
                transport=transport,
            )
            assert bought['order']['order_state'] == 'filled'
            fills = await trading.get_user_trades_by_instrument(
                name, count=50, transport=transport
            )
            ids = {it['trade_id'] for it in fills['trades']}
            assert {it['trade_id'] for it in bought['trades']} <= ids
            if name != 'BTC_USDC':
                position = await client.account.get_position(name, transport=transport)
                assert position['size'] >= amount
            summary = await client.account.get_account_summary(
                'BTC', transport=transport
            )
            assert summary['available_funds'] <= summary['equity']

    asyncio.run(trade())


def test_user_streams(venue: Venue) -> None:
    async def listen() -> None:
        async with client_of(venue) as client:
            user = client.streams.user
            async with (
                user.orders_by_instrument_raw(PERPETUAL) as orders,
                user.trades_by_kind_currency(
                    kind='any', currency='any', interval='raw'
                ) as trades,
                user.changes_by_instrument(PERPETUAL, interval='raw') as changes,
                user.portfolio('BTC') as portfolios,
            ):
                bought = await client.trading.buy(
                    {'instrument_name': PERPETUAL, 'amount': 10, 'type': 'market'}
                )
                told = await anext(aiter(orders))
                assert told['order_id'] == bought['order']['order_id']
                fills = await anext(aiter(trades))
                assert [it['trade_id'] for it in fills] == [
                    it['trade_id'] for it in bought['trades']
                ]
                change = await anext(aiter(changes))
                assert change['positions'][0]['instrument_name'] == PERPETUAL
                assert (await anext(aiter(portfolios)))['currency'] == 'BTC'

    asyncio.run(listen())


def test_signed_requests(venue: Venue) -> None:
    async def look() -> None:
        async with client_of(venue, hmac=True) as client:
            summaries = await client.account.get_account_summaries()
            assert {it['currency'] for it in summaries['summaries']} > {'BTC'}
            positions = await client.account.get_positions('any')
            assert all(it['kind'] in ('future', 'option') for it in positions)

    asyncio.run(look())


def test_heartbeats(venue: Venue) -> None:
    async def beat() -> None:
        socket = SocketRpcStreamClient.new(venue.url, heartbeat_interval=10)
        async with socket:
            await socket.request('public/set_heartbeat', params={'interval': 10})
            for _ in range(3):
                # it is asked, and later on it is looked whether it has answered
                before = answers()
                pass_half()
                while answers() == before:
                    assert await socket.request('public/get_time')
                pass_half()
            assert await socket.request('public/get_time')

    def answers() -> int:
        requests: dict[str, int] = venue.ask('state')['requests']
        return requests.get('test', 0)

    def pass_half() -> None:
        venue.ask('set_clock', now=venue.ask('state')['now'] + 5000)

    asyncio.run(beat())


def test_refusals(venue: Venue) -> None:
    async def err() -> None:
        async with client_of(venue) as client:
            buy = client.trading.buy
            order = {'instrument_name': PERPETUAL, 'amount': 10, 'price': 50_000}
            refused_orders: list[tuple[dict[str, Any], int]] = [
                ({'amount': 15}, 10021),
                ({'price': 50_000.1}, 10043),
                ({'instrument_name': 'BTC-NOTHING'}, 13020),
                ({'amount': 1e15}, 10009),
                ({'valid_until': 1}, 13888),
                ({'price': 10**7, 'post_only': True, 'reject_post_only': True}, 11054),
            ]
            for change, code in refused_orders:
                with pytest.raises(ApiError) as refused:
                    await buy({**order, **change})
                assert refused.value.args[0] == code
            with pytest.raises(ApiError) as refused:
                await client.trading.cancel('nothing')
            assert refused.value.args[0] == 10004
            venue.ask('misbehave', kind='rate_limit', operation='ticker')
            with pytest.raises(RateLimited):
                await client.market_data.ticker(PERPETUAL)
            venue.ask('misbehave', kind='unauthorized', operation='open_orders')
            with pytest.raises(AuthError):
                await client.trading.get_open_orders(transport='ws')
        async with client_of(venue, 'wrong') as stranger:
            with pytest.raises(ApiError) as refused:
                await stranger.trading.get_open_orders()
            assert refused.value.args[0] == 13004

    asyncio.run(err())


DERIBRIDGE = """
import asyncio
import sys

from deribridge import DeribitWebSocketClient
from deribridge.api_client.websocket_api_client import DeribitWebSocketError

async def main():
    client = DeribitWebSocketClient('simkey', 'simsecretkey')
    client.ws_url = sys.argv[1]
    await client.connect()
    assert client.authenticated
    name = 'BTC-PERPETUAL'
    assert await client.get_instruments('BTC', 'future')
    ticker = await client.get_ticker(name)
    assert ticker['best_bid_price'] < ticker['best_ask_price']
    book = await client.get_order_book(name, 5)
    assert len(book['bids']) == 5
    heard = asyncio.Event()
    await client.subscribe_trades(name, lambda *_: heard.set())
    await asyncio.wait_for(heard.wait(), 10)
    placed = await client.send_request('private/buy', {
        'instrument_name': name, 'amount': 10, 'type': 'limit',
        'price': round(ticker['best_bid_price'] * 0.9),
    })
    order_id = placed['order']['order_id']
    assert (await client.get_order_state(order_id))['order_state'] == 'open'
    assert (await client.cancel_order(order_id))['order_state'] == 'cancelled'
    try:
        await client.cancel_order('nothing')
    except DeribitWebSocketError as err:
        assert err.code == 10004, err
    else:
        raise AssertionError('not refused')
    assert await client.get_account_summary('BTC')
    await client.get_positions('BTC')
    await client.close()

asyncio.run(main())
"""


def test_deribridge(venue: Venue, uv: str, tmp_path: Path) -> None:
    pyenv = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv')) / 'versions'
    pythons = [shutil.which('python3.12'), *pyenv.glob('3.12.*/bin/python')]
    works = [it for it in pythons if it and not subprocess.call([it, '-c', ''])]
    if not works:
        pytest.skip('deribridge needs Python 3.12, and there is none')
    (tmp_path / 'client.py').write_text(DERIBRIDGE)
    options = ['--no-project', '-q', '--with', 'deribridge==0.1.0']
    done = subprocess.run(
        [
            uv,
            'run',
            '--python',
            works[0],
            *options,
            'python',
            tmp_path / 'client.py',
            venue.url,
        ],
        env={**outside(), 'no_proxy': '127.0.0.1'},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
