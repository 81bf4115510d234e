"""
What is so after every new connection.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio

from minipiker.clearing.desk import OpenDesk
from minipiker.data.testing import Bid, OpenVenue, SetLimits, get_names
from piker_deribit2 import _session
from piker_deribit2._channels import ChannelStream, Reconnected
from piker_deribit2._client import get_client
from piker_deribit2._feed import mk_channels
from piker_deribit2._ticks import stream_ticks
from piker_deribit2._trades import Tape

pytestmark = pytest.mark.usefixtures('open_simvenue')


async def read_until_marked(msgs: ChannelStream[Any]) -> None:
    while not isinstance(await msgs.receive(), Reconnected):
        pass


@pytest.mark.parametrize('kind', ['drop', 'forget'])
async def test_subscriptions_equal_what_is_wanted(
    open_venue: OpenVenue, set_limits: SetLimits, kind: str
) -> None:
    set_limits(quiet=0.2)
    async with open_venue() as venue, get_client() as client:
        first, second, third, *_ = await get_names(venue)
        async with (
            client.session.open_channel(*mk_channels(first)) as msgs,
            client.session.open_channel(*mk_channels(second)) as others,
        ):
            wanted = (await venue.state()).subscriptions
            assert {*wanted['trades']} == {*wanted['quote']} == {first, second}
            async with client.session.open_channel(*mk_channels(third)):
                pass
            await venue.misbehave(kind)
            for stream in (msgs, others):
                await read_until_marked(stream)
            with trio.fail_after(30):
                while (await venue.state()).subscriptions != wanted:
                    pass


async def test_who_makes_up_for_a_gap_is_not_set_back(
    open_venue: OpenVenue, set_limits: SetLimits
) -> None:
    """
    Where that takes longer than a channel may be quiet, orders get out all the same.
    """
    set_limits(quiet=0.01, patience=1)
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        channels = mk_channels(market)
        is_behind = trio.Event()

        async def make_up(msgs: ChannelStream[Any]) -> None:
            async for msg in msgs:
                if isinstance(msg, Reconnected):
                    is_behind.set()
                    await trio.sleep(0.1)

        async with (
            client.session.open_channel(*channels, before_orders=True) as msgs,
            trio.open_nursery() as tn,
        ):
            tn.start_soon(make_up, msgs)
            await is_behind.wait()
            await client.session._wait_caught_up()
            tn.cancel_scope.cancel()


async def test_no_request_is_left_waiting(open_venue: OpenVenue) -> None:
    async with open_venue() as venue, get_client() as client:
        names = (await get_names(venue))[:4]
        before = (await venue.state()).requests.get('ticker', 0)
        await venue.misbehave('delay', operation='ticker', count=4, seconds=3600)
        async with trio.open_nursery() as tn:
            for name in names:
                tn.start_soon(client.get_ticker, name)
            while (await venue.state()).requests.get('ticker', 0) < before + 4:
                pass
            await venue.misbehave('drop')


@pytest.mark.parametrize('step', [-0.5, -3600, 3600])
async def test_nobody_hears_of_an_older_quote(step: float) -> None:
    """
    Unless the venue's clock was set back.
    """
    times = [100_000.0, 100_001.0, 100_001.0 + step, 100_001.5 + step]
    stream: ChannelStream[Any] = ChannelStream(('quotes',), 10)
    tape: Tape[Any] = Tape('m', get_no_trades, numbered=True)
    for time in times:
        stream.push(Bid(int(1000 * time)))
    told = [it['time'] for it in await anext(stream_ticks(tape, stream))]
    assert told == [it for it in times if it != 100_000.5]


async def get_no_trades(**_: Any) -> tuple[list[Any], bool]:
    return [], False


async def test_the_pause_before_the_next_attempt_grows_and_has_jitter(
    open_venue: OpenVenue, set_limits: SetLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limits(min_backoff=0.02, max_backoff=0.3)
    pauses: list[float] = []

    def note(message: str, *args: Any) -> None:
        if 'connecting again' in message:
            pauses.append(args[-1])

    monkeypatch.setattr(_session.log, 'warning', note)
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        async with client.session.open_channel(*mk_channels(market)) as msgs:
            await venue.misbehave('refuse')
            await venue.misbehave('drop')
            with trio.fail_after(30):
                while len(pauses) < 7:
                    await venue.state()
            await venue.behave()
            await read_until_marked(msgs)
    longest = [min(0.02 * 2**n, 0.3) for n in range(1, 8)]
    shares = [pause / most for pause, most in zip(pauses, longest, strict=False)]
    assert all(0.5 <= share <= 1 for share in shares)
    # of no two is it the same
    assert all(one != other for one, other in pairwise(shares))


async def test_the_login_is_fresh(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        for kind in ('drop', 'unauthorized', 'expired_token'):
            before = (await desk.venue.state()).requests['login']
            if kind == 'drop':
                await desk.venue.misbehave(kind)
            else:
                await desk.venue.misbehave(kind, operation='place')
            await desk.rest(0.7)
            state = await desk.venue.state()
            assert state.requests['login'] == before + 1
            # as the first that is asked for an account
            assert state.subscribers('orders') == 1
        await desk.check()


async def test_all_is_reconciled_before_anything_is_ordered(
    open_desk: OpenDesk,
) -> None:
    async with open_desk() as desk:
        changed, canceled = await desk.rest(0.7), await desk.rest(0.71)
        await desk.venue.misbehave('refuse')
        await desk.venue.misbehave('drop')
        # it is known that there is no connection
        await desk.told(changed, 'pending')
        placed = desk.send(0.6)
        desk.send(0.65, 200, changed)
        desk.cancel(canceled)
        await desk.venue.behave()
        await desk.told(placed, 'open', remaining=100)
        await desk.told(changed, 'open', remaining=200)
        await desk.told(canceled, 'canceled')
        state = await desk.venue.state()
        recent = state.recent[len(state.recent) - state.recent[::-1].index('login') :]
        orders = {'place', 'edit', 'cancel'}
        first = next(n for n, it in enumerate(recent) if it in orders)
        asked = {'fills', 'open_orders'}
        if state.traits['positions'] == 'venue':
            asked.add('positions')
        assert asked <= {*recent[:first]}
        assert orders <= {*recent[first:]}
        await desk.check()


async def test_no_order_waits_for_ever_until_all_is_reconciled(
    open_desk: OpenDesk,
) -> None:
    async with open_desk({'patience': 1}) as desk:
        changed, canceled = await desk.rest(0.7), await desk.rest(0.71)
        await desk.venue.misbehave('maintenance', operation='open_orders')
        await desk.venue.misbehave('refuse')
        await desk.venue.misbehave('drop')
        # it is known that there is no connection
        await desk.told(changed, 'pending')
        await desk.venue.misbehave('refuse', seconds=0)
        placed = desk.send(0.6)
        desk.send(0.65, 200, changed)
        desk.cancel(canceled)
        for oid in (placed, changed):
            assert 'for 1 s' in await desk.refused(oid)
        await desk.venue.behave()
        # what is to be gone is gone as soon as there is a way
        await desk.told(canceled, 'canceled')
        await desk.told(changed, 'open', remaining=100)
        other = await desk.rest(0.6)
        there = {it.client_id for it in (await desk.there()).orders}
        assert {changed, canceled, other} <= there
        assert placed not in there


async def test_nothing_is_told_twice(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        oid = await desk.rest(0.7)
        await desk.trade_at(0.7, 40)
        await desk.told(oid, 'open', filled=40)
        size = desk.market.size(40)
        await desk.wait(lambda: desk.position == size)
        before = [*desk.heard]
        await desk.venue.misbehave('drop')
        # which comes when all that is known was asked for
        other = await desk.rest(0.6)
        assert [it for it in desk.heard if it.get('reqid') != other] == before
        await desk.check()


async def test_nobody_hears_of_an_older_state_of_an_order(open_desk: OpenDesk) -> None:
    """
    An answer that is on its way for long is older than what was heard meanwhile.
    """
    async with open_desk() as desk:
        oid = await desk.rest(0.7)
        async with desk.late('open_orders') as arrival:
            await desk.venue.misbehave('drop')
            await arrival()
            await desk.trade_at(0.7, 40)
        await desk.told(oid, 'open', filled=40)
        await desk.rest(0.6)
        assert desk.state(oid)['filled'] == desk.market.size(40)
        await desk.check()


async def test_no_order_is_left_waiting(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        async with desk.late('place') as arrival:
            oid = desk.send(0.7)
            await arrival()
            await desk.venue.misbehave('drop')
            await desk.told(oid, 'open', remaining=100)
        await desk.check()
