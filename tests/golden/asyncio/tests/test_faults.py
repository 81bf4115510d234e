"""
All that a venue may do, to a feed and to orders: quotes go on, trades are complete, and
what becomes of an order is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from types import ModuleType

import pytest
import trio
from msgspec import Struct, field

from minipiker.brokers import BrokerError
from minipiker.clearing.desk import (
    HASTE,
    Desk,
    OpenDesk,
    get_last,
    open_desk_at,
    open_rival,
)
from minipiker.data.testing import (
    Follower,
    OpenVenue,
    SetLimits,
    UseVenue,
    follow,
    get_names,
)
from piker_deribit2._client import get_client
from piker_deribit2._errors import ConnectionLost, Throttled
from piker_deribit2._feed import mk_channels
from piker_deribit2._orders import OrderApi
from piker_deribit2.api import Client
from simvenue.client import Controls, SimVenueError
from simvenue.faults import CONNECTION, KINDS, MESSAGE, REQUEST, STREAM
from simvenue.process import SimVenue, open_simvenue

pytestmark = [pytest.mark.usefixtures('open_simvenue'), pytest.mark.in_actor]


class Case(Struct, frozen=True):
    kind: str = ''
    """Of `simvenue.faults`; '' where other controls do it."""
    options: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    """Of the client, where it would notice only after long."""
    needs: str = ''
    """The trait without which a venue has no notion of it."""


_soon = {'silence': 1, 'reply': 0.8}

CASES = {
    'drop': Case('drop'),
    'half-open': Case('silent', limits=_soon),
    'nobody listens': Case('refuse', {'seconds': 0.3}),
    'slow reads': Case('slow_reads', {'seconds': 0.05}),
    'a subscription that is forgotten': Case('forget', limits={'quiet': 0.2}),
    'partial frame': Case('partial_frame'),
    'malformed JSON': Case('malformed'),
    'wrong types': Case('wrong_type'),
    'unknown fields': Case('unknown_field'),
    'a field missing': Case('missing_field'),
    'a body of 50 MB': Case('huge'),
    'JSON nested 10 000 deep': Case('nested'),
    'duplicate': Case('repeat'),
    'reorder': Case('reorder'),
    'skip': Case('skip'),
    'too many requests': Case('rate_limit'),
    'too many requests, and for how long': Case('rate_limit', {'seconds': 0.1}),
    '429': Case('throttle'),
    '429 with Retry-After': Case('throttle', {'seconds': 0.1}),
    '5xx': Case('server_error'),
    '401 in the middle': Case('unauthorized'),
    'expired token': Case('expired_token'),
    'nonce too low': Case('stale_nonce', needs='nonces'),
    'maintenance': Case('maintenance', {'seconds': 0.3}),
    'a request that is lost': Case('lose_request'),
    'a reply that is lost': Case('lose_reply'),
    'a reply that never comes': Case('delay', {'seconds': 3600}, _soon),
    'a request that nobody takes up': Case('defer', {'seconds': 3600}, _soon),
    'clock skew': Case(),
    'restart with lost memory': Case(),
    'a market delisted while it streams': Case(),
    'escape sequences in names': Case(),
}
hostile = '\x1b]0;owned\x07\x1b[2J\u202e'


def test_no_fault_is_left_out() -> None:
    assert {it.kind for it in CASES.values()} == {'', *KINDS}


async def lacks(venue: Controls, case: Case) -> bool:
    """
    Whether the venue has no notion of it, which is what it says then.
    """
    if not case.needs or (await venue.state()).traits[case.needs]:
        return False
    with pytest.raises(SimVenueError, match=f'have no {case.needs}'):
        await venue.misbehave(case.kind)
    return True


@acm
async def open_any(
    name: str, open_venue: OpenVenue, use_venue: UseVenue
) -> AsyncIterator[Controls]:
    """
    A venue that tests share, but for one that is to lose its memory.
    """
    if 'memory' not in name:
        async with open_venue() as venue:
            yield venue
        return
    async with open_simvenue(rate=50) as venue:
        use_venue(venue.url)
        yield venue


async def strike_feed(
    name: str, case: Case, venue: Controls, client: Client, follower: Follower
) -> None:
    """
    Have it happen, be it to a request or to a stream or both.
    """
    market, other, *_ = await get_names(venue)
    if case.kind in CONNECTION:
        await venue.misbehave(case.kind, **case.options)  # type: ignore[arg-type]
    if case.kind in REQUEST + MESSAGE:
        # a login may be looked at with no other request than for one
        await venue.misbehave(case.kind, operation='ticker', **case.options)  # type: ignore[arg-type]
        with suppress(BrokerError):  # which says that the reply is none
            await client.get_ticker(market)
    if case.kind in STREAM + MESSAGE:
        await venue.misbehave(case.kind, topic='trades', **case.options)  # type: ignore[arg-type]
        while any(it.topic for it in (await venue.state()).faults):
            await follower.read_on(1)
    match name:
        case 'clock skew':
            await venue.set_clock(now=(await venue.state()).now + 10_000)
        case 'restart with lost memory':
            assert isinstance(venue, SimVenue)
            await venue.restart(memory=False)
        case 'a market delisted while it streams':
            async with client.session.open_channel(*mk_channels(other)) as msgs:
                await venue.delist(other)
                await venue.misbehave('drop')
                with pytest.raises(BrokerError, match=r'no channel .* any more'):
                    async for _ in msgs:
                        pass
            await venue.list_market(other)
        case 'escape sequences in names':
            await venue.list_market(market + hostile, like=market)
            async with follow(client, market + hostile) as another:
                await another.read_on(3)
            another.assert_complete()
            await venue.delist(market + hostile)


@pytest.mark.parametrize('name', CASES)
async def test_a_feed_goes_on(
    open_venue: OpenVenue, use_venue: UseVenue, set_limits: SetLimits, name: str
) -> None:
    case = CASES[name]
    set_limits(**{'connect': 1, 'min_backoff': 0.02, 'max_backoff': 0.1, **case.limits})
    async with open_any(name, open_venue, use_venue) as venue, get_client() as client:
        if await lacks(venue, case):
            return
        (market, *_) = await get_names(venue)
        async with follow(client, market) as follower:
            await follower.read_on(3)
            await strike_feed(name, case, venue, client, follower)
            await follower.read_on(15)
            assert (await client.get_ticker(market)).instrument_name == market
            await follower.read_on(1)
        follower.assert_complete()


async def strike_orders(name: str, case: Case, desk: Desk) -> None:
    """
    Have it happen: to the next order, if it is about requests, and to what is told of
    orders, if it is about streams.
    """
    venue = desk.venue
    options: dict[str, float] = {**case.options}
    if case.kind in CONNECTION:
        await venue.misbehave(case.kind, **options)  # type: ignore[arg-type]
    if case.kind in REQUEST + MESSAGE:
        operation = 'fills' if case.needs == 'nonces' else 'place'
        await venue.misbehave(case.kind, operation=operation, **options)  # type: ignore[arg-type]
    if case.kind in STREAM + MESSAGE:
        await venue.misbehave(case.kind, topic='orders', **options)  # type: ignore[arg-type]
    match name:
        case 'clock skew':
            await venue.set_clock(now=(await venue.state()).now + 10_000)
        case 'a market delisted while it streams':
            oid = await desk.rest(0.7)
            await venue.delist(desk.market.name)
            await desk.told(oid, 'canceled')
            await venue.list_market(desk.market.name)
        case 'escape sequences in names':
            await venue.list_market(desk.market.name + hostile, like=desk.market.name)


@acm
async def open_any_desk(
    name: str,
    open_desk: OpenDesk,
    use_venue: UseVenue,
    set_limits: SetLimits,
    mod: ModuleType,
) -> AsyncIterator[Desk]:
    """
    One whose orders the venue has forgotten meanwhile, if that is the case.
    """
    if 'memory' not in name:
        async with open_desk(CASES[name].limits) as desk:
            yield desk
        return
    async with open_simvenue(rate=0) as venue:
        use_venue(venue.url)
        set_limits(**HASTE)
        last = await get_last(venue)
        async with open_desk_at(venue, mod, 'simkey', last) as desk:
            oid = await desk.rest(0.7)
            await venue.restart(memory=False)
            await desk.told(oid, 'canceled')
            # what it has forgotten as well is which ids it has given to orders
            market = desk.market
            again = await venue.place(
                'simkey', market.name, 'buy', market.size(100), market.price(0.5)
            )
            await venue.cancel(again.order_id)
            yield desk


async def place(desk: Desk) -> str:
    """
    An order that is open, however often it is refused until then.
    """
    with trio.fail_after(30):
        while True:
            oid = desk.send(0.7)
            if await desk.is_placed(oid):
                return oid
            await trio.sleep(0.05)


@pytest.mark.parametrize('name', CASES)
async def test_what_becomes_of_an_order_is_told(
    open_desk: OpenDesk,
    use_venue: UseVenue,
    set_limits: SetLimits,
    mod: ModuleType,
    name: str,
) -> None:
    async with open_any_desk(name, open_desk, use_venue, set_limits, mod) as desk:
        if await lacks(desk.venue, CASES[name]):
            return
        await strike_orders(name, CASES[name], desk)
        oid = await place(desk)
        await desk.told(oid, 'open', remaining=100)
        await desk.trade_at(0.7, 40)
        await desk.told(oid, 'open', filled=40)
        desk.cancel(oid)
        await desk.told(oid, 'canceled', filled=40, remaining=60)
        await desk.check()


@acm
async def open_requests(desk: Desk) -> AsyncIterator[OrderApi]:
    """
    Another client of its account, in which nobody makes up for what got lost.
    """

    async def listen() -> None:
        async for _ in orders.events:
            pass

    async with open_rival(desk) as orders, trio.open_nursery() as tn:
        tn.start_soon(listen)
        yield orders
        tn.cancel_scope.cancel()


async def test_a_lost_reply(open_desk: OpenDesk) -> None:
    """
    What was ordered may have been carried out: only who ordered it can know if it is to
    be ordered again.
    """
    async with open_desk() as desk, open_requests(desk) as orders:
        venue, market = desk.venue, desk.market
        before = (await venue.state()).requests
        await venue.misbehave('lose_reply', operation='place')
        with pytest.raises(ConnectionLost):
            await orders.place(
                market.mkt, 'buy', market.size(100), market.price(0.7), 'lost', 5
            )
        (order,) = await orders.open_orders()
        assert order.client_id == 'lost'

        await venue.misbehave('lose_request', operation='cancel')
        with pytest.raises(ConnectionLost):
            await orders.cancel(order)
        (there,) = await orders.open_orders()
        assert there.order_id == order.order_id
        asked = (await venue.state()).requests
        for operation in ('place', 'cancel'):
            assert asked[operation] - before.get(operation, 0) == 1


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [('rate_limit', Throttled), ('maintenance', (Throttled, ConnectionLost))],
)
async def test_an_order_that_comes_at_a_bad_time(
    open_desk: OpenDesk,
    kind: str,
    expected: type[BrokerError] | tuple[type[BrokerError], ...],
) -> None:
    async with open_desk() as desk, open_requests(desk) as orders:
        venue, market = desk.venue, desk.market
        before = (await venue.state()).requests.get('place', 0)
        # once, or until it is cleared
        pause = 0.3 if kind == 'rate_limit' else None
        await venue.misbehave(kind, operation='place', seconds=pause)
        with pytest.raises(expected):
            await orders.place(
                market.mkt, 'buy', market.size(100), market.price(0.7), 'bad', 5
            )
        await venue.behave()
        assert await orders.open_orders() == []
        assert (await venue.state()).requests['place'] - before == 1
        # questions are asked again
        await venue.misbehave(kind, operation='open_orders', seconds=0.3)
        assert await orders.open_orders() == []
