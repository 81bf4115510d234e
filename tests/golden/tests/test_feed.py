"""
Live quotes through `datad`.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import trio

from minipiker.data.feed import Feed, open_feed
from minipiker.data.validate import FeedInit, tick_types, validate_quote
from minipiker.testing import Tree, open_test_pikerd
from simvenue.process import open_simvenue

if TYPE_CHECKING:
    from trio_typing import TaskStatus


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
async def test_several_markets_in_one_feed(shared_tree: Tree, broker: str) -> None:
    names = ['btcusdt', 'ETHUSDT.SPOT', 'btcusdt.perp']
    async with shared_tree(), open_feed([f'{n}.{broker}' for n in names]) as feed:
        expected = {
            f'{n}.{broker}' for n in ('btcusdt.spot', 'ethusdt.spot', 'btcusdt.perp')
        }
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
        open_feed([f'btcusdt.spot.{broker}']) as feed,
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
        open_feed([f'btcusdt.spot.{broker}']) as feed,
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
        open_feed([f'btcusdt.spot.{broker}']) as feed,
    ):
        (fqme,) = feed.mkts
        trades = await next_trades(feed, fqme, 5)
        await venue.fault(kind)
        trades += await next_trades(feed, fqme, 200)

        ids = [trade['trade_id'] for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


async def test_an_unknown_market_is_refused(shared_tree: Tree, broker: str) -> None:
    async with shared_tree():
        with pytest.raises(Exception, match='SymbolNotFound'):
            async with open_feed([f'nosuchmarket.{broker}']):
                pass
