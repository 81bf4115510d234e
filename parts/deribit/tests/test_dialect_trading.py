"""
The simulated venue's answers on the wire: logins, orders, accounts.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Any

import pytest
from trio_websocket import ConnectionClosed
from wire import BTC, Refused, Wire, log_in, open_account, open_wire, rest

from minipiker.testing import open_process
from simvenue.dialect import TRAITS
from simvenue.process import open_simvenue


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """
    Of a venue that tests share which do not disturb it.
    """
    with open_process('simvenue', '--until-eof') as (_, it):
        yield it


async def test_logins() -> None:
    async with open_simvenue(rate=0) as venue:

        async def fails(wire: Wire, code: int, method: str, **params: object) -> None:
            with pytest.raises(Refused, match=str(code)):
                await wire.request(method, **params)

        positions = 'private/get_positions'
        async with open_wire(venue.url) as wire:
            await fails(wire, 10000, positions)
            with pytest.raises(Refused, match='13004'):
                await log_in(wire, 'nobody')
            signed = {
                'grant_type': 'client_signature',
                'client_id': 'simkey',
                'timestamp': 1,
                'nonce': 'n',
                'data': 'd',
            }
            right = hmac.new(b'simsecretkey', b'1\nn\nd', 'sha256').hexdigest()
            await fails(wire, 13004, 'public/auth', **signed, signature='0' * 64)
            token = await wire.request('public/auth', **signed, signature=right)
            assert await wire.request(positions) == []
            assert token['token_type'] == 'bearer'
            assert (token['expires_in'], 'trade:read_write') == (
                900,
                next(it for it in token['scope'].split() if it.startswith('trade')),
            )
            other = await wire.request(
                'public/auth',
                grant_type='refresh_token',
                refresh_token=token['refresh_token'],
            )
            assert await wire.request(positions) == []
            # a token of a connection is good there only
            async with open_wire(venue.url) as stranger:
                await fails(
                    stranger, 13009, positions, access_token=other['access_token']
                )
            await venue.misbehave('unauthorized', operation='positions')
            await fails(wire, 10000, positions)
            await log_in(wire)
            await venue.misbehave('expired_token', operation='positions')
            await fails(wire, 13009, positions)
            await fails(wire, 10000, positions)
            await log_in(wire, scope='trade:read expires:60')
            await wire.request(positions)
            await fails(wire, 13021, 'private/cancel_all')
            await venue.set_clock(now=(await venue.state()).now + 61_000)
            await fails(wire, 13009, positions)
            named = await log_in(wire, scope='session:mine')
            async with open_wire(venue.url) as mine:
                access = named['access_token']
                assert await mine.request(positions, access_token=access) == []
            await wire.request('private/logout')
            with pytest.raises(ConnectionClosed):
                await wire.receive()


async def test_logins_by_http() -> None:
    async with open_simvenue(rate=0) as venue, rest(venue.url) as http:
        path = '/private/get_positions'
        assert (await http.get(path)).status_code == 401
        assert (await http.get(path, auth=('simkey', 'simsecretkey'))).json()[
            'result'
        ] == []
        # the login was that request's
        assert (await http.get(path)).status_code == 401
        lines = ['1', 'n', 'GET', f'/api/v2{path}?currency=BTC', '', '']
        signature = hmac.new(
            b'simsecretkey', '\n'.join(lines).encode(), 'sha256'
        ).hexdigest()
        for sig, status in [(signature, 200), ('0' * 64, 401)]:
            header = f'deri-hmac-sha256 id=simkey,ts=1,nonce=n,sig={sig}'
            reply = await http.get(
                path, params={'currency': 'BTC'}, headers={'Authorization': header}
            )
            assert reply.status_code == status
        auth = {
            'grant_type': 'client_credentials',
            'client_id': 'simkey',
            'client_secret': 'simsecretkey',
        }
        token = (await http.get('/public/auth', params=auth)).json()['result']
        headers = {'Authorization': f'Bearer {token["access_token"]}'}
        assert (await http.get(path, headers=headers)).status_code == 200


async def test_the_life_of_an_order() -> None:
    async with open_simvenue(rate=0) as venue, open_account(venue.url) as wire:
        channels = ['orders', 'trades', 'changes']
        await wire.subscribe(*(f'user.{it}.any.any.raw' for it in channels))
        order = {'instrument_name': BTC, 'amount': 20, 'label': 'mine'}
        ticker = await wire.request('public/ticker', instrument_name=BTC)
        bid, ask = ticker['best_bid_price'], ticker['best_ask_price']
        placed = await wire.request('private/buy', **order, price=bid - 100)
        assert not wire.notifications
        assert await wire.notification('user.orders.any.any.raw') == placed['order']
        order_id = placed['order']['order_id']
        edited = await wire.request(
            'private/edit', order_id=order_id, amount=30, price=bid - 200
        )
        assert edited['order']['order_id'] == order_id
        assert (edited['order']['replaced'], edited['order']['amount']) == (True, 30)
        assert await wire.request('private/get_open_orders') == [edited['order']]
        by_label = {'label': 'mine', 'instrument_name': BTC}
        again = await wire.request(
            'private/edit_by_label', **by_label, amount=20, price=bid
        )
        assert again['order']['order_id'] == order_id

        # somebody else trades at its price
        await venue.print_trade(BTC, bid, 10, side='sell')
        state = await wire.request('private/get_order_state', order_id=order_id)
        assert (state['order_state'], state['filled_amount']) == ('open', 10)
        gone = await wire.request('private/cancel', order_id=order_id)
        assert (gone['order_state'], gone['cancel_reason']) == (
            'cancelled',
            'user_request',
        )
        for method in ('cancel', 'edit'):
            params = {'order_id': order_id, 'amount': 30, 'price': bid}
            with pytest.raises(Refused, match='11044'):
                await wire.request(f'private/{method}', **params)

        taken = await wire.request('private/buy', **order, price=ask)
        assert taken['order']['order_state'] == 'filled'
        assert [it['liquidity'] for it in taken['trades']] == ['T']
        fills = await wire.request(
            'private/get_user_trades_by_instrument', instrument_name=BTC
        )
        assert [it['liquidity'] for it in fills['trades']] == ['T', 'M']
        assert fills['trades'][:1] == taken['trades']
        same = await wire.request('private/get_user_trades_by_currency', currency='BTC')
        assert same == fills
        onwards = await wire.request(
            'private/get_user_trades_by_currency',
            currency='BTC',
            start_id=taken['trades'][0]['trade_id'],
        )
        assert onwards['trades'] == taken['trades']
        assert (
            await wire.request('private/get_user_trades_by_order', order_id=order_id)
            == fills['trades'][1:]
        )
        (told,) = await wire.notification('user.trades.any.any.raw')
        assert (told['trade_id'], told['state']) == (
            fills['trades'][1]['trade_id'],
            'open',
        )
        (found, other) = await wire.request(
            'private/get_order_state_by_label', currency='BTC', label='mine'
        )
        assert {found['order_id'], other['order_id']} == {
            order_id,
            taken['order']['order_id'],
        }
        (position,) = await wire.request('private/get_positions', currency='BTC')
        assert (position['size'], position['direction']) == (30, 'buy')
        assert (await wire.request('private/get_positions', currency='ETH')) == []


@pytest.mark.parametrize(
    ('change', 'code'),
    [
        ({'amount': 15}, 10021),
        ({'amount': 0}, -32602),
        ({'amount': None}, -32602),
        ({'price': 50_000.1}, 10043),
        ({'price': None}, -32602),
        ({'type': 'market'}, -32602),
        ({'type': 'stop_limit'}, -32602),
        ({'amount': 1e15}, 10009),
        ({'label': 'x' * 65}, -32602),
        ({'valid_until': 1}, 13888),
        ({'instrument_name': 'X'}, 13020),
        ({'price': 10**6, 'post_only': True, 'reject_post_only': True}, 11054),
    ],
)
async def test_bad_orders_are_refused(
    url: str, change: dict[str, Any], code: int
) -> None:
    async with open_account(url) as wire:
        order = {'instrument_name': BTC, 'amount': 10, 'price': 50_000}
        with pytest.raises(Refused, match=str(code)):
            await wire.request('private/buy', **{**order, **change})


async def test_orders_of_all_kinds() -> None:
    async with open_simvenue(rate=0) as venue, open_account(venue.url) as wire:
        ticker = await wire.request('public/ticker', instrument_name=BTC)
        bid, ask = ticker['best_bid_price'], ticker['best_ask_price']

        async def buy(**params: Any) -> Any:
            order = {'instrument_name': BTC, 'amount': 10, **params}
            return (await wire.request('private/buy', **order))['order']

        # post_only alone moves the price
        slid = await buy(price=ask + 100, post_only=True)
        assert (slid['order_state'], slid['price']) == ('open', ask - 0.5)
        await wire.request('private/cancel_all')
        much = {'price': bid, 'amount': 10**6}
        ioc = await buy(**much, time_in_force='immediate_or_cancel')
        assert (ioc['order_state'], ioc['filled_amount']) == ('cancelled', 0)
        fok = await buy(price=ask, amount=10**8, time_in_force='fill_or_kill')
        assert (fok['order_state'], fok['filled_amount']) == ('cancelled', 0)
        assert (await buy(contracts=2, amount=None, type='market'))['amount'] == 20
        await venue.depth(BTC, 0)
        with pytest.raises(Refused, match='11030'):
            await buy(type='market')

        # and how they are cancelled
        def place(name: str, label: str) -> Any:
            return wire.request(
                'private/buy', instrument_name=name, amount=10, price=1000, label=label
            )

        async def left() -> list[str]:
            orders = await wire.request('private/get_open_orders')
            return sorted(it['label'] for it in orders)

        for method, params, rest in [
            ('cancel_by_label', {'label': 'a'}, ['b', 'c']),
            ('cancel_all_by_currency', {'currency': 'ETH'}, ['a', 'b']),
            ('cancel_all_by_instrument', {'instrument_name': BTC}, ['c']),
            (
                'cancel_all_by_kind_or_type',
                {'currency': 'any', 'kind': 'option'},
                ['a', 'b', 'c'],
            ),
            ('cancel_all', {}, []),
        ]:
            for name, label in [(BTC, 'a'), (BTC, 'b'), ('ETH-PERPETUAL', 'c')]:
                await place(name, label)
            gone = await wire.request(f'private/{method}', **params)
            assert await left() == rest
            assert gone == 3 - len(rest)
            await wire.request('private/cancel_all')
        await place(BTC, 'twice')
        await place(BTC, 'twice')
        with pytest.raises(Refused, match='13032'):
            params = {'label': 'twice', 'instrument_name': BTC}
            await wire.request('private/edit_by_label', **params, amount=10, price=1001)


async def test_orders_may_end_with_their_connection() -> None:
    async with open_simvenue(rate=0) as venue, open_account(venue.url) as wire:
        await wire.subscribe('user.orders.any.any.raw')
        order = {'instrument_name': BTC, 'amount': 10, 'price': 1000}
        async with open_account(venue.url) as brief:
            await brief.request('private/buy', **order)
            await brief.request('private/enable_cancel_on_disconnect')
            await brief.request('private/buy', **order)
        told = [await wire.notification('user.orders.any.any.raw') for _ in range(3)]
        assert [it['order_state'] for it in told] == ['open', 'open', 'cancelled']
        assert told[2]['cancel_reason'] == 'cancel_on_disconnect'
        # but not after a farewell
        async with open_account(venue.url) as brief:
            await brief.request('private/enable_cancel_on_disconnect')
            await brief.request('private/buy', **order)
            await brief.request('private/logout')
        assert len(await wire.request('private/get_open_orders')) == 2


async def test_a_venue_may_differ() -> None:
    assert TRAITS['edit'] == 'in_place'
    order = {'instrument_name': BTC, 'amount': 10, 'price': 1000, 'label': 'a'}
    async with open_simvenue(rate=0) as venue, open_account(venue.url) as wire:
        await venue.differ(edit='replace', client_ids='open')
        placed = (await wire.request('private/buy', **order))['order']
        with pytest.raises(Refused, match='13032'):
            await wire.request('private/buy', **order)
        changed = {'order_id': placed['order_id'], 'amount': 20, 'price': 1001}
        edited = (await wire.request('private/edit', **changed))['order']
        assert edited['order_id'] != placed['order_id']
        assert (edited['label'], edited['amount']) == ('a', 20)
        await wire.request('private/cancel_all')
        await wire.request('private/buy', **order)
        await wire.request('private/cancel_all')
        await venue.differ(client_ids='ever')
        with pytest.raises(Refused, match='13032'):
            await wire.request('private/buy', **order)

        await venue.differ(
            client_ids='never', fills='stream', positions='fills', trade_numbers='none'
        )
        await wire.subscribe('user.trades.any.any.raw')
        market = {'instrument_name': BTC, 'amount': 10, 'type': 'market'}
        bought = await wire.request('private/buy', **market)
        assert (bought['trades'], bought['order']['filled_amount']) == ([], 0)
        (fill,) = await wire.notification('user.trades.any.any.raw')
        assert 'trade_seq' not in fill
        assert await wire.request('private/get_positions') == []
        page = await wire.request(
            'public/get_last_trades_by_instrument', instrument_name=BTC
        )
        assert 'trade_seq' not in page['trades'][0]
