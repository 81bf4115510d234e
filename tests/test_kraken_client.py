"""A client that nobody here wrote works on the simulator: only the URLs are new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import kraken.exceptions as errors
import pytest
from conftest import MakeProject
from kraken.base_api import SpotClient
from kraken.spot import Market, SpotOrderBookClient, SpotWSClient, Trade, User
from kraken.spot.websocket import SpotWSClientBase
from simulator import Venue, run

PAIR, SYMBOL = 'XXBTZUSD', 'BTC/USD'
KEYS = {'key': 'simkey', 'secret': 'simsecretkey'}


@pytest.fixture(scope='module')
def venue(make_project: MakeProject) -> Iterator[Venue]:
    with run(make_project('--protocol', 'rest')) as it:
        yield it


@pytest.fixture(autouse=True)
def on_loopback(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it has no argument for them, URLs are attributes of its classes."""
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(SpotClient, 'URL', venue.url)
    socket = venue.url.replace('http://', 'ws://')
    monkeypatch.setattr(SpotWSClientBase, 'WS_URL', socket)
    monkeypatch.setattr(SpotWSClientBase, 'AUTH_WS_URL', f'{socket}/auth')


def best(venue: Venue) -> tuple[float, float]:
    market = venue.ask('market', market=SYMBOL)
    return market['bid'], market['ask']


def test_market_data() -> None:
    market = Market()
    assert market.get_system_status()['status'] == 'online'
    pairs = market.get_asset_pairs()
    assert pairs[PAIR]['wsname'] == 'XBT/USD'
    assert {it['base'] for it in pairs.values()} <= market.get_assets().keys()
    for name in ('XBTUSD', PAIR, 'XBT/USD', SYMBOL):
        ((_, ticker),) = market.get_ticker(pair=name).items()
        assert float(ticker['b'][0]) < float(ticker['a'][0])
    bars = market.get_ohlc(pair='XBTUSD', interval=1)
    assert len(bars[PAIR]) == 721
    assert bars['last'] == bars[PAIR][-2][0]
    book = market.get_order_book(pair='XBTUSD', count=5)[PAIR]
    assert (len(book['asks']), len(book['bids'])) == (5, 5)
    trades = market.get_recent_trades(pair='XBTUSD', count=20)
    since = market.get_recent_trades(pair='XBTUSD', since=trades['last'])[PAIR]
    numbers = [row[6] for row in trades[PAIR] + since]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_orders(venue: Venue) -> None:
    trade, user = Trade(**KEYS), User(**KEYS)
    low = best(venue)[0] - 1000
    order: dict[str, Any] = {
        'ordertype': 'limit',
        'side': 'buy',
        'pair': 'XBTUSD',
        'volume': 0.001,
        'price': round(low, 1),
    }
    deadline = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    placed = trade.create_order(**order, cl_ord_id='mine', deadline=deadline)
    (txid,) = placed['txid']
    assert user.get_open_orders(cl_ord_id='mine')['open'].keys() == {txid}
    trade.amend_order(txid=txid, order_qty='0.002', limit_price=str(round(low - 1, 1)))
    found = user.get_orders_info(txid=[txid], trades=True)[txid]
    assert (found['vol'], found['cl_ord_id']) == ('0.00200000', 'mine')
    edited = trade.edit_order(txid=txid, pair='XBTUSD', volume=0.003)
    assert edited['originaltxid'] == txid
    assert user.get_closed_orders()['closed'][txid]['status'] == 'canceled'
    assert trade.cancel_order(txid=edited['txid']) == {'count': 1}
    trade.create_order(**order, userref=7)
    assert trade.cancel_all_orders() == {'count': 1}
    assert trade.cancel_all_orders_after_x(0)['triggerTime'] == '0'

    bought = trade.create_order(
        ordertype='market', side='buy', pair='XBTUSD', volume=0.0001
    )
    history = user.get_trades_history()
    (fill, *_) = history['trades']
    assert history['trades'][fill]['ordertxid'] == bought['txid'][0]
    assert user.get_trades_info(txid=[fill])[fill]['vol'] == '0.00010000'
    rounded = trade.create_order(
        ordertype='limit',
        side='buy',
        pair='XBTUSD',
        volume=0.00123456789,
        price=low + 0.01234,
        truncate=True,
    )
    assert '0.00123456 ' in rounded['descr']['order']
    trade.cancel_order(txid=rounded['txid'][0])
    balances = user.get_account_balance()
    assert float(balances['XXBT']) > float(balances['XETH'])
    assert user.get_balances()['ZUSD'].keys() >= {'balance', 'hold_trade'}
    assert user.get_balance('XBT')['available_balance'] > 0
    assert user.get_open_positions() == {}


