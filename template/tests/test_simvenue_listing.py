"""
What the simulated venue can list, whatever it does list: markets of all kinds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from simvenue.client import SimVenueError
from simvenue.clock import Clock
from simvenue.engine import Engine
from simvenue.instruments import Instrument, Kind, Product, expiries, step_at
from simvenue.journal import Journal
from simvenue.pricing import price_of
from simvenue.process import open_simvenue

_epoch: int = 1_750_000_000_000


def product(kind: Kind, base: str, quote: str, **terms: Any) -> Product:
    steps = dict.fromkeys(('tick_size', 'amount_step', 'min_amount'), Decimal('0.1'))
    names: dict[str, Any] = {'settlement': quote, 'index': base, 'price': 60_000}
    return Product(kind=kind, base=base, quote=quote, **{**names, **steps, **terms})


class Naming:
    """
    Names that say all.
    """

    def instrument_name(self, it: Instrument) -> str:
        terms = (it.kind, it.base, it.quote, it.expiry, it.strike, it.option_type)
        return '-'.join(str(term) for term in terms if term is not None)

    def order_id(self, it: Instrument, number: int) -> str:
        return str(number)


@pytest.fixture
def engine() -> Engine:
    """
    One with markets of all kinds, whatever the venue lists.
    """
    coarse = (Decimal(100), Decimal(5))
    products = [
        product('spot', 'A', 'B', min_amount=Decimal(2), min_cost=Decimal(5)),
        product('perpetual', 'A', 'B', settlement='A', inverse=True, leverage=50),
        product('future', 'A', 'B', tick_steps=(coarse,), leverage=50),
        product('option', 'A', 'A', inverse=True, strike_step=5000),
        product('option', 'A', 'B', strike_step=5000, activity=0.02),
    ]
    clock, journal = Clock(_epoch), Journal()
    return Engine(clock, journal, products, Naming(), traits={}, seed=7)


def test_markets_of_all_kinds(engine: Engine) -> None:
    kinds = {it.kind for it in engine.instruments.values()}
    assert kinds == {'spot', 'perpetual', 'future', 'option'}
    assert {it.inverse for it in engine.instruments.values()} == {True, False}
    for instrument in engine.instruments.values():
        market = engine.market(instrument.name)
        bids, asks = market.depth(10)
        assert bids[0][0] < asks[0][0]
        for price, _ in bids + asks:
            assert price % step_at(instrument.grid, price) == 0
        for trade in market.trades(market.next_seq - 50, market.next_seq):
            assert trade.price % step_at(instrument.grid, trade.price) == 0


def test_options_are_worth_what_they_pay(engine: Engine) -> None:
    options = [it for it in engine.instruments.values() if it.kind == 'option']
    call = next(it for it in options if it.option_type == 'call' and not it.inverse)
    put = next(
        it
        for it in options
        if it.option_type == 'put'
        and (it.base, it.quote, it.expiry, it.strike)
        == (call.base, call.quote, call.expiry, call.strike)
    )
    second, strike = _epoch // 1000, float(call.strike or 0)
    for index in (strike / 2, strike, strike * 2):
        parity = price_of(call, index, second) - price_of(put, index, second)
        assert parity == pytest.approx(index - strike, abs=1e-3 * strike)


def test_expiries_follow_the_clock(engine: Engine) -> None:
    found = [datetime.fromtimestamp(ms / 1000, UTC) for ms in expiries(_epoch)]
    assert all((it.weekday(), it.hour) == (4, 8) for it in found)
    # at 15 June 2025: two weeks, two quarters
    assert [f'{it:%d%b}' for it in found] == ['20Jun', '27Jun', '26Sep']
    at_expiry = min(expiries(_epoch))
    assert min(expiries(at_expiry - 1)) == at_expiry < min(expiries(at_expiry))
    assert {it.expiry for it in engine.instruments.values()} == {
        None,
        *expiries(_epoch),
    }
    engine.set_clock(at_expiry + 1000, None)
    assert at_expiry not in {it.expiry for it in engine.instruments.values()}
    gone = next(it for it in engine.expired.values() if it.expiry == at_expiry)
    assert not engine.is_active(engine.instrument(gone.name))


async def test_markets_come_and_go() -> None:
    async with open_simvenue(rate=0) as venue:
        names = {it.name for it in await venue.markets()}
        gone = next(iter(names))
        await venue.delist(gone)
        await venue.list_market('NEW', like=(await venue.markets())[0].name)
        expected = (names - {gone}) | {'NEW'}
        assert {it.name for it in await venue.markets()} == expected
        await venue.restart()
        assert {it.name for it in await venue.markets()} == expected
        await venue.list_market(gone)
        assert (await venue.market(gone)).active
        with pytest.raises(SimVenueError, match='say which one it is like'):
            await venue.list_market('OTHER')
