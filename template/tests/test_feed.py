"""
Live quotes through `datad`.
"""

from __future__ import annotations

import os
import signal
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import trio

from minipiker.data.feed import Feed, Subscription, open_feed
from minipiker.data.validate import FeedInit, tick_types, validate_quote
from minipiker.testing import Tree, open_test_pikerd
from simvenue.process import SimVenue, open_simvenue

if TYPE_CHECKING:
    from trio_typing import TaskStatus


async def first_market(venue: SimVenue, broker: str) -> str:
    return f'{(await venue.markets())[0].name}.{broker}'


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


async def test_quotes_are_as_piker_wants_them(
    shared_tree: Tree,
    fqme: str,
    broker: str,
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
            assert abs(time.time() - quote['broker_ts']) < 60
            assert abs(time.time() - quote['brokerd_ts']) < 60
            for tick in quote['ticks']:
                seen.add(tick['type'])
                assert type(tick['price']) is float
                assert type(tick['size']) is float
        assert seen <= tick_types


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


@pytest.mark.disturbs_venue
async def test_several_markets_in_one_feed(
    tmp_path: Path, mod: ModuleType, broker: str
) -> None:
    async with open_simvenue() as venue, open_test_pikerd(tmp_path, url=venue.url):
        mkts = [
            (await mod.get_mkt_info(market.name))[0]
            for market in (await venue.markets())[:3]
        ]
        first, second, third = mkts
        names = [
            f'{first.bs_mktid}.{broker}',
            f'{second.bs_fqme.upper()}.{broker}',
            third.fqme,
        ]
        async with open_feed(names) as feed:
            expected = {mkt.fqme for mkt in mkts}
            assert set(feed.mkts) == set(feed.quotes) == expected
            while expected:
                expected -= set(await feed.receive())


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


@pytest.mark.disturbs_venue
async def test_a_slow_consumer_misses_nothing(
    tmp_path: Path,
    broker: str,
) -> None:
    async with (
        open_simvenue(rate=1000) as venue,
        open_test_pikerd(tmp_path, url=venue.url),
        open_feed([await first_market(venue, broker)]) as feed,
    ):
        (fqme,) = feed.mkts
        trades = await next_trades(feed, fqme, 1)
        with trio.move_on_after(2):  # quotes pile up, far beyond the window
            await trio.sleep_forever()
        trades += await next_trades(feed, fqme, 2500)

        ids = [trade['trade_id'] for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.disturbs_venue
async def test_the_stream_resumes_when_the_venue_restarts(
    tmp_path: Path,
    broker: str,
) -> None:
    async with (
        open_simvenue() as venue,
        open_test_pikerd(tmp_path, url=venue.url),
        open_feed([await first_market(venue, broker)]) as feed,
    ):
        (fqme,) = feed.mkts
        await next_trades(feed, fqme, 3)
        await venue.kill()
        await venue.restart()
        # those under way before the end may still come first
        restarted = time.time()
        while (await next_trades(feed, fqme, 1))[0]['time'] < restarted:
            pass


@pytest.mark.disturbs_venue
@pytest.mark.parametrize('kind', ['drop', 'repeat', 'reorder', 'skip'])
async def test_no_trade_is_lost_or_doubled_when_the_venue_misbehaves(
    tmp_path: Path,
    broker: str,
    kind: str,
) -> None:
    async with (
        open_simvenue(rate=200) as venue,
        open_test_pikerd(tmp_path, url=venue.url),
        open_feed([await first_market(venue, broker)]) as feed,
    ):
        (fqme,) = feed.mkts
        trades = await next_trades(feed, fqme, 5)
        await venue.misbehave(kind, topic=None if kind == 'drop' else 'trades')
        trades += await next_trades(feed, fqme, 200)

        ids = [trade['trade_id'] for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.disturbs_venue
async def test_times_are_the_venues(tmp_path: Path, broker: str) -> None:
    an_hour_ago = int(time.time() - 3600) * 1000
    async with (
        open_simvenue(epoch=an_hour_ago) as venue,
        open_test_pikerd(tmp_path, url=venue.url),
        open_feed([await first_market(venue, broker)]) as feed,
    ):
        (fqme,) = feed.mkts
        quotes = [feed.quotes[fqme]]
        seen: set[str] = set()
        while not seen >= {'trade', 'bid', 'ask'}:
            quotes.append((await feed.receive())[fqme])
            seen |= {tick['type'] for tick in quotes[-1]['ticks']}
        for quote in quotes:
            assert abs(time.time() - 3600 - quote['broker_ts']) < 60
            assert abs(time.time() - quote['brokerd_ts']) < 60


@pytest.mark.disturbs_venue
@pytest.mark.parametrize('kind', ['maintenance', 'nested'])
async def test_a_feed_goes_on_whatever_the_venue_does(
    tmp_path: Path,
    broker: str,
    kind: str,
) -> None:
    """
    Also where it does that while we connect again; so do feeds that are opened later.
    """
    async with (
        open_simvenue(rate=50) as venue,
        open_test_pikerd(tmp_path, url=venue.url),
        open_feed([await first_market(venue, broker)]) as feed,
    ):
        (fqme,) = feed.mkts
        trades = await next_trades(feed, fqme, 5)
        if kind == 'maintenance':
            await venue.misbehave(kind, seconds=1)
            await venue.misbehave('drop')
        else:
            await venue.misbehave(kind, count=3)
        with trio.fail_after(60):
            trades += await next_trades(feed, fqme, 100)
            for market in (await venue.markets())[:2]:
                async with open_feed([f'{market.name}.{broker}']) as another:
                    await another.receive()

        ids = [trade['trade_id'] for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.disturbs_venue
async def test_a_feed_outlives_its_datad(tmp_path: Path, broker: str) -> None:
    """
    The trades of the time in between are delivered, each once and in order, also to a
    subscriber that had not seen any.
    """
    name, price = f'datad.{broker}', 64_000
    async with (
        open_simvenue(rate=0) as venue,
        open_test_pikerd(tmp_path, url=venue.url) as services,
        open_feed([await first_market(venue, broker)]) as feed,
    ):
        (fqme,) = feed.mkts
        market, *_ = await venue.markets()
        amount = float(market.min_amount)
        for _ in range(2):
            os.kill(services.service_tasks[name].process.pid, signal.SIGKILL)
            for _ in range(3):
                price += 1
                await venue.print_trade(market.name, price, amount)
            trades = await next_trades(feed, fqme, 3)
            assert [it['price'] for it in trades] == [price - 2, price - 1, price]
            assert not any('missed' in it for it in trades)


async def test_a_replay_that_is_too_long_says_what_is_missing(
    shared_tree: Tree,
    mod: ModuleType,
    fqme: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(import_module(f'{mod.__name__}._trades'), '_max_pages', 1)
    monkeypatch.setattr(import_module(f'{mod.__name__}._trades'), '_page', 5)
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
        subscription._note('a market', {'trade_id': trade_id, 'ticks': [tick]})
        assert tick.get('missed', 0) == missed


async def test_an_unknown_market_is_refused(shared_tree: Tree, broker: str) -> None:
    async with shared_tree():
        with pytest.raises(Exception, match='SymbolNotFound'):
            async with open_feed([f'nosuchmarket.{broker}']):
                pass