def test_refusals(venue: Venue) -> None:
    trade = Trade(**KEYS)
    order: dict[str, Any] = {
        'ordertype': 'limit',
        'side': 'buy',
        'pair': 'XBTUSD',
        'volume': 0.001,
        'price': 20_000,
    }
    refused: list[tuple[dict[str, Any], type[Exception]]] = [
        # it takes an unknown pair for an unknown asset
        ({'pair': 'NOTHING'}, errors.KrakenUnknownAssetError),
        ({'volume': 0.00000001}, errors.KrakenOrderMinimumNotMetError),
        ({'price': 0.1}, errors.KrakenCostMinimumNotMetError),
        ({'price': 20_000.01}, errors.KrakenTickSizeInvalidCheckError),
        ({'volume': 10**9}, errors.KrakenInsufficientFundsError),
        (
            {'deadline': (datetime.now(UTC) - timedelta(seconds=1)).isoformat()},
            errors.KrakenDeadlineElapsedError,
        ),
    ]
    for change, error in refused:
        with pytest.raises(error):
            trade.create_order(**{**order, **change})
    with pytest.raises(errors.KrakenUnknownOrderError):
        trade.cancel_order(txid='OXXXXX-XXXXX-XXXXXX')
    with pytest.raises(errors.KrakenInvalidAPIKeyError):
        User(key='nobody', secret=KEYS['secret']).get_account_balance()
    with pytest.raises(errors.KrakenInvalidSignatureError):
        User(key=KEYS['key'], secret='c2VjcmV0').get_account_balance()
    user = User(**KEYS)
    user.get_nonce = lambda: '1'  # type: ignore[method-assign]
    with pytest.raises(errors.KrakenInvalidNonceError):
        user.get_account_balance()
    with pytest.raises(errors.KrakenUnknownMethodError):
        User(**KEYS).request('POST', '/0/private/Nothing')
    faults: list[tuple[str, str, type[Exception]]] = [
        ('rate_limit', 'balances', errors.KrakenApiLimitExceededError),
        ('rate_limit', 'place', errors.KrakenRateLimitExceededError),
        ('maintenance', 'balances', errors.KrakenServiceUnavailableError),
    ]
    for kind, operation, error in faults:
        venue.ask('misbehave', kind=kind, operation=operation)
        call = partial(trade.create_order, **order)
        with pytest.raises(error):
            (call if operation == 'place' else User(**KEYS).get_account_balance)()
        venue.ask('behave')


