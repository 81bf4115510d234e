"""
Live quotes: the bus in `datad` that runs a backend's `stream_quotes()` once per
market, and the feeds that clients open on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import tractor
import trio
from msgspec import Struct, field

from .._streaming import CreditReceiver, CreditSender
from .._tractor import collapse, context, open_nursery
from ..accounting import MktPair, unpack_fqme
from ..brokers import get_brokermod
from ..log import get_logger
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

Quote = dict[str, Any]
"""`symbol`, `last`, `ticks`, `broker_ts`, `brokerd_ts`: see `validate_quote()`."""

_max_lag: int = 2**15
"""Quotes that a subscriber may be behind."""


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
            raise FeedInitializationError(f'{bs_fqme}: stream_quotes() returned')
    except Exception as err:
        cause = collapse(err)
        if not started:
            raise cause from cause.__cause__
        log.error('feed %s ended: %r', bs_fqme, cause)
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
        except trio.WouldBlock:
            # loud rather than lossy: the subscriber finds its channel closed
            feed.subs.discard(sub)
            sub.close()


@context
async def open_feed_bus(
    ctx: tractor.Context,
    brokername: str,
    symbols: list[str],
    loglevel: str | None = None,
) -> None:
    """
    RPC endpoint of `datad`: subscribe to the quotes of `symbols`.

    Starts with a list of `{'mkt', 'quote'}`, a market and its latest quote per
    symbol; streams `{bs_fqme: quote}`.
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
    for feed in feeds:
        feed.subs.add(sub)
    try:
        await ctx.started(
            [{'mkt': feed.mkt.to_dict(), 'quote': feed.quote} for feed in feeds]
        )
        async with ctx.open_stream() as stream:
            sender = CreditSender(stream)
            async for msg in quotes:
                await sender.send(msg)
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
        mkts: dict[str, MktPair],
        quotes: dict[str, Quote],
        stream: CreditReceiver,
    ) -> None:
        self.mkts = mkts
        """The markets by fqme."""
        self.quotes = quotes
        """The latest quote of each when the feed was opened, by fqme."""
        self._stream = stream
        self._fqmes = {mkt.bs_fqme: fqme for fqme, mkt in mkts.items()}

    async def receive(self) -> dict[str, Quote]:
        """
        The next quotes by fqme. In order, none left out.
        """
        msg: dict[str, Quote] = await self._stream.receive()
        return {self._fqmes[key]: quote for key, quote in msg.items()}

    def __aiter__(self) -> AsyncIterator[dict[str, Quote]]:
        return self

    async def __anext__(self) -> dict[str, Quote]:
        return await self.receive()


@acm
async def open_feed(
    fqmes: list[str],
    loglevel: str | None = None,
) -> AsyncIterator[Feed]:
    """
    Subscribe to live quotes of `fqmes`, all of one broker; spawn its `datad` if
    need be.

    Raises `ServiceDied` when that `datad` dies, and a `tractor.RemoteActorError`
    for what the backend raised.
    """
    brokers = {unpack_fqme(fqme)[0] for fqme in fqmes}
    if len(brokers) != 1:
        raise ValueError(f'one broker per feed, not {sorted(brokers)}: {fqmes}')
    (brokername,) = brokers
    async with (
        maybe_spawn_datad(brokername, loglevel) as portal,
        portal.open_context(
            open_feed_bus,
            brokername=brokername,
            symbols=fqmes,
            loglevel=loglevel,
        ) as (ctx, inits),
        ctx.open_stream() as stream,
    ):
        mkts = [MktPair.from_msg(init['mkt']) for init in inits]
        yield Feed(
            mkts={mkt.fqme: mkt for mkt in mkts},
            quotes={
                mkt.fqme: init['quote'] for mkt, init in zip(mkts, inits, strict=True)
            },
            stream=CreditReceiver(stream),
        )
        await ctx.cancel()
