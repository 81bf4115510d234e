"""
What the backend can ask of an account beside what its order dialog does, on whichever
venue the suite runs: far from the market, of the smallest size, and canceled again.
"""

from __future__ import annotations

from minipiker.clearing.live import OpenOrders
from minipiker.testing import Market


async def test_an_order_that_is_put_in_the_place_of_another(
    open_orders: OpenOrders, market: Market
) -> None:
    async with open_orders() as orders:
        client, name, size = orders._client, market.mkt.bs_mktid, market.size(1)
        before = await client.get_balances()
        placed = await client.place('buy', name, size, price=market.price(0.7))
        replaced = await client.replace(placed, name, size, market.price(0.71))
        there = await client.get_open_orders()
        bound = await client.get_balances()
        await client.cancel(replaced)
    assert replaced in there
    assert placed not in there

    def hold(asset: str) -> tuple[float, ...]:
        return (*(float(it[asset].hold_trade) for it in (before, bound)),)

    assert len([it for it in before if hold(it)[1] > hold(it)[0]]) == 1