class Listener:
    """What a socket's client has heard."""

    def __init__(self) -> None:
        self.client: Any
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        self._ids = iter(range(1, 1000))

    async def hear(self, message: Any) -> None:
        self._heard.put_nowait(message)

    async def next(self, **fields: Any) -> Any:
        """The next message that has these fields."""
        while True:
            message = await asyncio.wait_for(self._heard.get(), 20)
            if fields.items() <= message.items():
                return message

    async def ask(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        message = {'method': method, 'params': params, 'req_id': number}
        await self.client.send_message(message=message)
        return await self.next(req_id=number)

    async def subscribe(self, channel: str, **params: Any) -> Any:
        await self.client.subscribe(params={'channel': channel, **params})
        return await self.next(method='subscribe')


@asynccontextmanager
async def listen(**keys: Any) -> AsyncIterator[Listener]:
    listener = Listener()
    async with SpotWSClient(**keys, callback=listener.hear) as listener.client:
        yield listener


def test_market_streams() -> None:
    async def follow() -> None:
        async with listen() as it:
            wanted: list[tuple[str, dict[str, Any]]] = [
                ('ticker', {'event_trigger': 'bbo'}),
                ('trade', {'snapshot': True}),
                ('ohlc', {'interval': 1}),
                ('book', {'depth': 25}),
            ]
            for channel, params in wanted:
                ack = await it.subscribe(channel, symbol=[SYMBOL], **params)
                assert ack['result']['symbol'] == SYMBOL
                first = await it.next(channel=channel, type='snapshot')
                assert first['data'][0]['symbol'] == SYMBOL
                assert (await it.next(channel=channel, type='update'))['data']
            assert len(it.client.active_public_subscriptions) == 4
            await it.client.unsubscribe({'channel': 'ticker', 'symbol': [SYMBOL]})
            assert (await it.next(method='unsubscribe'))['success']
            await it.subscribe('instrument')
            listed = (await it.next(channel='instrument'))['data']
            assert SYMBOL in {pair['symbol'] for pair in listed['pairs']}

    asyncio.run(follow())


def test_a_book_that_checks_itself() -> None:
    async def follow() -> None:
        told: asyncio.Queue[Any] = asyncio.Queue()

        async def on_book(pair: str, message: Any) -> None:
            assert pair == SYMBOL
            told.put_nowait(message)

        client = SpotOrderBookClient(depth=10, callback=on_book)
        async with client:
            await client.add_book(pairs=[SYMBOL])
            for _ in range(12):
                message = await asyncio.wait_for(told.get(), 20)
                assert 'error' not in message
            book: Any = client.get(pair=SYMBOL)
            assert (book['valid'], len(book['bid']), len(book['ask'])) == (True, 10, 10)

    asyncio.run(follow())


def test_trading_by_socket(venue: Venue) -> None:
    low = round(best(venue)[0] - 1000, 1)

    async def trade() -> None:
        async with listen(**KEYS) as it:
            ack = await it.subscribe('executions', snap_trades=True)
            assert ack['result']['maxratecount'] > 0
            numbers = [(await it.next(channel='executions'))['sequence']]
            await it.subscribe('balances')
            assert (await it.next(channel='balances'))['type'] == 'snapshot'
            order = {
                'order_type': 'limit',
                'side': 'buy',
                'symbol': SYMBOL,
                'order_qty': 0.001,
                'limit_price': low,
            }

            async def told(order_id: str) -> str:
                message = await it.next(channel='executions')
                numbers.append(message['sequence'])
                (row,) = message['data']
                assert row['order_id'] == order_id
                exec_type: str = row['exec_type']
                return exec_type

            placed = (await it.ask('add_order', **order, cl_ord_id='mine'))['result']
            order_id = placed['order_id']
            assert [await told(order_id) for _ in range(2)] == ['pending_new', 'new']
            amended = await it.ask('amend_order', cl_ord_id='mine', order_qty=0.002)
            assert amended['result']['order_id'] == order_id
            assert await told(order_id) == 'amended'
            venue.ask('print_trade', market=SYMBOL, price=low, amount=0.0005)
            assert await told(order_id) == 'trade'
            edited = await it.ask('edit_order', order_id=order_id, symbol=SYMBOL)
            new = edited['result']['order_id']
            assert await told(order_id) == 'canceled'
            assert [await told(new) for _ in range(2)] == ['pending_new', 'new']
            assert (await it.ask('cancel_order', order_id=[new]))['success']
            assert await told(new) == 'canceled'
            market = {**order, 'order_type': 'market', 'limit_price': None}
            bought = (await it.ask('add_order', **market))['result']['order_id']
            kinds = [await told(bought)]
            while kinds[-1] != 'filled':
                kinds.append(await told(bought))
            assert kinds[:3] == ['pending_new', 'new', 'trade']
            assert numbers == list(range(1, 1 + len(numbers)))
            del order['symbol']
            batch = await it.ask('batch_add', symbol=SYMBOL, orders=[order, order])
            ids = [row['order_id'] for row in batch['result']['orders']]
            assert (await it.ask('batch_cancel', orders=ids))['success']
            await it.ask('cancel_all_orders_after', timeout=60)
            assert (await it.ask('cancel_all'))['result'] == {'count': 0}
            await it.ask('cancel_all_orders_after', timeout=0)
            much = {**order, 'symbol': SYMBOL, 'order_qty': 10**9}
            refused = await it.ask('add_order', **much)
            assert refused['error'] == 'EOrder:Insufficient funds'
            refused = await it.ask('cancel_order', order_id=[new])
            assert refused['error'] == 'EOrder:Unknown order'

    asyncio.run(trade())


def test_it_comes_back(venue: Venue) -> None:
    async def come_back() -> None:
        async with listen(**KEYS) as it:
            await it.subscribe('trade', symbol=[SYMBOL])
            await it.subscribe('executions')
            await it.next(channel='executions')
            venue.ask('misbehave', kind='drop')
            # with what it had subscribed to, and another token
            again = await it.next(channel='executions')
            assert (again['type'], again['sequence']) == ('snapshot', 1)
            assert await it.next(channel='trade', type='update')

    asyncio.run(come_back())
