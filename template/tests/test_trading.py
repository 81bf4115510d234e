"""
Orders on an account at the session's venue, be it a real one: through `emsd` and
`brokerd`, far from the market and of the smallest size, and canceled again.
"""

from __future__ import annotations

import pytest

from minipiker.clearing import Order
from minipiker.clearing.live import OpenTrader, Trader
from minipiker.clearing.testing import order_of
from minipiker.data.feed import open_feed

FAR = {'buy': 0.7, 'sell': 1.3}
"""Times the market's price."""
AT_MARKET = {'buy': 1.01, 'sell': 0.99}
OTHER = {'buy': 'sell', 'sell': 'buy'}


async def rest(trader: Trader, action: str, times: float = 0) -> Order:
    """
    An order that rests at the venue.
    """
    price = trader.market.price(times or FAR[action])
    order = await trader.place(action, price)
    *_, status = await trader.until(order, 'open')
    assert (order_of(status).price, order_of(status).size) == (price, order.size)
    return order


async def end(trader: Trader, order: Order) -> None:
    await trader.cancel(order)
    await trader.until(order, 'canceled')


@pytest.mark.case('EXEC-LIMIT-BUY', 'EXEC-LIMIT-SELL', 'EXEC-LIMIT-PAIR')
@pytest.mark.case('EXEC-CANCEL', 'EXEC-CANCEL-ALL')
async def test_orders_rest_far_from_the_market(open_trader: OpenTrader) -> None:
    async with open_trader() as trader:
        orders = [await rest(trader, action) for action in FAR]
        for order in orders:
            await trader.cancel(order)
        for order in reversed(orders):  # in whichever order it is told
            await trader.until(order, 'canceled')
        assert not trader.open


@pytest.mark.parametrize(
    'action',
    [
        pytest.param('buy', marks=pytest.mark.case('EXEC-MODIFY-BUY')),
        pytest.param('sell', marks=pytest.mark.case('EXEC-MODIFY-SELL')),
    ],
)
async def test_a_resting_order_is_changed(open_trader: OpenTrader, action: str) -> None:
    async with open_trader() as trader:
        order = await rest(trader, action)
        price = trader.market.price(FAR[action] + 0.01)
        await trader.change(order, price)
        *_, status = await trader.until(order, 'open')
        assert (order_of(status).price, order_of(status).size) == (price, order.size)
        await end(trader, order)


@pytest.mark.case('EXEC-MODIFY-REFUSED')
async def test_a_bad_change_leaves_an_order_as_it_was(open_trader: OpenTrader) -> None:
    async with open_trader() as trader:
        order = await rest(trader, 'buy')
        await trader.change(
            order, order.price + float(trader.market.mkt.price_tick) / 4
        )
        *_, status = await trader.until(order, 'error')
        assert 'multiple of' in status.brokerd_msg['reason']
        await end(trader, order)


@pytest.mark.case('EXEC-REPLACE')
@pytest.mark.parametrize('action', FAR)
async def test_an_order_is_canceled_for_another(
    open_trader: OpenTrader, action: str
) -> None:
    async with open_trader() as trader:
        await end(trader, await rest(trader, action))
        await end(trader, await rest(trader, action, FAR[action] + 0.01))


@pytest.mark.case('EXEC-CANCEL-TWICE')
async def test_what_is_canceled_is_not_canceled_again(open_trader: OpenTrader) -> None:
    async with open_trader() as trader:
        order = await rest(trader, 'buy')
        await end(trader, order)
        await trader.cancel(order)
        await trader.until(order, 'error')
        # and that is all that comes of it
        await end(trader, await rest(trader, 'buy'))


@pytest.mark.case('EXEC-REFUSED')
@pytest.mark.parametrize('what', ['price', 'size'])
async def test_what_the_market_does_not_have_is_refused(
    open_trader: OpenTrader, what: str
) -> None:
    async with open_trader() as trader:
        market = trader.market
        price, size = market.price(FAR['buy']), market.size(1)
        if what == 'price':
            price += float(market.mkt.price_tick) / 4
        else:
            size += float(market.mkt.size_tick) / 4
        order = await trader.place('buy', price, size)
        *_, status = await trader.until(order, 'error')
        assert 'multiple of' in status.brokerd_msg['reason']
        trader.open.clear()


@pytest.mark.case('EXEC-FILL-BUY', 'EXEC-FILL-SELL')
@pytest.mark.case('EXEC-FILL-CLOSES', 'EXEC-POSITION')
@pytest.mark.usefixtures('may_fill')
@pytest.mark.parametrize('first', ['buy', 'sell'])
async def test_what_is_filled_is_the_position(
    open_trader: OpenTrader, first: str
) -> None:
    """
    And the opposite order makes it what it was.
    """
    async with open_trader() as trader:
        market = trader.market
        async with open_feed([market.fqme]) as feed:
            last = feed.quotes[market.fqme]['last']
        position = trader.position
        for action in first, OTHER[first]:
            price = market.mkt.quantize(last * AT_MARKET[action], 'price')
            order = await trader.place(action, float(price))
            told = await trader.until(order, 'closed')
            fills = [it.brokerd_msg for it in told if it.resp == 'fill']
            assert sum(fill['size'] for fill in fills) == pytest.approx(order.size)
            for fill in fills:
                assert fill['action'] == action
                better = fill['price'] - order.price
                assert better <= 0 if action == 'buy' else better >= 0
            position += order.size if action == 'buy' else -order.size
            await trader.until_position(position)
