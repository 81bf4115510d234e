"""
The venue's client by itself: what it returns, and how it takes what may go wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
from msgspec.structs import asdict
from trio.testing import wait_all_tasks_blocked

from minipiker.brokers import BrokerError, DataThrottle, SymbolNotFound
from minipiker.testing import open_process
from piker_deribit2 import api
from piker_deribit2.api import (
    Client,
    NotConnected,
    Overrun,
    QuoteMsg,
    Reconnected,
    TradesMsg,
    get_client,
)
from simvenue.process import call, open_simvenue

_trades: str = 'trades.BTC-USDT'

pytestmark = pytest.mark.in_actor


@pytest.fixture(scope='module')
def venue_url() -> Iterator[str]:
    """
    A venue that the tests of this module share, each with one client at a time.
    """
    with open_process('simvenue', '--rate=50') as (_, url):
        yield url


@pytest.fixture
def use_venue(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """
    Point the client to a venue.
    """
    return lambda url: monkeypatch.setenv('DERIBIT2_URL', url)


@pytest.fixture
def url(venue_url: str, use_venue: Callable[[str], None]) -> Iterator[str]:
    use_venue(venue_url)
    yield venue_url
    # one that found no occasion must not wait for the next test
    trio.run(partial(call, venue_url, 'sim/clear_faults'))


async def test_assets_and_pairs(url: str) -> None:
    async with get_client(is_brokercheck=True) as client:
        assets = await client.get_assets()
        pairs = await client.get_mkt_pairs()
        assert (assets['btc'].atype, assets['eur'].atype) == ('crypto', 'fiat')
        assert all(name == asset.name == name.lower() for name, asset in assets.items())
        assert all(bs_fqme == pair.bs_fqme for bs_fqme, pair in pairs.items())
        assert {'btcusdt.spot', 'btcusdt.perp'} <= set(pairs)
        assert pairs['btcusdt.perp'].bs_mktid == 'BTC-USDT-PERP'
        for pair in pairs.values():
            assert pair.base_currency.lower() in assets
            assert None not in asdict(pair).values()
        # at every call the very same objects
        again = await client.get_mkt_pairs()
        assert all(again[bs_fqme] is pair for bs_fqme, pair in pairs.items())


async def test_search(url: str) -> None:
    async with get_client() as client:
        # by keyword, as piker's command line does
        found = await client.search_symbols(pattern='BTCusdt')
        assert list(found) == ['btcusdt.spot', 'btcusdt.perp']
        assert list(await client.search_symbols('btc', limit=1)) == ['btcusdt.spot']
        assert await client.search_symbols('no such thing') == {}
        pairs = await client.get_mkt_pairs()
        assert all(pairs[bs_fqme] is pair for bs_fqme, pair in found.items())


async def test_candles(url: str) -> None:
    async with get_client() as client:
        candles = await client.get_candles('BTC-USDT', 60, limit=10)
        assert len(candles.time) == 10
        assert all(b - a == 60_000 for a, b in pairwise(candles.time))
        ends = candles.time[2], candles.time[5]
        between = await client.get_candles('BTC-USDT', 60, *ends)
        assert between.time == candles.time[2:6]
        assert between.close == candles.close[2:6]


async def test_refusals(url: str) -> None:
    async with get_client() as client:
        with pytest.raises(SymbolNotFound, match='BTC-XXX'):
            await client.get_ticker('BTC-XXX')
        with pytest.raises(BrokerError, match='Invalid params'):
            await client.get_candles('BTC-USDT', 7)
        with pytest.raises(BrokerError, match='unknown_channel'):
            async with client.open_channel('nothing.at.all'):
                pass


async def test_a_closed_client_fails_at_once(url: str) -> None:
    async with get_client() as client:
        pass
    with pytest.raises(BrokerError, match='closed'):
        await client.get_ticker('BTC-USDT')


async def test_replies_overtake_each_other(url: str) -> None:
    async with get_client() as client, trio.open_nursery() as nursery:
        await call(url, 'sim/fault', kind='delay', method='public/ticker')
        done: list[str] = []

        async def get_ticker() -> None:
            assert (await client.get_ticker('ETH-USDT')).instrument_name == 'ETH-USDT'
            done.append('ticker')

        nursery.start_soon(get_ticker)
        await wait_all_tasks_blocked()
        await client.get_trades('ETH-USDT')
        done.append('trades')
    assert done == ['trades', 'ticker']


async def test_a_cancelled_caller_disturbs_nobody(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, '_max_in_flight', 3)
    async with get_client() as client, trio.open_nursery() as nursery:
        await call(url, 'sim/fault', kind='delay', method='public/ticker', count=9)
        names = 3 * ['BTC-USDT', 'ETH-USDT', 'SOL-USDT']

        async def get_ticker(name: str) -> None:
            assert (await client.get_ticker(name)).instrument_name == name

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as doomed:
                for name in names:
                    doomed.start_soon(get_ticker, name)
                await wait_all_tasks_blocked()
                scope.cancel()
        for name in names:
            nursery.start_soon(get_ticker, name)


async def test_rate_limits_are_waited_for(url: str) -> None:
    async with get_client() as client:
        fault = {'kind': 'rate_limit', 'method': 'public/ticker', 'seconds': 0.05}
        await call(url, 'sim/fault', **fault, count=2)
        began = trio.current_time()
        await client.get_ticker('BTC-USDT')
        assert trio.current_time() - began >= 0.1

        await call(url, 'sim/fault', **fault, count=api._max_attempts)
        with pytest.raises(DataThrottle):
            await client.get_ticker('BTC-USDT')


@pytest.mark.parametrize('seconds', [1e300, 0, -1])
async def test_a_pause_without_reason_is_cut(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(api.log, 'warning', lambda msg, *args: said.append(msg % args))
    monkeypatch.setattr(api, '_max_pause', 0.2)
    async with get_client() as client:
        limit = {'kind': 'rate_limit', 'method': 'public/ticker', 'seconds': seconds}
        await call(url, 'sim/fault', **limit, count=2)
        began = trio.current_time()
        with trio.fail_after(30):
            await client.get_ticker('BTC-USDT')
        assert trio.current_time() - began >= 2 * api._min_pause
    assert f'says to wait {seconds:g} s' in said[0]


async def test_a_mistake_of_ours_is_told_to_everybody(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with trio.fail_after(30):
        async with get_client() as client, client.open_channel(_trades) as stream:
            await stream.receive()

            def mistake(*args: object) -> None:
                raise TypeError('a mistake')

            monkeypatch.setattr(Client, '_on_message', mistake)
            await call(url, 'sim/fault', kind='drop')
            with pytest.raises(BrokerError, match='a mistake'):
                while True:
                    await stream.receive()
            with pytest.raises(BrokerError, match='a mistake'):
                await client.get_ticker('BTC-USDT')


async def test_a_lost_connection_costs_one_attempt(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, '_max_attempts', 2)
    async with get_client() as client, trio.open_nursery() as nursery:
        await call(url, 'sim/fault', kind='lose_reply', method='public/ticker')
        for name in ('BTC-USDT', 'ETH-USDT', 'SOL-USDT'):
            nursery.start_soon(client.get_ticker, name)


class Follower:
    """
    Reads the trades of a channel, and fetches those that were missed.
    """

    def __init__(self, client: Client, stream: api.ChannelStream) -> None:
        self._client = client
        self._stream = stream
        self._fetched = 0
        self.ids: list[int] = []

    async def read(self) -> bool:
        """
        Take the next message. Returns whether the connection was a new one.
        """
        match await self._stream.receive():
            case TradesMsg(trades=trades):
                # what came before the answer may be in both, and nothing else twice
                new = [it for it in trades if it.trade_id > self._fetched]
                self.ids += [it.trade_id for it in new]
                return False
            case msg:
                assert isinstance(msg, Reconnected)
        if self.ids:
            missed = await self._client.get_trades(
                'BTC-USDT', self.ids[-1] + 1, limit=1000
            )
            self.ids += [it.trade_id for it in missed]
            self._fetched = self.ids[-1]
        return True

    async def read_on(self, n: int) -> None:
        """
        Read `n` trades, at least.
        """
        n += len(self.ids)
        while len(self.ids) < n:
            await self.read()

    def assert_complete(self) -> None:
        assert self.ids == [*range(self.ids[0], self.ids[-1] + 1)]


@pytest.mark.parametrize(
    'fault',
    [
        'drop',
        'silent',
        'skip',
        'reorder',
        'repeat',
        'malformed',
        'malformed reply',
        'nested',
        'nested reply',
        'maintenance',
    ],
)
async def test_no_trade_is_lost(
    url: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, '_heartbeat', 0.5)
    kind, _, reply = fault.partition(' ')
    params: dict[str, object]
    params = {'method': 'public/test'} if reply else {'channel': _trades}
    async with get_client() as client, client.open_channel(_trades) as stream:
        follower = Follower(client, stream)
        await follower.read_on(5)
        await call(url, 'sim/fault', **params, kind=kind)
        # a repeated message is no reason to connect again
        while kind != 'repeat' and not await follower.read():
            pass
        await follower.read_on(20)
    follower.assert_complete()


async def test_a_venue_that_restarts(use_venue: Callable[[str], None]) -> None:
    async with open_simvenue() as venue:
        use_venue(venue.url)
        async with get_client() as client, client.open_channel(_trades) as stream:
            follower = Follower(client, stream)
            await follower.read_on(3)
            async with trio.open_nursery() as nursery:
                await venue.fault('delay', method='public/ticker', seconds=60)
                # in flight as the venue dies, answered by its successor
                nursery.start_soon(client.get_ticker, 'BTC-USDT')
                await wait_all_tasks_blocked()
                await venue.kill()
                await venue.restart()
            while not await follower.read():
                pass
            await follower.read_on(5)
        follower.assert_complete()


async def test_connections_that_break_as_they_begin(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, '_patience', 10)
    async with get_client() as client:
        lost = {'kind': 'lose_reply', 'method': 'public/set_heartbeat'}
        await call(url, 'sim/fault', **lost, count=2)
        await call(url, 'sim/fault', kind='drop')
        # waits through all of it
        await client.get_ticker('BTC-USDT')


async def test_no_connection(
    use_venue: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, '_patience', 0.2)
    async with open_simvenue() as venue:
        use_venue(venue.url)
        async with get_client() as client:
            await venue.kill()
            with pytest.raises(NotConnected, match=r'for 0\.2 s'):
                await client.get_ticker('BTC-USDT')


async def test_heartbeats_are_answered(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, '_heartbeat', 1)
    async with get_client() as client, client.open_channel('quote.BTC-USDT') as stream:
        first = await stream.receive()
        assert isinstance(first, QuoteMsg)
        # the second one would have ended it, had the first got no answer
        for seq in range(2, 10_000):
            msg = await stream.receive()
            assert isinstance(msg, QuoteMsg)
            assert msg.seq == seq
            if msg.timestamp > first.timestamp + 2500:
                break


async def test_a_reply_that_never_comes(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, '_heartbeat', 0.5)
    async with get_client() as client:
        delay = {'kind': 'delay', 'method': 'public/ticker', 'seconds': 3600}
        await call(url, 'sim/fault', **delay)
        # asked again on another connection, though this one was alive all the time
        await client.get_ticker('BTC-USDT')


async def test_a_slow_consumer_is_told(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel, market = 'trades.ETH-BTC', {'instrument_name': 'ETH-BTC'}
    async with get_client() as client, client.open_channel(channel) as quick:
        monkeypatch.setattr(api, '_max_unread', 4)
        async with client.open_channel(channel) as slow:
            for _ in range(5):
                last = await call(url, 'sim/trade', **market, price=0.05, amount=1)
            ids: list[int] = []
            while last['trade_id'] not in ids:
                msg = await quick.receive()
                assert isinstance(msg, TradesMsg)
                ids += [trade.trade_id for trade in msg.trades]
            assert ids == list(range(ids[0], ids[-1] + 1))

            seqs: list[int] = []
            with pytest.raises(Overrun, match='more than 4 messages'):
                async for msg in slow:
                    assert isinstance(msg, TradesMsg)
                    seqs.append(msg.seq)
            assert seqs == list(range(seqs[0], seqs[0] + 4))
            with pytest.raises(Overrun):
                await slow.receive()


async def test_a_channel_is_left_with_its_last_consumer(url: str) -> None:
    async def subscriptions() -> Any:
        # by now the venue has handled everything before it
        await client.get_trades('BTC-USDT', limit=1)
        return (await call(url, 'sim/state'))['channels']

    async with get_client() as client:
        async with client.open_channel(_trades):
            async with client.open_channel(_trades, 'quote.BTC-USDT'):
                assert await subscriptions() == {_trades: 1, 'quote.BTC-USDT': 1}
            assert await subscriptions() == {_trades: 1}
        assert await subscriptions() == {}


async def test_a_venue_that_is_not_there(use_venue: Callable[[str], None]) -> None:
    async with open_simvenue() as venue:
        use_venue(venue.url)
        await venue.kill()
        with pytest.raises(BrokerError, match=venue.url):
            async with get_client():
                pass


@pytest.mark.parametrize('url', ['http://127.0.0.1/', 'nonsense', 'ws://host:x/'])
async def test_a_url_that_is_none(use_venue: Callable[[str], None], url: str) -> None:
    use_venue(url)
    with pytest.raises(BrokerError, match='is no WebSocket URL'):
        async with get_client():
            pass


async def test_no_url() -> None:
    with pytest.raises(BrokerError, match='DERIBIT2_URL'):
        async with get_client():
            pass
