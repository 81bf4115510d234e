"""
Live quotes: the bus in `datad` that runs a backend's `stream_quotes()` once per
market, and the feeds that clients open on it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager as acm
from functools import partial
from math import inf
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import tractor
import trio
from msgspec import Struct, field

from .._streaming import CreditStream, open_endpoint, take_unread
from .._tractor import (
    boxed_type_name,
    collapse,
    context,
    disconnects,
    error_text,
    open_nursery,
)
from ..accounting import MktPair, unpack_fqme
from ..brokers import BrokerError, get_brokermod
from ..brokers._util import NOT_NOW
from ..log import get_logger
from ..service._liveness import ServiceDied
from ._daemon import maybe_spawn_datad
from .validate import (
    FeedInit,
    FeedInitializationError,
    validate_backend,
    validate_quote,
)

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = get_logger('data.feed')

T = TypeVar('T')

Quote = dict[str, Any]
"""`symbol`, `last`, `ticks`, `broker_ts`, `brokerd_ts`: see `validate_quote()`."""

_max_lag: int = 2**16
"""Quotes that a subscriber may be behind, even while it is sent what it missed."""
_max_failures: int = 5
"""How often in a row to try and get a feed back whose `datad` died."""
_stable: float = 10
"""A feed that has lasted this long begins to count anew, s."""


class FeedLagged(RuntimeError):
    """
    A subscriber is too slow for its markets, for too long.
    """


class LiveMkt(Struct):
    """
    A market that `datad` streams.
    """

    init: FeedInit
    quote: Quote
    """The latest."""
    subs: set[trio.MemorySendChannel[dict[str, Quote]]] = field(default_factory=set)
    error: BaseException | None = None
    """Why the stream ended, if it did."""

    @property
    def mkt(self) -> MktPair:
        return self.init.mkt_info


class _FeedsBus:
    """
    All live markets of one `datad`, each streamed once whatever the number of its
    subscribers.
    """

    def __init__(self, brokername: str, nursery: trio.Nursery) -> None:
        self.brokername = brokername
        self.nursery = nursery
        self.feeds: dict[str, LiveMkt] = {}
        self._locks: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)

    async def get_feed(self, mod: ModuleType, symbol: str) -> LiveMkt:
        """
        The live market that `symbol` names in whatever form, streaming from now on.
        """
        mkt, _ = await mod.get_mkt_info(symbol)
        async with self._locks[mkt.bs_fqme]:
            if mkt.bs_fqme not in self.feeds:
                await self.nursery.start(
                    allocate_persistent_feed, self, mod, mkt.bs_fqme, symbol
                )
            return self.feeds[mkt.bs_fqme]


_bus: _FeedsBus | None = None


def get_feed_bus(
    brokername: str,
    nursery: trio.Nursery | None = None,
) -> _FeedsBus:
    """
    This actor's bus, which `_setup_persistent_datad()` allocates by passing the
    nursery that the streams are to run in.
    """
    global _bus
    if _bus is None:
        if nursery is None:
            raise RuntimeError('there is no feed bus in this actor, only in datad')
        _bus = _FeedsBus(brokername, nursery)
    if _bus.brokername != brokername:
        raise RuntimeError(f'this is the datad of {_bus.brokername}')
    return _bus


async def allocate_persistent_feed(
    bus: _FeedsBus,
    mod: ModuleType,
    bs_fqme: str,
    symbol: str,
    task_status: TaskStatus[None],
) -> None:
    """
    Run the backend's `stream_quotes()` for one market, and hand each quote to the
    market's subscribers.

    The endpoint is called as piker calls it: with `symbol`, the name that the first
    subscriber used, in whatever form but without the broker. An error of its ends
    this market's subscriptions, not the daemon; the next subscriber starts it anew.
    """
    send_chan, recv_chan = trio.open_memory_channel[dict[str, Quote]](616)
    feed_is_live = trio.Event()
    feed: LiveMkt | None = None
    started = False
    try:
        async with open_nursery() as tn:
            init_msgs, first_quote = await tn.start(
                partial(
                    mod.stream_quotes,
                    send_chan=send_chan,
                    symbols=[symbol],
                    feed_is_live=feed_is_live,
                )
            )
            init = validate_backend(mod, [symbol], init_msgs)
            validate_quote(init, first_quote, first=True)
            feed = bus.feeds[bs_fqme] = LiveMkt(init, first_quote)
            task_status.started()
            started = True
            async for quotes in recv_chan:
                if not feed_is_live.is_set():
                    raise FeedInitializationError(
                        f'{bs_fqme}: quotes, but `feed_is_live` is not set: piker '
                        'waits for it before it starts the feed'
                    )
                _publish(feed, quotes)
        # not within: where it raised, that is why, and it has yet to leave its blocks
        raise FeedInitializationError(f'{bs_fqme}: stream_quotes() returned')
    except Exception as err:
        cause = collapse(err)
        if not started:
            raise cause from cause.__cause__
        log.error('feed %s ended: %r', bs_fqme, cause)
        if isinstance(cause, disconnects):
            # as it is, the way to the subscriber would seem to be broken
            cause = BrokerError(f'{bs_fqme}: {cause!r}')
        if feed:
            feed.error = cause
            for sub in feed.subs:
                sub.close()
    finally:
        bus.feeds.pop(bs_fqme, None)


def _publish(feed: LiveMkt, quotes: dict[str, Quote]) -> None:
    for key, quote in quotes.items():
        if key != feed.mkt.bs_fqme:
            raise FeedInitializationError(
                f'quotes must be keyed by bs_fqme {feed.mkt.bs_fqme!r}, not {key!r}'
            )
        validate_quote(feed.init, quote)
        feed.quote = {**feed.quote, **quote, 'ticks': []}
    for sub in list(feed.subs):
        try:
            sub.send_nowait(quotes)
        except (trio.WouldBlock, trio.ClosedResourceError):
            # loud rather than lossy: the subscriber finds its channel closed, which it
            # has for all of its markets
            feed.subs.discard(sub)
            sub.close()


@context
async def open_feed_bus(
    ctx: tractor.Context,
    brokername: str,
    symbols: list[str],
    loglevel: str | None = None,
    last_ids: dict[str, int] | None = None,
) -> None:
    """
    RPC endpoint of `datad`: subscribe to the quotes of `symbols`.

    Starts with a list of `{'mkt', 'quote'}`, a market and its latest quote per
    symbol; streams lists of `{bs_fqme: quote}`, those that have come meanwhile. The
    trades that came after `last_ids`, which a subscriber has by bs_fqme, are first.
    """
    servicename = tractor.current_actor().name
    assert 'datad' in servicename
    assert brokername in servicename
    bus = get_feed_bus(brokername)
    mod = get_brokermod(brokername)
    feeds = [
        await bus.get_feed(mod, symbol.removesuffix(f'.{brokername}'))
        for symbol in symbols
    ]
    sub, quotes = trio.open_memory_channel[dict[str, Quote]](_max_lag)
    missed: list[tuple[str, int, int]] = []
    for feed in feeds:
        feed.subs.add(sub)
        # the subscriber is to be sent every trade after this one
        key, newest = feed.mkt.bs_fqme, feed.quote.get('trade_id')
        if newest is not None and last_ids and key in last_ids:
            missed.append((key, last_ids[key], newest))
    try:
        await ctx.started(
            [{'mkt': feed.mkt.to_dict(), 'quote': feed.quote} for feed in feeds]
        )
        async with ctx.open_stream() as stream:
            sender = CreditStream(stream)
            for key, last_id, newest in missed:
                async for msg in mod.replay_trades(key, last_id, newest):
                    await sender.send([msg])
            async for msg in quotes:
                await sender.send([msg, *take_unread(quotes)])
        for feed in feeds:
            if feed.error:
                raise feed.error
        raise FeedLagged(f'{symbols}: more than {_max_lag} quotes behind')
    finally:
        for feed in feeds:
            feed.subs.discard(sub)
        sub.close()


class Feed:
    """
    A client's feed: the quotes of one or more markets of one broker.
    """

    def __init__(
        self,
        inits: list[dict[str, Any]],
        quotes: trio.MemoryReceiveChannel[dict[str, Quote]],
    ) -> None:
        mkts = [MktPair.from_msg(init['mkt']) for init in inits]
        self.mkts: dict[str, MktPair] = {mkt.fqme: mkt for mkt in mkts}
        """The markets by fqme."""
        self.quotes: dict[str, Quote] = {
            mkt.fqme: init['quote'] for mkt, init in zip(mkts, inits, strict=True)
        }
        """The latest quote of each when the feed was opened, by fqme."""
        self._unread = quotes
        self._fqmes = {mkt.bs_fqme: mkt.fqme for mkt in mkts}

    async def receive(self) -> dict[str, Quote]:
        """
        The next quotes by fqme. In order, and none left out that can be had: a trade
        before which some are missing has their number, as `missed`.
        """
        msg = await self._unread.receive()
        return {self._fqmes[key]: quote for key, quote in msg.items()}

    def __aiter__(self) -> AsyncIterator[dict[str, Quote]]:
        return self

    async def __anext__(self) -> dict[str, Quote]:
        return await self.receive()


class Subscription:
    """
    What keeps a feed going: a stream of quotes from `datad`, and another when that
    dies, which goes on where the first was cut off.
    """

    def __init__(self, brokername: str, fqmes: list[str], loglevel: str | None) -> None:
        self._brokername = brokername
        self._fqmes = fqmes
        self._loglevel = loglevel
        self._send, self._unread = trio.open_memory_channel[dict[str, Quote]](1)
        self._last_ids: dict[str, int] = {}
        """The last trade of each market whose trades are numbered, by bs_fqme."""
        self.left = trio.Event()
        """Set by the consumer."""

    async def run(self, task_status: TaskStatus[Feed]) -> None:
        feed: Feed | None = None
        died: ServiceDied | None = None
        failures, pause = 0, 0.1
        while True:
            since = trio.current_time()
            try:
                async with open_endpoint(
                    maybe_spawn_datad(self._brokername, self._loglevel),
                    open_feed_bus,
                    brokername=self._brokername,
                    symbols=self._fqmes,
                    loglevel=self._loglevel,
                    last_ids=self._last_ids,
                ) as (inits, stream):
                    if feed is None:
                        feed = Feed(inits, self._unread)
                        for mkt in feed.mkts.values():
                            self._note({mkt.bs_fqme: feed.quotes[mkt.fqme]})
                        task_status.started(feed)
                    if died:
                        log.warning('%s; going on with another one', died)
                        died, pause = None, 0.1
                    async with open_nursery() as tn:
                        tn.start_soon(self._receive, CreditStream(stream))
                        await self.left.wait()
                        tn.cancel_scope.cancel()
                return
            except ServiceDied as err:
                if trio.current_time() - since > _stable:
                    failures = 0
                failures += 1
                if feed is None or failures > _max_failures:
                    raise
                died = err
                await trio.sleep(0.1 * (2 ** (failures - 1) - 1))
            except tractor.RemoteActorError as err:
                # the old one would have waited until its venue is there
                if not died or boxed_type_name(err) not in NOT_NOW:
                    raise
                log.warning('%s; trying again', error_text(err))
                await trio.sleep(pause * random.uniform(0.5, 1))
                pause = min(2 * pause, 10)
            except ConnectionError:
                if died:  # with pikerd, and there will be no other
                    raise died from None
                raise

    async def _receive(self, stream: CreditStream) -> None:
        async for msgs in stream:
            for msg in msgs:
                for key, quote in msg.items():
                    self._mark(key, quote)
                await self._send.send(msg)
                # not before: what is cut off there has to come again
                self._note(msg)
        raise ConnectionError(f'datad.{self._brokername} ended the feed')

    def _note(self, quotes: dict[str, Quote]) -> None:
        for key, quote in quotes.items():
            if (trade_id := quote.get('trade_id')) is not None:
                self._last_ids[key] = trade_id

    def _mark(self, key: str, quote: Quote) -> None:
        """Let a market's next trade tell of those that could not be fetched."""
        for tick in quote['ticks'][: 'trade_id' in quote]:
            missed = tick.get('trade_id', 0) - self._last_ids.get(key, inf) - 1
            if missed > 0:
                tick.setdefault('missed', missed)
                log.warning('%s: %d trades could not be fetched', key, missed)


