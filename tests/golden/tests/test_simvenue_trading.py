"""
The simulated venue's accounts, and what becomes of their orders.
"""

from __future__ import annotations

import hmac
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from minipiker.testing import open_process
from simvenue.process import SimVenue, open_simvenue
from simvenue.wire import Refused, Wire, call, open_wire

_btc: dict[str, Any] = {'instrument_name': 'BTC-USDT'}
_accounts: dict[str, Any] = {
    'ann': {'secret': 'a'},
    'bob': {'secret': 'b'},
    'poor': {'secret': 'p', 'balances': {'USDT': '1000'}},
}
_env: dict[str, str] = {'SIMVENUE_ACCOUNTS': json.dumps(_accounts)}


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """
    A venue that the tests of this module share; nothing happens there by itself.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SIMVENUE_ACCOUNTS', _env['SIMVENUE_ACCOUNTS'])
        with open_process('simvenue', '--rate=0') as (_, url):
            yield url


async def log_in(wire: Wire, key: str = 'ann', **changes: Any) -> Any:
    login: dict[str, Any] = {
        'grant_type': 'client_signature',
        'client_id': key,
        'timestamp': int(time.time() * 1000),
        'nonce': uuid4().hex,
    } | changes
    message = f'{login["timestamp"]}\n{login["nonce"]}\n'
    secret = _accounts[key]['secret'].encode()
    login.setdefault(
        'signature', hmac.new(secret, message.encode(), 'sha256').hexdigest()
    )
    return await wire.request('public/auth', **login)


@acm
async def open_account(url: str, key: str = 'ann') -> AsyncIterator[Wire]:
    """
    A connection that is logged in, without open orders at either end.
    """
    async with open_wire(url) as wire:
        await log_in(wire, key)
        await wire.request('private/cancel_all')
        yield wire
        await wire.request('private/cancel_all')


async def best(wire: Wire, side: str, instrument: str = 'BTC-USDT') -> float:
    ticker = await wire.request('public/ticker', instrument_name=instrument)
    return float(ticker[f'best_{side}_price'])


async def test_who_does_not_log_in_is_refused(url: str) -> None:
    async with open_wire(url) as wire:
        with pytest.raises(Refused, match='13009'):
            await wire.request('private/get_balances')
        with pytest.raises(Refused, match='13009'):
            await wire.request('public/subscribe', channels=['user.orders'])
        assert await log_in(wire) == {'account': 'ann'}
        await wire.request('private/get_balances')


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'signature': 'f' * 64}, 'wrong signature'),
        ({'client_id': 'nobody'}, 'unknown key'),
        ({'client_id': 'bob'}, 'wrong signature'),
        ({'timestamp': 1_000_000}, 'the timestamp is off by'),
        ({'timestamp': 10_000_000_000_000}, 'the timestamp is off by'),
        ({'nonce': ''}, 'Invalid params'),
    ],
)
async def test_bad_logins_are_refused(
    url: str,
    changes: dict[str, Any],
    complaint: str,
) -> None:
    async with open_wire(url) as wire:
        with pytest.raises(Refused, match=complaint):
            await log_in(wire, **changes)
        with pytest.raises(Refused, match='13009'):
            await wire.request('private/get_balances')


async def test_a_nonce_is_good_once(url: str) -> None:
    async with open_wire(url) as wire, open_wire(url) as thief:
        nonce = uuid4().hex
        await log_in(wire, nonce=nonce)
        with pytest.raises(Refused, match='the nonce was used before'):
            await log_in(thief, nonce=nonce)
        # it is another one of another account
        await log_in(thief, 'bob', nonce=nonce)


async def test_a_market_order_is_filled_at_once(url: str) -> None:
    async with open_account(url) as wire:
        ask = await best(wire, 'ask')
        before = await wire.request('private/get_user_trades', limit=1)
        reply = await wire.request('private/buy', **_btc, amount=0.001, type='market')
        order, (trade,) = reply['order'], reply['trades']
        assert order['order_state'] == 'filled'
        assert order['average_price'] == trade['price'] == ask
        assert trade['liquidity'] == 'taker'
        assert trade['fee'] == pytest.approx(ask * 0.001 * 0.0005)
        assert trade['user_seq'] == (before[0]['user_seq'] if before else 0) + 1
        assert await wire.request('private/get_user_trades', limit=1) == [trade]
        public = await wire.request('public/get_trades', **_btc, limit=1)
        assert public[0]['trade_id'] == trade['trade_id']
        assert public[0]['price'] == ask


async def test_an_order_takes_what_there_is_and_rests(url: str) -> None:
    async with open_account(url) as wire:
        await wire.request('sim/depth', **_btc, amount=0.4)
        ask = await best(wire, 'ask')
        reply = await wire.request('private/buy', **_btc, amount=1, price=ask)
        order = reply['order']
        assert (order['order_state'], order['filled_amount']) == ('open', 0.4)
        assert await wire.request('private/get_open_orders') == [order]
        # it is the best bid now
        ticker = await wire.request('public/ticker', **_btc)
        assert (ticker['best_bid_price'], ticker['best_bid_amount']) == (ask, 0.6)
        assert ticker['best_ask_price'] > ask

        # what others trade comes to it: not above its price, no more than they trade
        await wire.request('sim/trade', **_btc, price=ask + 1, amount=5)
        await wire.request('sim/trade', **_btc, price=ask - 1, amount=0.25)
        state = await wire.request(
            'private/get_order_state', order_id=order['order_id']
        )
        assert state['filled_amount'] == 0.65
        (trade,) = await wire.request('private/get_user_trades', limit=1)
        assert (trade['price'], trade['amount']) == (ask, 0.25)
        assert trade['liquidity'] == 'maker'
        await wire.request('sim/trade', **_btc, price=ask, amount=5)
        state = await wire.request(
            'private/get_order_state', order_id=order['order_id']
        )
        assert (state['order_state'], state['filled_amount']) == ('filled', 1)
        await wire.request('sim/depth', **_btc)


async def test_price_comes_before_time_before_size(url: str) -> None:
    async with open_account(url) as ann, open_account(url, 'bob') as bob:
        bid = await best(ann, 'bid') - 10
        orders: dict[str, float] = {}
        for wire, name, price, amount in (
            (ann, 'late', bid - 1, 5),
            (ann, 'second', bid, 1),
            (bob, 'third', bid, 3),
            (bob, 'first', bid + 1, 1),
        ):
            reply = await wire.request(
                'private/buy', **_btc, amount=amount, price=price, label=name
            )
            orders[name] = reply['order']['order_id']
        await ann.request('sim/trade', **_btc, price=bid - 5, amount=3.5)

        async def filled(wire: Wire, name: str) -> Any:
            order = await wire.request('private/get_order_state', label=name)
            return order['filled_amount']

        assert await filled(bob, 'first') == 1
        assert await filled(ann, 'second') == 1
        assert await filled(bob, 'third') == 1.5
        assert await filled(ann, 'late') == 0

        # accounts trade with each other, before the market maker at the same price
        reply = await ann.request('private/sell', **_btc, amount=1, price=bid)
        assert reply['order']['order_state'] == 'filled'
        assert await filled(bob, 'third') == 2.5


async def test_an_edit_keeps_its_place_only_if_it_shrinks(url: str) -> None:
    async with open_account(url) as ann, open_account(url, 'bob') as bob:
        bid = await best(ann, 'bid') - 10
        mine = await ann.request('private/buy', **_btc, amount=2, price=bid)
        yours = await bob.request('private/buy', **_btc, amount=2, price=bid)
        my_id = mine['order']['order_id']
        your_id = yours['order']['order_id']

        await ann.request('private/edit', order_id=my_id, amount=1.5, price=bid)
        await ann.request('sim/trade', **_btc, price=bid, amount=1)
        (order,) = await ann.request('private/get_open_orders')
        assert (order['amount'], order['filled_amount']) == (1.5, 1)

        await ann.request('private/edit', order_id=my_id, amount=3, price=bid)
        await ann.request('sim/trade', **_btc, price=bid, amount=1)
        (order,) = await ann.request('private/get_open_orders')
        assert order['filled_amount'] == 1
        (order,) = await bob.request('private/get_open_orders')
        assert (order['order_id'], order['filled_amount']) == (your_id, 1)

        # an edit that meets the other side trades
        ask = await best(ann, 'ask')
        reply = await ann.request('private/edit', order_id=my_id, amount=3, price=ask)
        assert [trade['liquidity'] for trade in reply['trades']] == ['taker']
        with pytest.raises(Refused, match='more than what is filled'):
            await bob.request('private/edit', order_id=your_id, amount=1, price=bid)


async def test_post_only(url: str) -> None:
    async with open_account(url) as wire:
        bid, ask = await best(wire, 'bid'), await best(wire, 'ask')
        with pytest.raises(Refused, match='11054'):
            await wire.request(
                'private/buy', **_btc, amount=1, price=ask, post_only=True
            )
        reply = await wire.request(
            'private/buy', **_btc, amount=1, price=bid, post_only=True
        )
        order = reply['order']
        assert order['order_state'] == 'open'
        with pytest.raises(Refused, match='11054'):
            await wire.request(
                'private/edit', order_id=order['order_id'], amount=1, price=ask
            )
        assert await wire.request('private/get_open_orders') == [order]


async def test_a_label_is_good_once(url: str) -> None:
    async with open_account(url) as ann, open_account(url, 'bob') as bob:
        label = uuid4().hex
        order = {**_btc, 'amount': 1, 'price': 1000, 'label': label}
        reply = await ann.request('private/buy', **order)
        await ann.request('private/cancel', order_id=reply['order']['order_id'])
        with pytest.raises(Refused, match='11030'):
            await ann.request('private/buy', **order)
        state = await ann.request('private/get_order_state', label=label)
        assert state['order_state'] == 'cancelled'
        with pytest.raises(Refused, match='10004'):
            await bob.request('private/get_order_state', label=label)
        await bob.request('private/buy', **order)


@pytest.mark.parametrize(
    ('order', 'complaint'),
    [
        ({'amount': 1}, 'a limit order has a price'),
        ({'amount': 1, 'type': 'market', 'price': 1}, 'a market order has none'),
        ({'amount': 1, 'price': 1.05}, r'1\.05 is not a multiple of 0\.1'),
        ({'amount': 0.0001, 'price': 1}, 'is not a multiple of 0.001'),
        ({'amount': 0, 'price': 1}, 'Invalid params'),
        ({'amount': -1, 'price': 1}, 'Invalid params'),
        ({'amount': 1, 'price': 1, 'type': 'stop'}, 'Invalid params'),
        ({'amount': 1e12, 'price': 1}, '10009'),
    ],
)
async def test_bad_orders_are_refused(
    url: str,
    order: dict[str, Any],
    complaint: str,
) -> None:
    async with open_account(url) as wire:
        with pytest.raises(Refused, match=complaint):
            await wire.request('private/buy', **_btc, **order)
        assert not await wire.request('private/get_open_orders')


async def test_one_cannot_spend_what_one_has_not(url: str) -> None:
    perp = {'instrument_name': 'BTC-USDT-PERP'}
    async with open_account(url, 'poor') as wire:

        async def available() -> Any:
            balances = await wire.request('private/get_balances')
            return {it['currency']: it['available'] for it in balances}['USDT']

        # 100 * 9 and the fee leave less than 100
        reply = await wire.request('private/buy', **_btc, amount=9, price=100)
        assert await available() == 99.55
        with pytest.raises(Refused, match='10009'):
            await wire.request('private/buy', **_btc, amount=1, price=100)
        order_id = reply['order']['order_id']
        with pytest.raises(Refused, match='10009'):
            await wire.request('private/edit', order_id=order_id, amount=10, price=100)
        await wire.request('private/edit', order_id=order_id, amount=9, price=110)
        await wire.request('private/cancel', order_id=order_id)
        assert await available() == 1000
        with pytest.raises(Refused, match='10009'):
            await wire.request('private/sell', **_btc, amount=0.001, type='market')

        # a perpetual can be sold short, for a tenth of its worth
        with pytest.raises(Refused, match='10009'):
            await wire.request('private/sell', **perp, amount=1, type='market')
        sold = await wire.request('private/sell', **perp, amount=0.1, type='market')
        (position,) = await wire.request('private/get_positions')
        assert position['size'] == -0.1
        assert position['average_price'] == sold['order']['average_price']
        bought = await wire.request('private/buy', **perp, amount=0.1, type='market')
        (position,) = await wire.request('private/get_positions')
        assert position['size'] == 0
        profit = 0.1 * (
            sold['order']['average_price'] - bought['order']['average_price']
        )
        fees = sum(trade['fee'] for trade in sold['trades'] + bought['trades'])
        assert await available() == pytest.approx(1000 + profit - fees)


async def test_closed_and_unknown_orders(url: str) -> None:
    async with open_account(url) as ann, open_account(url, 'bob') as bob:
        reply = await ann.request('private/buy', **_btc, amount=1, price=100)
        order = {'order_id': reply['order']['order_id']}
        with pytest.raises(Refused, match='10004'):
            await bob.request('private/cancel', **order)
        cancelled = await ann.request('private/cancel', **order)
        assert cancelled['order_state'] == 'cancelled'
        with pytest.raises(Refused, match='11044'):
            await ann.request('private/cancel', **order)
        with pytest.raises(Refused, match='11044'):
            await ann.request('private/edit', **order, amount=1, price=101)
        with pytest.raises(Refused, match='10004'):
            await ann.request('private/cancel', order_id='nothing')


async def test_what_happens_is_told_after_the_reply(url: str) -> None:
    channels = ['user.orders', 'user.trades', 'user.positions']
    async with open_account(url) as ann, open_account(url, 'bob') as bob:
        await ann.request('public/subscribe', channels=channels)
        await bob.request('public/subscribe', channels=channels)
        reply = await ann.request('private/buy', **_btc, amount=0.002, type='market')
        assert not ann.notifications
        told = [await ann.notification() for _ in channels]
        assert [it['channel'] for it in told] == [
            'user.trades',
            'user.orders',
            'user.positions',
        ]
        assert told[0]['data'] == {'seq': 1, 'trades': reply['trades']}
        assert told[1]['data'] == {'seq': 1, 'orders': [reply['order']]}
        # orders from elsewhere are the account's too
        elsewhere = {**_btc, 'direction': 'buy', 'amount': 1, 'price': 100}
        placed = await call(url, 'sim/order', account='ann', **elsewhere)
        assert (await ann.notification())['data']['orders'] == [placed['order']]
        # and nobody hears of another's
        await bob.request('private/get_balances')
        assert not bob.notifications


async def test_orders_may_end_with_their_connection(url: str) -> None:
    async with open_account(url) as wire:
        await wire.request('public/subscribe', channels=['user.orders'])
        async with open_wire(url) as brief:
            await log_in(brief)
            stays = await brief.request('private/buy', **_btc, amount=1, price=100)
            await brief.request('private/enable_cancel_on_disconnect')
            ends = await brief.request('private/buy', **_btc, amount=1, price=101)
        told = [(await wire.notification())['data']['orders'][0] for _ in range(3)]
        assert [(it['order_id'], it['order_state']) for it in told] == [
            (stays['order']['order_id'], 'open'),
            (ends['order']['order_id'], 'open'),
            (ends['order']['order_id'], 'cancelled'),
        ]


async def test_what_was_acknowledged_survives_a_kill() -> None:
    dice = random.Random(7)
    labels: list[str] = []

    async def act(wire: Wire) -> None:
        """
        Whatever a client may do, sensible or not.
        """
        price = round(await best(wire, 'bid') + dice.uniform(-20, 20), 1)
        amount = round(dice.uniform(0.1, 2), 3)
        open_orders = await wire.request('private/get_open_orders')
        some = dice.choice(open_orders)['order_id'] if open_orders else ''
        labels.append(uuid4().hex)
        method, params = dice.choice(
            [
                ('private/buy', {**_btc, 'price': price, 'label': labels[-1]}),
                ('private/sell', {**_btc, 'price': price, 'label': labels[-1]}),
                ('private/buy', {**_btc, 'type': 'market'}),
                ('private/edit', {'order_id': some, 'price': price}),
                ('sim/trade', {**_btc, 'price': price}),
                ('private/cancel', {'order_id': some}),
            ]
        )
        if method != 'private/cancel':
            params['amount'] = amount
        with suppress(Refused):
            await wire.request(method, **params)

    async def look(venue: SimVenue) -> list[Any]:
        accounts = [await venue.call('sim/account', account=it) for it in _accounts]
        return [*accounts, await venue.call('public/get_trades', **_btc, limit=1000)]

    seen: list[Any] = []
    async with open_simvenue(env=_env, rate=0) as venue:
        for _ in range(3):
            async with open_wire(venue.url) as wire:
                await log_in(wire)
                for _ in range(25):
                    await act(wire)
            seen = await look(venue)
            await venue.restart()
            assert await look(venue) == seen
    assert len(seen[0]['trades']) > 10
    for account, key in zip(seen, _accounts, strict=False):
        check_books(account, key)


def check_books(account: Any, key: str) -> None:
    """
    Everything about an account follows from its trades.
    """
    trades, orders = account['trades'], account['orders']
    assert [it['user_seq'] for it in trades] == list(range(1, len(trades) + 1))
    usdt = btc = Decimal(0)
    for trade in trades:
        sign = 1 if trade['direction'] == 'buy' else -1
        amount, price, fee = (
            Decimal(str(trade[name])) for name in ('amount', 'price', 'fee')
        )
        btc += sign * amount
        usdt -= sign * amount * price + fee
    for order in orders:
        filled = sum(
            Decimal(str(it['amount']))
            for it in trades
            if it['order_id'] == order['order_id']
        )
        assert filled == Decimal(str(order['filled_amount']))
        assert (order['filled_amount'] == order['amount']) == (
            order['order_state'] == 'filled'
        )
    balances = {it['currency']: it['balance'] for it in account['balances']}
    if key != 'poor':
        assert balances['BTC'] == pytest.approx(10_000_000 + float(btc), abs=1e-9)
        assert balances['USDT'] == pytest.approx(10_000_000 + float(usdt), abs=1e-3)
    if trades:
        (position,) = account['positions']
        assert position['size'] == pytest.approx(float(btc), abs=1e-9)
