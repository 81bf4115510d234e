"""
Live quotes through `datad`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from contextlib import asynccontextmanager as acm
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from minipiker._tractor import disconnects
from minipiker.accounting import Asset, MktPair
from minipiker.data.feed import (
    Feed,
    LiveMkt,
    Quote,
    Subscription,
    _FeedsBus,
    _publish,
    allocate_persistent_feed,
    open_feed,
)
from minipiker.data.validate import FeedInit, tick_types, validate_quote
from minipiker.service import Services
from minipiker.testing import (
    Market,
    OpenSimVenue,
    Tree,
    find_market,
    open_test_pikerd,
)
from simvenue.process import SimVenue

if TYPE_CHECKING:
    from trio_typing import TaskStatus


@acm
async def open_market(
    venue: AbstractAsyncContextManager[SimVenue],
    conf_dir: Path,
    mod: ModuleType,
) -> AsyncIterator[tuple[SimVenue, Market]]:
    """
    A tree of the test's own on a venue of its own, and the first market there.
    """
    async with venue as it, open_test_pikerd(conf_dir, url=it.url):
        yield it, await find_market(it, mod)


@pytest.fixture
def _numbered(mod: ModuleType) -> None:
    """
    Where trades have numbers without a gap, what is lost or doubled is seen.
    """
    traits = import_module(f'{mod.__name__}.api').TRAITS
    if traits.trade_numbers != 'contiguous':
        pytest.skip('the trades of this venue have no numbers')


async def next_trades(feed: Feed, fqme: str, count: int) -> list[dict[str, Any]]:
    """
    The next trades of a market, `count` at least: whole quotes.
    """
    trades: list[dict[str, Any]] = []
    while len(trades) < count:
        quotes = await feed.receive()
        trades += [
            tick
            for tick in quotes.get(fqme, {}).get('ticks', ())
            if tick['type'] == 'trade'
        ]
    return trades


@pytest.mark.case('DATA-QUOTES')
async def test_quotes_are_as_piker_wants_them(
    shared_tree: Tree,
    fqme: str,
    broker: str,
    venue_time: Callable[[], float],
) -> None:
    async with shared_tree(), open_feed([fqme]) as feed:
        ((full_fqme, mkt),) = feed.mkts.items()
        assert full_fqme == mkt.fqme
        assert mkt.broker == broker
        validate_quote(FeedInit(mkt), feed.quotes[full_fqme], first=True)

        seen: set[str] = set()
        while not seen >= {'trade', 'bid', 'ask'}:
            quotes = await feed.receive()
            assert list(quotes) == [full_fqme]
            quote = quotes[full_fqme]
            assert quote['symbol'] == mkt.bs_fqme
            assert abs(venue_time() - quote['broker_ts']) < 60
            assert abs(time.time() - quote['brokerd_ts']) < 60
            for tick in quote['ticks']:
                seen.add(tick['type'])
                assert type(tick['price']) is float
                assert type(tick['size']) is float
        assert seen <= tick_types


@pytest.mark.case('DATA-QUOTES')
async def test_the_backend_streams_as_a_host_calls_it(
    shared_tree: Tree,
    mod: ModuleType,
    fqme: str,
) -> None:
    async with shared_tree():
        mkt, _ = await mod.get_mkt_info(fqme)
        send_chan, recv_chan = trio.open_memory_channel[dict[str, Any]](1)
        feed_is_live = trio.Event()

        async def stream(task_status: TaskStatus[Any]) -> None:
            await mod.stream_quotes(
                send_chan=send_chan,
                symbols=[mkt.bs_fqme],
                feed_is_live=feed_is_live,
                task_status=task_status,
            )

        async with trio.open_nursery() as tn:
            inits, first_quote = await tn.start(stream)
            (init,) = inits
            assert init.mkt_info == mkt
            validate_quote(init, first_quote, first=True)
            await feed_is_live.wait()
            assert list(await recv_chan.receive()) == [mkt.bs_fqme]
            tn.cancel_scope.cancel()


async def test_several_markets_in_one_feed(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> None:
    async with open_market(open_simvenue(), tmp_path, mod) as (venue, _):
        kinds = {it.kind for it in await venue.markets()}
        markets = [await find_market(venue, mod, kind) for kind in kinds]
        names = {it.mkt.bs_fqme.upper(): it.fqme for it in markets}
        async with open_feed([f'{name}.{mod.name}' for name in names]) as feed:
            expected = {*names.values()}
            assert set(feed.mkts) == set(feed.quotes) == expected
            for it in markets:  # of which some trade seldom
                await venue.print_trade(it.name, it.last, it.size(1))
            while expected:
                expected -= set(await feed.receive())


@pytest.mark.case('DATA-LEAVE')
async def test_a_feed_survives_its_first_subscriber(
    shared_tree: Tree,
    fqme: str,
) -> None:
    async with shared_tree():
        async with open_feed([fqme]) as first, open_feed([fqme]) as second:
            await first.receive()
            await second.receive()
        async with open_feed([fqme]) as third:
            await third.receive()


@pytest.mark.usefixtures('_numbered')
async def test_a_slow_consumer_misses_nothing(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> None:
    async with (
        open_market(open_simvenue(rate=1000), tmp_path, mod) as (_, market),
        open_feed([market.fqme]) as feed,
    ):
        fqme = market.fqme
        trades = await next_trades(feed, fqme, 1)
        with trio.move_on_after(2):  # quotes pile up, far beyond the window
            await trio.sleep_forever()
        trades += await next_trades(feed, fqme, 2500)

        ids = [trade['trade_id'] for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.case('DATA-RECONNECT')
async def test_the_stream_resumes_when_the_venue_restarts(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> None:
    async with (
        open_market(open_simvenue(), tmp_path, mod) as (venue, market),
        open_feed([market.fqme]) as feed,
    ):
        fqme = market.fqme
        await next_trades(feed, fqme, 3)
        await venue.kill()
        await venue.restart()
        # those under way before the end may still come first
        restarted = time.time()
        while (await next_trades(feed, fqme, 1))[0]['time'] < restarted:
            pass


@pytest.mark.parametrize('kind', ['drop', 'repeat', 'reorder', 'skip'])
@pytest.mark.usefixtures('_numbered')
@pytest.mark.case('DATA-TRADES', 'DATA-RECONNECT')
async def test_no_trade_is_lost_or_doubled_when_the_venue_misbehaves(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
    kind: str,
) -> None:
    async with (
        open_market(open_simvenue(rate=200), tmp_path, mod) as (venue, market),
        open_feed([market.fqme]) as feed,
    ):
        fqme = market.fqme
        trades = await next_trades(feed, fqme, 5)
        await venue.misbehave(kind)
        trades += await next_trades(feed, fqme, 200)

        ids = [trade['trade_id'] for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


async def test_times_are_the_venues(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> None:
    an_hour_ago = int(time.time() - 3600) * 1000
    async with (
        open_market(open_simvenue(epoch=an_hour_ago), tmp_path, mod) as (_, market),
        open_feed([market.fqme]) as feed,
    ):
        fqme = market.fqme
        quotes = [feed.quotes[fqme]]
        seen: set[str] = set()
        while not seen >= {'trade', 'bid', 'ask'}:
            quotes.append((await feed.receive())[fqme])
            seen |= {tick['type'] for tick in quotes[-1]['ticks']}
        for quote in quotes:
            assert abs(time.time() - 3600 - quote['broker_ts']) < 60
            assert abs(time.time() - quote['brokerd_ts']) < 60


@pytest.mark.parametrize('kind', ['maintenance', 'nested'])
@pytest.mark.usefixtures('_numbered')
async def test_a_feed_goes_on_whatever_the_venue_does(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
    kind: str,
) -> None:
    """
    Also where it does that while we connect again; so do feeds that are opened later.
    """
    async with (
        open_market(open_simvenue(rate=50), tmp_path, mod) as (venue, market),
        open_feed([market.fqme]) as feed,
    ):
        fqme = market.fqme
        trades = await next_trades(feed, fqme, 5)
        await venue.misbehave(kind, count=3, seconds=1)
        others = [it.name for it in await venue.markets()][:2]
        with trio.fail_after(60):
            trades += await next_trades(feed, fqme, 100)
            for name in others:
                async with open_feed([f'{name}.{mod.name}']) as another:
                    await another.receive()

        ids = [trade['trade_id'] for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


async def test_a_feed_outlives_its_datad(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> None:
    """
    The trades of the time in between are delivered, each once and in order, also to a
    subscriber that had not seen any.
    """
    async with (
        open_market(open_simvenue(rate=0), tmp_path, mod) as (venue, market),
        open_feed([market.fqme]) as feed,
    ):
        expected = [market.price(1 + n / 100) for n in range(1, 7)]
        for prices in expected[:3], expected[3:]:
            datad = Services.service_tasks[f'datad.{mod.name}']
            os.kill(datad.process.pid, signal.SIGKILL)
            for price in prices:
                await venue.print_trade(market.name, price, market.size(1))
            trades = await next_trades(feed, market.fqme, 3)
            assert [it['price'] for it in trades] == prices
            assert not any('missed' in it for it in trades)


@pytest.mark.parametrize('fault', ['maintenance', 'expired_token'])
async def test_a_feed_outlives_its_datad_while_the_venue_is_out_of_reach(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
    fault: str,
) -> None:
    async with (
        open_market(open_simvenue(rate=0), tmp_path, mod) as (venue, market),
        open_feed([market.fqme]) as feed,
    ):

        async def count_requests() -> int:
            return sum((await venue.state()).requests.values())

        await venue.misbehave(fault, count=1000)
        before = await count_requests()
        datad = Services.service_tasks[f'datad.{mod.name}']
        os.kill(datad.process.pid, signal.SIGKILL)
        await venue.print_trade(market.name, market.last, market.size(1))
        # each new connection begins with one that is refused
        while await count_requests() < before + 2:
            await trio.lowlevel.checkpoint()
        await venue.behave()
        (trade,) = await next_trades(feed, market.fqme, 1)
        assert trade['price'] == market.last


_asset = Asset('x', 'crypto', Decimal(1))
_mkt = MktPair(_asset, Decimal(1), Decimal(1), 'x', 'broker', _asset)


def test_who_lags_in_one_market_takes_no_other_along() -> None:
    lagging, _unread = trio.open_memory_channel[dict[str, Quote]](1)
    other, quotes = trio.open_memory_channel[dict[str, Quote]](9)
    feeds = [LiveMkt(FeedInit(mkt_info=_mkt), {}, {lagging, other}) for _ in range(2)]
    for feed in (*feeds, *feeds):
        _publish(feed, {_mkt.bs_fqme: {'ticks': []}})
    assert quotes.statistics().current_buffer_used == 4
    assert [feed.subs for feed in feeds] == [{other}, {other}]


async def test_a_backend_that_breaks_is_no_subscriber_that_left(
    mod: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stream_quotes(**kwargs: Any) -> None:
        quote = {'last': 1.0, 'ticks': []}
        kwargs['task_status'].started(([FeedInit(mkt_info=_mkt)], quote))
        await wait_all_tasks_blocked()
        raise trio.ClosedResourceError

    monkeypatch.setattr(mod, 'stream_quotes', stream_quotes)
    async with trio.open_nursery() as tn:
        bus = _FeedsBus('x', tn)
        await tn.start(allocate_persistent_feed, bus, mod, _mkt.bs_fqme, 'x')
        feed = bus.feeds[_mkt.bs_fqme]
    # it would be taken for one, and cancelled without a word
    assert not isinstance(feed.error, disconnects)
    assert 'ClosedResourceError' in str(feed.error)


@pytest.mark.usefixtures('_numbered')
@pytest.mark.case('DATA-TRADES-LOST')
async def test_a_replay_that_is_too_long_says_what_is_missing(
    shared_tree: Tree,
    mod: ModuleType,
    fqme: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trades_module = import_module(f'{mod.__name__}._trades')
    monkeypatch.setattr(trades_module, '_max_pages', 5)
    monkeypatch.setattr(trades_module, '_page', 1)
    async with shared_tree(), open_feed([fqme]) as feed:
        ((full_fqme, mkt),) = feed.mkts.items()
        trades = await next_trades(feed, full_fqme, 20)
        last_id, until_id = trades[0]['trade_id'], trades[15]['trade_id']
        replayed = [
            tick
            async for quotes in mod.replay_trades(mkt.bs_fqme, last_id, until_id)
            for tick in quotes[mkt.bs_fqme]['ticks']
        ]
        assert replayed[0].pop('missed') == 10
        assert replayed == trades[11:16]


def test_what_could_not_be_fetched_is_told() -> None:
    subscription = Subscription('x', [], None)
    for trade_id, missed in ((5, 0), (6, 0), (9, 2)):
        tick = {'type': 'trade', 'trade_id': trade_id}
        quote = {'trade_id': trade_id, 'ticks': [tick]}
        subscription._mark('x.y', quote)
        subscription._note({'x.y': quote})
        assert tick.get('missed', 0) == missed


async def test_what_was_not_delivered_comes_again() -> None:
    async def receive() -> AsyncIterator[list[dict[str, Quote]]]:
        for trade_id in (5, 6):
            tick = {'type': 'trade', 'trade_id': trade_id}
            yield [{'x.y': {'trade_id': trade_id, 'ticks': [tick]}}]

    subscription = Subscription('x', [], None)
    stream: Any = receive()
    async with trio.open_nursery() as tn:
        tn.start_soon(subscription._receive, stream)
        await wait_all_tasks_blocked()
        # its datad dies while the second one waits for the consumer
        tn.cancel_scope.cancel()
    assert subscription._last_ids == {'x.y': 5}


@pytest.mark.case('DATA-UNKNOWN')
async def test_an_unknown_market_is_refused(shared_tree: Tree, broker: str) -> None:
    async with shared_tree():
        with pytest.raises(Exception, match='SymbolNotFound'):
            async with open_feed([f'nosuchmarket.{broker}']):
                pass
