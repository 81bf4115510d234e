"""
Requests, and what a client does about all that may go wrong with them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from minipiker.brokers import BrokerError, DataThrottle
from minipiker.data.testing import OpenVenue, SetLimits, UseVenue, get_names
from piker_deribit2 import api
from piker_deribit2._client import get_client
from piker_deribit2._errors import NotConnected, Throttled
from piker_deribit2._feed import mk_channels
from piker_deribit2._pacer import Pool
from piker_deribit2._session import insist
from simvenue.process import open_simvenue

pytestmark = [pytest.mark.usefixtures('open_simvenue'), pytest.mark.in_actor]


async def test_a_closed_client_fails_at_once(open_venue: OpenVenue) -> None:
    async with open_venue() as venue:
        (market, *_) = await get_names(venue)
        async with get_client() as client:
            pass
        with pytest.raises(BrokerError, match='closed'):
            await client.get_ticker(market)


@pytest.mark.case('RULE-MID')
async def test_replies_overtake_each_other(open_venue: OpenVenue) -> None:
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        await venue.misbehave('delay', operation='ticker', seconds=3600)
        done: list[str] = []
        async with trio.open_nursery() as tn:

            async def get_ticker() -> None:
                assert (await client.get_ticker(market)).instrument_name == market
                done.append('ticker')

            tn.start_soon(get_ticker)
            await wait_all_tasks_blocked()
            await client.get_trades(market)
            done.append('trades')
            await venue.behave()
        assert done == ['trades', 'ticker']


@pytest.mark.case('RULE-MID')
async def test_a_cancelled_caller_disturbs_nobody(
    open_venue: OpenVenue, set_limits: SetLimits
) -> None:
    set_limits(in_flight=3)
    async with open_venue() as venue, get_client() as client:
        names = 3 * (await get_names(venue))[:3]
        await venue.misbehave('delay', operation='ticker', count=9, seconds=0.1)

        async def get_ticker(name: str) -> None:
            assert (await client.get_ticker(name)).instrument_name == name

        async with trio.open_nursery() as tn:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as doomed:
                    for name in names:
                        doomed.start_soon(get_ticker, name)
                    await wait_all_tasks_blocked()
                    scope.cancel()
            for name in names:
                tn.start_soon(get_ticker, name)


async def test_rate_limits_are_waited_for(
    open_venue: OpenVenue, set_limits: SetLimits
) -> None:
    set_limits(attempts=3)
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        fault: Any = {'kind': 'rate_limit', 'operation': 'ticker', 'seconds': 0.1}
        await venue.misbehave(**fault, count=2)
        began = trio.current_time()
        await client.get_ticker(market)
        assert trio.current_time() - began >= 0.2

        await venue.misbehave(**fault, count=3)
        with pytest.raises(DataThrottle):
            await client.get_ticker(market)


@pytest.mark.parametrize(
    ('told', 'pause'),
    [(0.5, 0.5), (None, 1), (1e300, 60), (float('inf'), 60), (-1, 0.05)],
)
def test_a_pause_is_within_reason(told: float | None, pause: float) -> None:
    throttled = Throttled('too many requests', told)
    assert throttled.pause == pause
    # and it is said where that is not what the venue says
    assert ('as it says' in str(throttled)) == (told not in (None, pause))


async def test_the_pace_is_kept_before_the_venue_says_so(
    use_venue: UseVenue,
    monkeypatch: pytest.MonkeyPatch,
    warnings: list[str],
) -> None:
    monkeypatch.setattr(api.Client, 'cost', lambda *_: ('requests', 1))
    monkeypatch.setattr(api, 'POOLS', {'requests': Pool(size=5, refill=5)})
    monkeypatch.setenv('DERIBIT2_PACE', '1')
    async with open_simvenue(request_burst=10, request_rate=10) as venue:
        use_venue(venue.url)
        (market, *_) = await get_names(venue)
        async with get_client() as client, trio.open_nursery() as tn:
            for _ in range(15):
                tn.start_soon(client.get_ticker, market)
        # one attempt each: none of them was refused
        assert (await venue.state()).requests['ticker'] == 15
    assert any('the venue takes the next requests in' in it for it in warnings)


@pytest.mark.parametrize('kind', ['missing_field', 'wrong_type'])
async def test_a_reply_that_makes_no_sense_is_none(
    open_venue: OpenVenue, kind: str
) -> None:
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        await venue.misbehave(kind, operation='trades')
        trades, _ = await insist(partial(client.get_trades, market, count=1))
        assert trades


async def test_a_lost_connection_costs_one_attempt(
    open_venue: OpenVenue, set_limits: SetLimits
) -> None:
    set_limits(attempts=2)
    async with open_venue() as venue, get_client() as client:
        await venue.misbehave('lose_reply', operation='ticker')
        async with trio.open_nursery() as tn:
            for name in (await get_names(venue))[:3]:
                tn.start_soon(client.get_ticker, name)


async def test_who_waits_for_credits_has_the_next_connection(
    open_venue: OpenVenue,
) -> None:
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        client.session._pacer.block('requests', 0.5)
        async with trio.open_nursery() as tn:
            tn.start_soon(client.get_ticker, market)
            await wait_all_tasks_blocked()
            await venue.misbehave('drop')


async def test_who_waits_for_long_is_told_why(
    use_venue: UseVenue, set_limits: SetLimits
) -> None:
    set_limits(patience=0.2)
    async with open_simvenue() as venue:
        use_venue(venue.url)
        (market, *_) = await get_names(venue)
        async with get_client() as client:
            await venue.kill()
            with pytest.raises(NotConnected, match=r'for 0\.2 s: .'):
                await client.get_ticker(market)


async def test_a_reply_that_never_comes(
    open_venue: OpenVenue, set_limits: SetLimits
) -> None:
    set_limits(reply=0.5)
    async with open_venue() as venue, get_client() as client:
        (market, *_) = await get_names(venue)
        async with client.session.open_channel(*mk_channels(market)):
            await venue.misbehave('delay', operation='ticker', seconds=3600)
            # asked again on another connection, though this one was alive all the time
            await client.get_ticker(market)


async def test_a_venue_that_is_not_there(use_venue: UseVenue) -> None:
    async with open_simvenue() as venue:
        use_venue(venue.url)
        await venue.kill()
        with pytest.raises(BrokerError, match=venue.url):
            async with get_client():
                pass


@pytest.mark.parametrize('url', ['ftp://127.0.0.1/', 'nonsense', 'ws://host:x/'])
async def test_a_url_that_is_none(use_venue: UseVenue, url: str) -> None:
    use_venue(url)
    with pytest.raises(BrokerError, match=r'is no .* URL'):
        async with get_client():
            pass


async def test_no_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    with pytest.raises(BrokerError, match='DERIBIT2_URL'):
        async with get_client():
            pass


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('deribit2 = 3', 'is no section'),
        ('[[deribit2]]', 'is no section'),
        ('deribit2.urls = "x"', "no setting 'urls': it is called 'url'"),
        ('deribit2.limits = 3', 'limits .* is no table'),
        ('deribit2.pace = []', 'not a positive number'),
        ('deribit2.traits.deadline = 3', 'deadline'),
    ],
)
async def test_a_setting_that_is_none(
    text: str,
    expected: str,
    use_venue: UseVenue,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = tmp_path / 'minipiker'
    folder.mkdir()
    (folder / 'brokers.toml').write_text(text)
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    monkeypatch.delenv('DERIBIT2_PACE', raising=False)
    use_venue('ws://127.0.0.1:1/')
    with pytest.raises(BrokerError, match=expected):
        async with get_client():
            pass
