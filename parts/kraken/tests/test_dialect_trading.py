"""
The simulated venue's answers on the wire: logins, orders, accounts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from wire import (
    BTC,
    PAIR,
    Refused,
    Wire,
    get_token,
    open_account,
    open_rest,
    open_wire,
)

from minipiker.testing import open_process
from simvenue.dialect import LIMITS, TRAITS
from simvenue.process import open_simvenue

_ids = map('order {}'.format, count())


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """
    Of a venue that tests share which do not disturb it.
    """
    with open_process('simvenue', '--until-eof') as (_, it):
        yield it


def limit(price: float, **more: Any) -> dict[str, Any]:
    """
    An order by HTTP.
    """
    order = {'pair': PAIR, 'type': 'buy', 'ordertype': 'limit', 'volume': '0.001'}
    return {**order, 'price': price, **more}


def bid(price: float, **more: Any) -> dict[str, Any]:
    """
    The same by WebSocket.
    """
    order = {'symbol': BTC, 'side': 'buy', 'order_type': 'limit', 'order_qty': 0.001}
    return {**order, 'limit_price': price, **more}


async def test_signatures_and_nonces() -> None:
    async with open_simvenue(rate=0) as venue:
        async with open_rest(venue.url, 'nobody') as rest:
            with pytest.raises(Refused, match='EAPI:Invalid key'):
                await rest.post('Balance')
        async with open_rest(venue.url, secret='c2ltc2VjcmV0') as rest:
            with pytest.raises(Refused, match='EAPI:Invalid signature'):
                await rest.post('Balance')
        async with open_rest(venue.url) as rest:
            reply = await rest.http.post('/0/private/Balance')
            assert reply.json() == {'error': ['EAPI:Invalid key']}
            balances = await rest.post('Balance', nonce=2**63)
            assert balances['XXBT'] == balances['ZUSD']
            for nonce in (2**63, 2**63 - 1, 0):
                with pytest.raises(Refused, match='EAPI:Invalid nonce'):
                    await rest.post('Balance', nonce=nonce)
            # it remembers, unless it has lost its memory
            await venue.restart()
            with pytest.raises(Refused, match='EAPI:Invalid nonce'):
                await rest.post('Balance', nonce=2**63)
            await venue.restart(memory=False)
            assert await rest.post('Balance', nonce=1)
            await venue.misbehave('unauthorized', operation='balances')
            with pytest.raises(Refused, match='EAPI:Invalid key'):
                await rest.post('Balance', nonce=2)
            assert await rest.post('Balance', nonce=3)


async def test_tokens() -> None:
    async with open_simvenue(rate=0) as venue:
        token = await get_token(venue.url)
        async with open_wire(venue.url, '/auth/v2') as wire:
            for wrong in ('', 'x'):
                with pytest.raises(Refused, match='ESession:Invalid session'):
                    await wire.subscribe('executions', token=wrong)
            await wire.subscribe('executions', token=token)
            with pytest.raises(Refused, match='ESession:Invalid session'):
                await wire.request('cancel_all')
            # it is good for long where it is used, but not to begin with
            later = (await venue.state()).now + 901_000
            await venue.set_clock(now=later)
            assert await wire.request('cancel_all', token=token) == {'count': 0}
            async with open_wire(venue.url, '/auth/v2', token) as other:
                with pytest.raises(Refused, match='ESession:Invalid session'):
                    await other.subscribe('executions')
            for kind in ('expired_token', 'unauthorized'):
                token = await get_token(venue.url)
                await wire.subscribe('executions', token=token)
                await venue.misbehave(kind, operation='cancel')
                with pytest.raises(Refused, match='ESession:Invalid session'):
                    await wire.request('cancel_all', token=token)
                assert not (await venue.state()).subscriptions
        async with open_wire(venue.url, '/v2', await get_token(venue.url)) as public:
            with pytest.raises(Refused, match='EGeneral:Permission denied'):
                await public.subscribe('executions')


async def test_the_life_of_an_order_by_http() -> None:
    async with open_simvenue(rate=0) as venue, open_rest(venue.url) as rest:
        market = await venue.market(BTC)
        assert market.bid
        low = market.bid - 1000
        placed = await rest.post('AddOrder', **limit(low, cl_ord_id='mine'))
        (txid,) = placed['txid']
        assert placed['descr']['order'] == f'buy 0.00100000 XBTUSD @ limit {low:.1f}'
        # somebody else's trade at its price
        await venue.print_trade(BTC, low, 0.0004, side='sell')
        order = (await rest.post('OpenOrders', cl_ord_id='mine'))['open'][txid]
        assert (order['status'], order['vol_exec']) == ('open', '0.00040000')
        assert (await rest.post('OpenOrders', userref=5))['open'] == {}
        await rest.post('AmendOrder', txid=txid, order_qty='0.002', limit_price=low - 1)
        order = (await rest.post('QueryOrders', txid=txid, trades=True))[txid]
        assert (order['vol'], order['vol_exec']) == ('0.00200000', '0.00040000')
        assert (order['amended'], order['descr']['price']) == (True, f'{low - 1:.1f}')
        edited = await rest.post('EditOrder', txid=txid, pair=PAIR, price=low - 2)
        assert edited['originaltxid'] == txid != edited['txid']
        closed = await rest.post('ClosedOrders')
        assert (closed['count'], closed['closed'][txid]['status']) == (1, 'canceled')
        assert closed['closed'][txid]['reason'] == 'Order replaced'
        new = edited['txid']
        assert (await rest.post('QueryOrders', txid=new))[new]['vol'] == '0.00160000'
        assert await rest.post('CancelOrder', txid=new) == {'count': 1}
        for name, params in [
            ('CancelOrder', {'txid': new}),
            ('AmendOrder', {'txid': new, 'order_qty': 1}),
            ('EditOrder', {'txid': 'x', 'pair': PAIR}),
            ('CancelOrder', {'cl_ord_id': 'mine'}),
        ]:
            with pytest.raises(Refused, match='EOrder:Unknown order'):
                await rest.post(name, **params)
        # what is amended below what is filled has an end
        (txid,) = (await rest.post('AddOrder', **limit(low)))['txid']
        await venue.print_trade(BTC, low, 0.0004, side='sell')
        await rest.post('AmendOrder', txid=txid, order_qty='0.0004')
        order = (await rest.post('QueryOrders', txid=txid))[txid]
        assert (order['status'], order['vol_exec']) == ('canceled', '0.00040000')

        bought = await rest.post(
            'AddOrder', pair='XBTUSD', type='buy', ordertype='market', volume=0.001
        )
        (txid,) = bought['txid']
        history = await rest.post('TradesHistory')
        assert history['count'] == 3
        fills = history['trades']
        first = next(iter(fills))
        assert (fills[first]['ordertxid'], fills[first]['maker']) == (txid, False)
        assert [it['maker'] for it in fills.values()] == [False, True, True]
        assert await rest.post('QueryTrades', txid=first) == {first: fills[first]}
        order = (await rest.post('QueryOrders', txid=txid, trades=True))[txid]
        assert (order['status'], order['trades']) == ('closed', [first])
        since = await rest.post('TradesHistory', start=[*fills][1])
        assert since['trades'].keys() <= {first}
        balance = await rest.post('BalanceEx')
        spent = sum(Decimal(it['cost']) + Decimal(it['fee']) for it in fills.values())
        plenty = Decimal(balance['ZEUR']['balance'])
        assert plenty - Decimal(balance['ZUSD']['balance']) == pytest.approx(spent)
        assert Decimal(balance['XXBT']['balance']) - plenty == Decimal('0.0018')


async def test_pages_of_an_account() -> None:
    async with open_simvenue(rate=0) as venue, open_rest(venue.url) as rest:
        await venue.depth(BTC, 1)
        for _ in range(60):
            await rest.post('AddOrder', **limit(1000, type='sell', volume=0.0005))
        seen: list[str] = []
        end = (await rest.get('Time'))['unixtime'] + 1
        for ofs in (0, 50):
            page = await rest.post('TradesHistory', ofs=ofs, end=end)
            assert page['count'] == 60
            seen += page['trades']
        assert len(seen) == len(set(seen)) == 60
        assert (await rest.post('TradesHistory', start=end))['count'] == 0
        orders = await rest.post('ClosedOrders', ofs=50)
        assert (len(orders['closed']), orders['count']) == (10, 60)


async def executions(wire: Wire, order_id: str, until: str) -> list[Any]:
    """
    What is told of an order, up to an event of that kind.
    """
    told: list[Any] = []
    while not told or told[-1]['exec_type'] != until:
        rows = await wire.rows('executions')
        told += [row for row in rows if row['order_id'] == order_id]
    return told


async def test_the_life_of_an_order_by_socket() -> None:
    async with open_simvenue(rate=0) as venue, open_account(venue.url) as wire:
        market = await venue.market(BTC)
        assert market.bid
        before = (await wire.request('add_order', **bid(1000)))['order_id']
        ack = await wire.subscribe('executions', snap_trades=True)
        assert ack['maxratecount'] == LIMITS['order_burst'][0]
        first = await wire.news('executions')
        assert (first['type'], first['sequence']) == ('snapshot', 1)
        assert [(it['order_id'], it['exec_type']) for it in first['data']] == [
            (before, 'new')
        ]
        await wire.subscribe('balances')
        held = {it['asset']: it for it in await wire.rows('balances', 'snapshot')}
        assert held['BTC']['balance'] == held['BTC']['wallets'][0]['balance']

        placed = await wire.request('add_order', **bid(market.bid, cl_ord_id='mine'))
        order_id = placed['order_id']
        assert placed['cl_ord_id'] == 'mine'
        # an event is a message
        for number, kind in enumerate(('pending_new', 'new'), 2):
            news = await wire.news('executions')
            assert news['sequence'] == number
            assert [it['exec_type'] for it in news['data']] == [kind]
        price = market.bid - 10
        amended = await wire.request(
            'amend_order', cl_ord_id='mine', order_qty=0.002, limit_price=price
        )
        assert (amended['order_id'], amended['cl_ord_id']) == (order_id, 'mine')
        (told,) = await executions(wire, order_id, 'amended')
        assert (float(told['order_qty']), told['limit_price']) == (
            0.002,
            Decimal(str(price)),
        )
        await venue.print_trade(BTC, price, 0.0015, side='sell')
        (told,) = await executions(wire, order_id, 'trade')
        assert (told['order_status'], told['liquidity_ind']) == (
            'partially_filled',
            'm',
        )
        assert told['last_qty'] == told['cum_qty'] == Decimal('0.0015')
        base, quote = await wire.rows('balances')
        assert (base['asset'], base['amount']) == ('BTC', Decimal('0.0015'))
        assert quote['amount'] == -told['cost'] == -told['cum_cost']
        assert round(quote['fee'], 5) == told['fees'][0]['qty']
        gone = await wire.request('cancel_order', order_id=[order_id])
        assert gone == {'order_id': order_id}
        (told,) = await executions(wire, order_id, 'canceled')
        assert (told['reason'], told['cum_qty']) == (
            'User requested',
            Decimal('0.0015'),
        )

        ask = (await venue.market(BTC)).ask
        taken = await wire.request(
            'add_order', symbol=BTC, side='buy', order_type='market', order_qty=0.0001
        )
        told = await executions(wire, taken['order_id'], 'filled')
        assert [it['exec_type'] for it in told[:3]] == ['pending_new', 'new', 'trade']
        assert [it['order_status'] for it in told[-2:]] == ['filled', 'filled']
        assert told[-1]['avg_price'] == Decimal(str(ask))

        edited = await wire.request('edit_order', order_id=before, limit_price=1001)
        assert edited['original_order_id'] == before
        (old,) = await executions(wire, before, 'canceled')
        assert old['reason'] == 'Order replaced'
        async with open_account(venue.url) as other:
            await other.subscribe('executions', snap_orders=False, snap_trades=True)
            rows = await other.rows('executions', 'snapshot')
            assert [it['exec_type'] for it in rows] == ['trade', 'trade']


async def test_of_too_little_that_is_left_no_order_is_made() -> None:
    """
    The one that it was to replace stays.
    """
    async with open_simvenue(rate=0) as venue, open_account(venue.url) as wire:
        placed = await wire.request('add_order', **bid(1000, order_qty=0.001))
        await venue.print_trade(BTC, 1000, 0.0009, side='sell')
        with pytest.raises(Refused, match='EOrder:Cost minimum not met'):
            await wire.request('edit_order', **placed, limit_price=1001)
        async with open_rest(venue.url) as rest:
            assert placed['order_id'] in (await rest.post('OpenOrders'))['open']


async def test_several_orders_at_once() -> None:
    async with open_simvenue(rate=0) as venue, open_account(venue.url) as wire:
        orders = [bid(1000 + n, cl_ord_id=str(n)) for n in range(3)]
        for order in orders:
            del order['symbol']
        batch = [*orders, {**orders[0], 'limit_price': 1000.01}]
        rows = (await wire.request('batch_add', symbol=BTC, orders=batch))['orders']
        assert [it['success'] for it in rows] == [True, True, True, False]
        assert rows[-1]['error'] == 'EOrder:Tick size check failed'
        ids = [it['order_id'] for it in rows[:3]]
        # an answer for each of them
        first = await wire.reply('cancel_order', order_id=[ids[0], 'x'])
        second = await wire.receive()
        assert (first['success'], second['success']) == (True, False)
        assert second['error'] == 'EOrder:Unknown order'
        gone = await wire.request('batch_cancel', orders=[ids[1]], cl_ord_id=['2'])
        assert gone == {'count': 2}
        for number in (7, 7, 8):
            await wire.request('add_order', **bid(1000, order_userref=number))
        async with open_rest(venue.url) as rest:
            assert len((await rest.post('OpenOrders', userref=7))['open']) == 2
            assert await rest.post('CancelOrder', txid=7) == {'count': 2}
            assert await rest.post('CancelAll') == {'count': 1}


async def test_a_dead_mans_switch() -> None:
    async with open_simvenue(rate=0) as venue, open_account(venue.url) as wire:
        await wire.subscribe('executions')
        order_id = (await wire.request('add_order', **bid(1000)))['order_id']
        await wire.request('cancel_all_orders_after', timeout=60)
        await wire.request('cancel_all_orders_after', timeout=0)
        await venue.set_clock(now=(await venue.state()).now + 61_000)
        async with open_rest(venue.url) as rest:
            assert (await rest.post('OpenOrders'))['open'].keys() == {order_id}
            times = await rest.post('CancelAllOrdersAfter', timeout=60)
            assert times['currentTime'] < times['triggerTime']
        await venue.set_clock(now=(await venue.state()).now + 61_000)
        told = await executions(wire, order_id, 'canceled')
        assert told[-1]['reason'] == 'Cancel after timeout'


def ahead(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({'volume': 0.000001}, 'EOrder:Order minimum not met'),
    ({'volume': '0.000500001'}, 'EGeneral:Invalid arguments:volume'),
    ({'price': 1.0}, 'EOrder:Cost minimum not met'),
    ({'price': 50_000.01}, 'EOrder:Tick size check failed'),
    ({'price': ''}, 'EGeneral:Invalid arguments:price'),
    ({'volume': 1e9}, 'EOrder:Insufficient funds'),
    ({'pair': 'X'}, 'EQuery:Unknown asset pair'),
    ({'ordertype': 'stop-loss'}, 'EGeneral:Invalid arguments:ordertype'),
    ({'cl_ord_id': 'x' * 19}, 'EGeneral:Invalid arguments:cl_ord_id'),
    ({'cl_ord_id': 'x', 'userref': 1}, 'EGeneral:Invalid arguments:cl_ord_id'),
    ({'deadline': -1}, 'EService:Deadline elapsed'),
    ({'deadline': 70}, 'EGeneral:Invalid arguments:deadline'),
    ({'oflags': 'viqc'}, 'EGeneral:Invalid arguments:oflags'),
    ({'price': 10**6, 'oflags': 'post'}, 'EOrder:Post only order'),
]


@pytest.mark.parametrize(('change', 'error'), REFUSED, ids=str)
async def test_bad_orders_are_refused(
    url: str, change: dict[str, Any], error: str
) -> None:
    if 'deadline' in change:
        change = {'deadline': ahead(change['deadline'])}
    names = {'volume': 'order_qty', 'price': 'limit_price', 'pair': 'symbol'}
    async with open_rest(url) as rest, open_account(url) as wire:
        with pytest.raises(Refused, match=error):
            await rest.post('AddOrder', **limit(50_000) | change)
        params = {
            names.get(key, key): value
            for key, value in change.items()
            if value != '' and key not in ('ordertype', 'oflags', 'userref')
        }
        if params and len(params) == len(change):
            with pytest.raises(Refused, match=error.rpartition(':')[0]):
                await wire.request('add_order', **bid(50_000) | params)


async def test_orders_of_all_kinds() -> None:
    async with open_simvenue(rate=0) as venue, open_rest(venue.url) as rest:
        market = await venue.market(BTC)
        assert market.ask

        async def buy(**order: Any) -> Any:
            (txid,) = (await rest.post('AddOrder', **order))['txid']
            return (await rest.post('QueryOrders', txid=txid))[txid]

        ioc = await buy(**limit(1000, timeinforce='IOC'))
        assert (ioc['status'], ioc['vol_exec']) == ('canceled', '0.00000000')
        posted = await buy(**limit(1000, oflags='post'))
        assert (posted['status'], posted['oflags']) == ('open', 'fciq,post')
        filled = await buy(**limit(market.ask, deadline=ahead(10)))
        assert (filled['status'], filled['price']) == ('closed', f'{market.ask:.1f}')
        assert Decimal(filled['fee']) == round(
            Decimal(filled['cost']) * Decimal('0.004'), 5
        )
        checked = await rest.post('AddOrder', **limit(1000, validate='true'))
        assert checked.keys() == {'descr'}
        assert len((await rest.post('OpenOrders'))['open']) == 1
        await venue.depth(BTC, 0)
        with pytest.raises(Refused, match='EService:Market in limit_only mode'):
            await rest.post(
                'AddOrder', pair=PAIR, type='buy', ordertype='market', volume=1
            )


async def test_a_client_id_is_unique_while_it_is_open(url: str) -> None:
    async with open_rest(url) as rest:
        order = limit(1000, cl_ord_id=next(_ids))
        await rest.post('AddOrder', **order)
        with pytest.raises(Refused, match='EGeneral:Invalid arguments:cl_ord_id'):
            await rest.post('AddOrder', **order)
        await rest.post('CancelOrder', cl_ord_id=order['cl_ord_id'])
        await rest.post('AddOrder', **order)
        await rest.post('CancelOrder', cl_ord_id=order['cl_ord_id'])


async def test_a_venue_may_differ() -> None:
    assert (TRAITS['edit'], TRAITS['client_ids']) == ('in_place', 'open')
    async with open_simvenue(rate=0) as venue, open_account(venue.url) as wire:
        await venue.differ(edit='replace')
        order = bid(1000, cl_ord_id='a')
        placed = await wire.request('add_order', **order)
        amended = await wire.request(
            'amend_order', order_id=placed['order_id'], order_qty=0.002
        )
        assert amended['order_id'] != placed['order_id']
        await wire.request('cancel_all')
        await venue.differ(client_ids='ever')
        with pytest.raises(Refused, match='cl_ord_id'):
            await wire.request('add_order', **order)
        await venue.differ(client_ids='never', trade_numbers='none')
        await wire.request('add_order', **order)
        await wire.request('add_order', **order)
        await wire.subscribe('executions')
        order_id = (await wire.request('add_order', **bid(10**6)))['order_id']
        *_, trade = await executions(wire, order_id, 'trade')
        assert trade['trade_id'] > 2**20