@acm
async def open_feed(
    fqmes: list[str],
    loglevel: str | None = None,
) -> AsyncIterator[Feed]:
    """
    Subscribe to live quotes of `fqmes`, all of one broker; spawn its `datad` if
    need be.

    When that `datad` dies another takes its place, as soon as the venue is in reach,
    which also delivers the trades of the time in between. Raises `ServiceDied` where
    that cannot be done, `ConnectionError` where `datad` is ended on purpose, and a
    `tractor.RemoteActorError` for what the backend raised.
    """
    brokers = {unpack_fqme(fqme)[0] for fqme in fqmes}
    if len(brokers) != 1:
        raise ValueError(f'one broker per feed, not {sorted(brokers)}: {fqmes}')
    (brokername,) = brokers
    async with open_nursery() as tn:
        subscription = Subscription(brokername, fqmes, loglevel)
        feed: Feed = await tn.start(subscription.run)
        yield feed
        subscription.left.set()


async def keep_feed(
    fqme: str,
    mk_market: Callable[[MktPair, float], T],
    on_tick: Callable[[T, dict[str, Any]], None],
    task_status: TaskStatus[T],
) -> None:
    """
    Call `on_tick` with each tick of a market, for ever: a feed that is lost is opened
    anew. Starts with what `mk_market` makes of the market and its last price, which
    is also the first argument of `on_tick`.

    Raises what the first feed raises before it has begun.
    """
    market: T | None = None
    while True:
        try:
            async with open_feed([fqme]) as feed:
                ((full_fqme, mkt),) = feed.mkts.items()
                first = feed.quotes[full_fqme]
                if market is None:
                    market = mk_market(mkt, first['last'])
                    task_status.started(market)
                for tick in iter_ticks(first):
                    on_tick(market, tick)
                async for quotes in feed:
                    for tick in iter_ticks(quotes[full_fqme]):
                        on_tick(market, tick)
        except Exception as err:
            cause = collapse(err)
            if market is None:
                raise cause from cause.__cause__
            log.error('%s: feed lost, opening another: %s', fqme, error_text(cause))
            await trio.sleep(0.1)


def iter_ticks(quote: Quote) -> Iterator[dict[str, Any]]:
    """
    The ticks of a quote, its `last` before them.
    """
    if 'last' in quote:
        yield {'type': 'last', 'price': quote['last']}
    yield from quote['ticks']
