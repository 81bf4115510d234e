"""
A session with the venue, and what becomes of streams when it is disturbed.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from minipiker.brokers import BrokerError
from minipiker.data.testing import (
    OpenVenue,
    SetLimits,
    UseVenue,
    follow,
    get_names,
)
from minipiker.log import get_logger
from piker_deribit2._channels import (
    ChannelStream,
    Disconnected,
    Reconnected,
)
from piker_deribit2._client import get_client
from piker_deribit2._config import Credentials
from piker_deribit2._errors import (
    AuthError,
    NotConnected,
    Overrun,
    QueryExpired,
)
from piker_deribit2._feed import mk_channels
from piker_deribit2._pacer import Caller
from piker_deribit2.api import Client
from piker_deribit2.broker import CHANNELS, Orders
from simvenue.client import Controls
from simvenue.process import open_simvenue

OpenClient = Callable[..., Any]
"""What the fixture `open_client` is."""

pytestmark = [pytest.mark.usefixtures('open_simvenue'), pytest.mark.in_actor]


async def reconnections(venue: Controls) -> int:
    """
    How often somebody has said what there is to say on a connection.
    """
    return (await venue.state()).requests['time']


@pytest.mark.parametrize('first', ['maintenance', 'refuse'])
async def test_trades_are_complete_after_the_maintenance(
    open_venue: OpenVenue,
    set_limits: SetLimits,
    first: str,
    warnings: list[str],
) -> None:
    """
    Whatever a connection begins with is refused for a while.
    """
    set_limits(patience=0.2, connect=1)
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        async with follow(client, market) as follower:
            await follower.read_on(5)
            await venue.misbehave(first, seconds=1)
            await venue.misbehave('drop')
            await follower.read_on(100)
        follower.assert_complete()
    assert any('connecting again in' in warning for warning in warnings)


async def test_a_venue_that_restarts(use_venue: UseVenue) -> None:
    async with open_simvenue() as venue:
        use_venue(venue.url)
        (market, *_) = await get_names(venue)
        async with get_client() as client, follow(client, market) as follower:
            await follower.read_on(3)
            async with trio.open_nursery() as tn:
                await venue.misbehave('delay', operation='ticker', seconds=60)
                # in flight as the venue dies, answered by its successor
                tn.start_soon(client.get_ticker, market)
                await wait_all_tasks_blocked()
                await venue.restart()
            await follower.read_on(10)
        follower.assert_complete()


@pytest.mark.parametrize(
    'fault',
    [
        {'kind': 'lose_reply', 'operation': 'time', 'count': 2},
        {'kind': 'nested', 'operation': 'time', 'count': 2},
        {'kind': 'wrong_type', 'operation': 'time', 'count': 2},
        {'kind': 'rate_limit', 'operation': 'time', 'count': 2, 'seconds': 0.1},
        {'kind': 'maintenance', 'seconds': 0.5},
        {'kind': 'refuse', 'seconds': 0.5},
    ],
    ids=lambda fault: fault['kind'],
)
async def test_connections_that_break_as_they_begin(
    open_venue: OpenVenue, set_limits: SetLimits, fault: dict[str, Any]
) -> None:
    set_limits(connect=1)
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        before = await reconnections(venue)
        await venue.misbehave(**fault)
        await venue.misbehave('drop')
        # waits through all of it
        await client.get_ticker(market)
        assert await reconnections(venue) > before


async def test_a_venue_without_tls(
    venue_urls: tuple[str, str], use_venue: UseVenue, set_limits: SetLimits
) -> None:
    """
    Is out of reach, and no mistake of ours.
    """
    set_limits(connect=0.2)
    url, _ = venue_urls
    use_venue(url.replace('://', 's://', 1))
    with pytest.raises(NotConnected, match='no connection to'):
        async with get_client():
            pass


async def test_a_password_in_the_url_is_shown_to_nobody(
    venue_urls: tuple[str, str], use_venue: UseVenue, set_limits: SetLimits
) -> None:
    set_limits(connect=0.2)
    scheme, _, host = venue_urls[0].partition('://')
    shown: list[str] = []
    for url in (
        f'{scheme}://joe:open-sesame@127.0.0.1:1',
        f'{scheme}s://joe:open-sesame@{host}',
        f'{scheme}://joe:open-sesame@{host}/nowhere',
        f'{scheme}://joe:open-sesame@{host.partition(":")[0]}:port',
        f'nonsense://joe:open-sesame@{host}',
    ):
        use_venue(url)
        with pytest.raises(BrokerError) as refusal:
            async with get_client():
                pass
        shown += traceback.format_exception(refusal.value)
    assert not [line for line in shown if 'sesame' in line]


async def test_a_password_in_the_url_is_not_logged(
    use_venue: UseVenue, set_limits: SetLimits, warnings: list[str]
) -> None:
    set_limits(patience=0.2)
    async with open_simvenue() as venue:
        scheme, _, host = venue.url.partition('://')
        use_venue(f'{scheme}://joe:open-sesame@{host}')
        (market, *_) = await get_names(venue)
        async with get_client() as client:
            await venue.kill()
            with pytest.raises(NotConnected) as lost:
                await client.get_ticker(market)
        assert f'no connection to {venue.url} for' in str(lost.value)
    shown = [*warnings, *traceback.format_exception(lost.value)]
    assert not [line for line in shown if 'sesame' in line]


async def test_a_late_question_is_asked_by_the_venues_clock(
    open_venue: OpenVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        before = await reconnections(venue)
        late, call = [QueryExpired('too late', 0)], Caller.call

        async def call_late(caller: Caller, *args: Any, **params: object) -> Any:
            if late:
                raise late.pop()
            return await call(caller, *args, **params)

        monkeypatch.setattr(Caller, 'call', call_late)
        assert (await client.get_ticker(market)).instrument_name == market
        assert await reconnections(venue) > before


async def test_the_venues_clock_may_be_another(open_client: OpenClient) -> None:
    epoch, minutes = 1_700_000_000_000, 10 * 60_000
    async with open_client(epoch=epoch) as (venue, client):
        assert epoch < client.clock.now_ms() < epoch + minutes
        (market, *_) = await get_names(venue)
        ticker = await client.get_ticker(market)
        assert epoch < ticker.timestamp < epoch + minutes


async def test_a_mistake_of_ours_is_told_to_everybody(
    open_venue: OpenVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake = AttributeError('what a mistake')

    def on_notification(*_: object) -> None:
        raise mistake

    told: list[BaseException | None] = []
    async with open_venue() as venue:
        (market, *_) = await get_names(venue)
        await venue.misbehave('delay', operation='ticker', seconds=60)
        with pytest.raises(AttributeError, match='what a mistake'):
            async with get_client() as client:
                with trio.CancelScope(shield=True):  # as those in other tasks are
                    async with client.session.open_channel(
                        *mk_channels(market)
                    ) as msgs:
                        monkeypatch.setattr(client, 'on_notification', on_notification)
                        with pytest.raises(BrokerError, match='mistake') as stream:
                            async for _ in msgs:
                                pass
                        with pytest.raises(BrokerError, match='mistake') as request:
                            await client.get_ticker(market)
                told += [stream.value.__cause__, request.value.__cause__]
    assert told == [mistake, mistake]


async def test_a_slow_consumer_is_told(
    open_venue: OpenVenue, set_limits: SetLimits
) -> None:
    async with open_venue() as venue:
        (market, *_) = await get_names(venue)
        set_limits(unread=4)
        async with (
            get_client() as slow,
            slow.session.open_channel(*mk_channels(market)) as msgs,
        ):
            set_limits(unread=2**14)
            async with get_client() as quick, follow(quick, market) as follower:
                await follower.read_on(50)
                follower.assert_complete()
            read = 0
            with pytest.raises(Overrun, match='more than 4 messages'):
                async for _ in msgs:
                    read += 1
            assert read == 4
            with pytest.raises(Overrun):
                await msgs.receive()


async def test_a_channel_is_left_with_its_last_consumer(open_venue: OpenVenue) -> None:
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)

        async def wait_for(trades: int, quotes: int) -> None:
            with trio.fail_after(60):
                while True:
                    count = (await venue.state()).subscribers
                    if (count('trades', market), count('quote', market)) == (
                        trades,
                        quotes,
                    ):
                        return

        trades, quotes = mk_channels(market)
        async with client.session.open_channel(trades):
            async with client.session.open_channel(trades, quotes):
                await wait_for(trades=1, quotes=1)
            await wait_for(trades=1, quotes=0)
        await wait_for(trades=0, quotes=0)


async def test_many_channels(open_client: OpenClient) -> None:
    async with open_client() as (venue, client):
        names = await get_names(venue)
        channels = [quotes for _, quotes in map(mk_channels, names)]
        async with client.session.open_channel(*channels) as msgs:
            state = await venue.state()
            assert state.subscriptions['quote'] == dict.fromkeys(names, 1)
            # what is told of each of them comes here
            bids: set[float | None] = set()
            for name in names:
                await venue.depth(name)
                bids.add((await venue.market(name)).bid)
            with trio.fail_after(30):
                while bids:
                    bids.discard((await msgs.receive()).best_bid_price)


async def test_a_channel_that_there_is_not(open_venue: OpenVenue) -> None:
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        trades, _ = mk_channels(market)
        with pytest.raises(BrokerError, match='no channel'):
            async with client.session.open_channel(
                trades, trades.replace(market, 'NO-SUCH')
            ):
                pass


async def test_a_channel_that_there_is_no_more(use_venue: UseVenue) -> None:
    async with open_simvenue() as venue:
        use_venue(venue.url)
        (market, other, *_) = await get_names(venue)
        async with (
            get_client() as client,
            client.session.open_channel(*mk_channels(market)) as msgs,
            follow(client, other) as follower,
        ):
            await venue.delist(market)
            await venue.misbehave('drop')
            with pytest.raises(BrokerError, match=f'no channel .*{market}.* any more'):
                async for _ in msgs:
                    pass
            await follower.read_on(3)


async def test_a_new_connection_is_marked(use_venue: UseVenue) -> None:
    async with open_simvenue() as venue:
        use_venue(venue.url)
        (market, *_) = await get_names(venue)
        async with (
            get_client() as client,
            client.session.open_channel(*mk_channels(market)) as msgs,
        ):
            # most connections are made again at once, and nobody need know
            await venue.misbehave('drop')
            while not isinstance(mark := await msgs.receive(), Reconnected):
                assert not isinstance(mark, Disconnected)
            await venue.kill()
            while not isinstance(mark := await msgs.receive(), Disconnected):
                pass
            assert mark.reason
            await venue.restart()
            while not isinstance(await msgs.receive(), Reconnected):
                pass


async def test_a_login_that_is_lost_is_made_again(open_venue: OpenVenue) -> None:
    credentials = Credentials('simkey', 'simsecretkey')
    async with open_venue() as venue, get_client(credentials=credentials) as client:
        # who waits for a reply on that connection asks again on the next
        (market, *_) = await get_names(venue)
        await venue.misbehave('delay', operation='ticker', seconds=3600)
        with trio.fail_after(10):
            async with trio.open_nursery() as tn:
                tn.start_soon(client.get_ticker, market)
                await wait_all_tasks_blocked()
                await venue.misbehave('unauthorized', operation='open_orders')
                await client.get_open_orders()


async def test_a_login_is_renewed_before_it_runs_out(
    open_venue: OpenVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    greet = Client.greet

    async def greet_for_a_while(client: Client, caller: Caller) -> float:
        await greet(client, caller)
        return 0.1

    monkeypatch.setattr(Client, 'greet', greet_for_a_while)
    credentials = Credentials('simkey', 'simsecretkey')
    async with open_venue() as venue, get_client(credentials=credentials):
        state, before = await venue.state(), await reconnections(venue)
        while await reconnections(venue) < before + 2:
            pass
        assert (await venue.state()).connections == state.connections


async def test_wrong_credentials(open_venue: OpenVenue) -> None:
    async with open_venue():
        with pytest.raises(AuthError):
            async with get_client(credentials=Credentials('simkey', 'guessed')):
                pass


@pytest.mark.parametrize('secret', ['s3cret-to-hide', 'c2VjcmV0LXRvLWhpZGU='])
async def test_secrets_stay_secret(
    open_venue: OpenVenue, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    caplog.set_level(logging.DEBUG, get_logger().name)
    credentials = Credentials('k3y-to-hide', secret)
    async with open_venue():
        with pytest.raises(AuthError) as failure:
            async with get_client(credentials=credentials):
                pass
    assert caplog.text, 'or nothing would be found there'
    shown = [
        caplog.text,
        repr(credentials),
        str(credentials),
        *traceback.format_exception(failure.value),
    ]
    assert not [text for text in shown if 'k3y-to-hide' in text or secret in text]


async def test_without_credentials(open_venue: OpenVenue) -> None:
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        with pytest.raises(AuthError):
            await client.get_open_orders()
        info = await venue.market(market)
        assert info.last
        orders = Orders(client, ChannelStream(CHANNELS, 1))
        mkt = await orders.market(market)
        with pytest.raises(AuthError):
            await orders.place(mkt, 'buy', float(info.min_amount), info.last, 'x', 5)
        with pytest.raises(BrokerError) as refusal:
            async with client.session.open_channel(*CHANNELS):
                pass
        # to nobody, or there is none by that name
        assert isinstance(refusal.value, AuthError) or 'no channel' in str(
            refusal.value
        )
