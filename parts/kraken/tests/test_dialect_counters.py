"""
The simulated venue's counters on the wire: of requests, of orders, of messages.
"""

from __future__ import annotations

from typing import Any

import pytest
from wire import BTC, PAIR, Refused, open_account, open_rest

from simvenue.dialect import TRAITS
from simvenue.process import open_simvenue


def limit(price: float, **more: Any) -> dict[str, Any]:
    """
    An order by HTTP.
    """
    order = {'pair': PAIR, 'type': 'buy', 'ordertype': 'limit', 'volume': '0.001'}
    return {**order, 'price': price, **more}


async def test_the_counter_of_requests() -> None:
    async with (
        open_simvenue(rate=0, key_burst=5, key_rate=0.001) as venue,
        open_rest(venue.url) as rest,
    ):
        await rest.post('Balance')
        await rest.post('TradesHistory')
        await rest.post('TradesHistory')
        for name in ('Balance', 'TradesHistory'):
            with pytest.raises(Refused, match='EAPI:Rate limit exceeded'):
                await rest.post(name)
        # orders have a counter of their own, and so has what anybody may ask
        await rest.post('AddOrder', **limit(1000))
        await rest.get('Time')
        await venue.misbehave('rate_limit', operation='place')
        with pytest.raises(Refused, match='EOrder:Rate limit exceeded'):
            await rest.post('AddOrder', **limit(1000))
        await venue.misbehave('rate_limit', operation='place', seconds=5)
        with pytest.raises(Refused, match='EService: Throttled: ') as refused:
            await rest.post('AddOrder', **limit(1000))
        until = int(refused.value.args[0].rpartition(' ')[2])
        assert until - (await rest.get('Time'))['unixtime'] in (4, 5, 6)


async def test_the_counter_of_orders() -> None:
    async with (
        open_simvenue(rate=0, order_burst=20, order_rate=0.001) as venue,
        open_rest(venue.url) as rest,
    ):

        async def place(**more: Any) -> str:
            placed = await rest.post('AddOrder', **limit(1000, **more))
            txid: str = placed['txid'][0]
            return txid

        async def refused(what: Any) -> None:
            with pytest.raises(Refused, match='EOrder:Rate limit exceeded'):
                await what

        txid, young = await place(), await place()
        # 2 so far, and what is changed soon is dear: 4 and 8
        await rest.post('AmendOrder', txid=txid, order_qty=0.002)
        await rest.post('CancelOrder', txid=young)
        await refused(rest.post('EditOrder', txid=txid, pair=PAIR, order_qty=0.001))
        # the fixed part of it counts all the same: 15, and an old order is cheap
        await venue.set_clock(now=(await venue.state()).now + 20_000)
        for order_qty in ('0.003', '0.004', '0.005', '0.006', '0.007'):
            await rest.post('AmendOrder', txid=txid, order_qty=order_qty)
        await refused(place())
        # each pair has its own, and a cancellation is never refused
        await rest.post('AddOrder', **limit(1000, pair='ETHUSD', volume=1))
        assert await rest.post('CancelOrder', txid=txid) == {'count': 1}


@pytest.mark.case('TRAIT-CHANNELS')
async def test_a_gap_shows_in_what_is_counted() -> None:
    assert TRAITS['numbered_channels'] == ('executions', 'balances')
    async with (
        open_simvenue(rate=0) as venue,
        open_account(venue.url) as wire,
        open_account(venue.url) as other,
    ):
        await other.subscribe('balances')
        await wire.subscribe('executions')
        first = (await wire.news('executions'))['sequence']
        await venue.misbehave('skip', topic='fills')
        order = {'symbol': BTC, 'side': 'buy', 'order_type': 'market', 'order_qty': 1}
        await wire.request('add_order', **order)
        await wire.request('add_order', **order)
        assert (await wire.news('executions'))['sequence'] == first + 2
        numbers = [(await other.news('balances'))['sequence'] for _ in range(3)]
        assert numbers == [1, 2, 3]
        # and a new snapshot begins anew
        await wire.subscribe('executions')
        assert (await wire.news('executions', 'snapshot'))['sequence'] == 1
