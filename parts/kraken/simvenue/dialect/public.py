"""
Kraken's spot API, as its clients see it: what anybody may ask, and the channels of
markets.

Not there at all: margin, conditional and iceberg orders, level 3 books, funding.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Annotated, Any, Literal

import trio
from msgspec import Meta, Struct

from ..events import BookChange, Listed, NewQuote, Trades, changes
from ..instruments import Instrument
from ..market import Market
from ..matching import Levels
from ..methods import method
from ..refusals import Refusal
from ..session import Session, Subscription
from .listing import INTERVALS, TRAITS, asset_altname, asset_id, key_of, pair_id
from .messages import (
    Bars,
    Row,
    asset_news,
    asset_row,
    book_news,
    checksum,
    depth_row,
    iso,
    ns_of,
    pair_news,
    pair_row,
    ticker_news,
    ticker_row,
    trade_news,
    trade_row,
)
from .requests import Each, Requests

_DEPTHS = (10, 25, 100, 500, 1000)
Depth = Annotated[int, Meta(ge=1, le=500)]
Count = Annotated[int, Meta(ge=1, le=1000)]


class Channel(Struct, kw_only=True):
    """
    What is subscribed to, or no longer.
    """

    channel: str
    symbol: list[str] = []
    snapshot: bool | None = None
    event_trigger: Literal['trades', 'bbo'] = 'trades'
    depth: int = 10
    interval: int = 1
    token: str = ''
    snap_orders: bool = True
    snap_trades: bool = False


class _Book(Struct):
    """
    A book as it was told last.
    """

    depth: int
    bids: Levels = []
    asks: Levels = []

    def change(self, market: Market, levels: tuple[Levels, Levels]) -> Row:
        """
        Take in what it is now, and say what is different; of prices that are too deep
        by now nothing is said.
        """
        now = [side[: self.depth] for side in levels]
        told: list[Levels] = []
        for old, new in zip((self.bids, self.asks), now, strict=True):
            full = len(new) == self.depth
            sign = 1 if old and new and old[0][0] <= old[-1][0] else -1
            rows = [
                (price, amount)
                for action, price, amount in changes(old, new)
                if action != 'delete' or not full or sign * (price - new[-1][0]) < 0
            ]
            # first what makes room: there are readers who never have more than that
            told.append(sorted(rows, key=lambda row: row[1] > 0))
        self.bids, self.asks = now
        bids, asks = told
        return book_news(market, bids, asks, checksum(market.instrument, *now))


class Dialect(Requests):
    # what anybody may ask

    @method('public/Time', does='time')
    def time(self, session: Session) -> Row:
        now = self.engine.clock.now() // 1000
        text = format_datetime(datetime.fromtimestamp(now, UTC))
        return {'unixtime': now, 'rfc1123': text}

    @method('public/SystemStatus', does='status')
    def system_status(self, session: Session) -> Row:
        return {'status': 'online', 'timestamp': iso(self.engine.clock.now())}

    @method('public/Assets', does='currencies')
    def assets(self, session: Session, asset: str = '') -> Row:
        wanted = set(filter(None, asset.split(',')))
        found = {
            asset_id(name): asset_row(name)
            for name in self.engine.currencies()
            if not wanted or wanted & {name, asset_id(name), asset_altname(name)}
        }
        if not found:
            raise Refusal('unknown_currency')
        return found

    @method('public/AssetPairs', does='instruments')
    def asset_pairs(self, session: Session, pair: str = '') -> Row:
        return {key: pair_row(it) for key, it in self._named(pair).items()}

    def _named(self, pair: str) -> dict[str, Instrument]:
        if not pair:
            return {pair_id(it): it for it in self.engine.instruments.values()}
        found = {name: self.pair(name) for name in pair.split(',')}
        return {key_of(it, name): it for name, it in found.items()}

    @method('public/Ticker', does='ticker')
    def ticker(self, session: Session, pair: str = '') -> Row:
        return {
            key: ticker_row(self.engine.market(it.name))
            for key, it in self._named(pair).items()
        }

    @method('public/Depth', does='book')
    def depth(self, session: Session, pair: str, count: Depth = 100) -> Row:
        it = self.pair(pair)
        return {key_of(it, pair): depth_row(self.engine.market(it.name), count)}

    @method('public/OHLC', does='bars')
    def ohlc(
        self, session: Session, pair: str, interval: int = 1, since: int = 0
    ) -> Row:
        if interval not in INTERVALS:
            raise Refusal('bad_params', 'interval')
        it = self.pair(pair)
        count = TRAITS['bars_per_call'] + 1
        rows = Bars(self.engine.market(it.name), 60 * interval, count).rows()
        finished = [row[0] for row in rows[:-1]]
        last = finished[-1] if finished else 0
        return {key_of(it, pair): [row for row in rows if row[0] > since], 'last': last}

    @method('public/Trades', does='trades')
    def trades(
        self, session: Session, pair: str, since: int | None = None, count: Count = 1000
    ) -> Row:
        it = self.pair(pair)
        market = self.engine.market(it.name)
        start = market.next_seq - count
        if since is not None:
            # clients say seconds, too
            ns = since if since >= 10**15 else since * 10**9
            start = self._first_after(market, ns)
        found = market.trades(start, start + count)
        last = ns_of(found[-1]) if found else since or market.now * 10**6
        rows = [trade_row(it, trade, self.numbered) for trade in found]
        return {key_of(it, pair): rows, 'last': str(last)}

    def _first_after(self, market: Market, ns: int) -> int:
        """
        The number of the first trade after that time.
        """
        ms, rest = divmod(ns, 10**6)
        seq = market.seq_at(ms)
        for trade in market.trades(seq, market.seq_at(ms + 1)):
            if trade.seq % 10**6 == rest:
                return trade.seq + 1
            if ns_of(trade) > ns:
                return trade.seq
            seq = trade.seq + 1
        return seq

    @property
    def numbered(self) -> bool:
        return bool(self.engine.traits['trade_numbers'] == 'contiguous')

    # sockets

    def opened(self, session: Session) -> None:
        status = {
            'api_version': 'v2',
            'connection_id': id(session),
            'system': 'online',
            'version': '2.0.10',
        }
        session.send({'channel': 'status', 'type': 'update', 'data': [status]})
        session.spawn(self._beat, session)

    async def _beat(self, session: Session) -> None:
        while True:
            sent = session.sent
            await trio.sleep(1 / self.engine.clock.speed)
            if session.subscriptions and session.sent == sent:
                session.send({'channel': 'heartbeat'})

    @method('v2/ping', does='test')
    def ping(self, session: Session) -> Row:
        return {}

    @method('v2/subscribe', does='subscribe')
    def subscribe(self, session: Session, it: Channel) -> Any:
        if self.is_whole(it.channel):
            found = self.subscription(session, it, ())
            return self._begin(found, it)
        acks = Each()
        for symbol in dict.fromkeys(it.symbol):
            try:
                if symbol not in self.engine.instruments:
                    raise Refusal('unknown_market', symbol)
                found = self.subscription(session, it, (symbol,))
                acks.append({**self._begin(found, it), 'symbol': symbol})
            except Refusal as refusal:
                error = self.explain(refusal, 'subscribe')
                acks.append({'error': error, 'symbol': symbol})
        if not acks:
            raise Refusal('bad_params', 'symbol')
        return acks

    def _begin(self, found: Subscription, it: Channel) -> Row:
        # what has happened by now is in the snapshot
        self.server.flush()
        snapshot = it.snapshot if it.snapshot is not None else it.channel != 'trade'
        if snapshot:
            self.server.subscribe(found, partial(self.first, found, it))
        else:
            self.server.subscribe(found)
            if it.channel == 'book':  # what it changes from is known all the same
                self.first(found, it)
        return self.ack(found, it, snapshot)

    def ack(self, found: Subscription, it: Channel, snapshot: bool) -> Row:
        row: Row = {'channel': it.channel, 'snapshot': snapshot}
        match it.channel:
            case 'ticker':
                row['event_trigger'] = it.event_trigger
            case 'book':
                row['depth'] = it.depth
            case 'ohlc':
                row['interval'] = it.interval
                row['warnings'] = ['timestamp is deprecated, use interval_begin']
        return row

    @method('v2/unsubscribe', does='unsubscribe')
    def unsubscribe(self, session: Session, it: Channel) -> Any:
        if self.is_whole(it.channel):
            self._end(session, it, '')
            return {'channel': it.channel}
        acks = Each()
        for symbol in dict.fromkeys(it.symbol):
            try:
                self._end(session, it, self.engine.instrument(symbol).name)
                acks.append({**self.ack_of_end(it), 'symbol': symbol})
            except Refusal as refusal:
                error = self.explain(refusal, 'subscribe')
                acks.append({'error': error, 'symbol': symbol})
        if not acks:
            raise Refusal('bad_params', 'symbol')
        return acks

    def ack_of_end(self, it: Channel) -> Row:
        row: Row = {'channel': it.channel}
        return row | {'depth': it.depth} if it.channel == 'book' else row

    def _end(self, session: Session, it: Channel, market: str) -> None:
        if not self.server.unsubscribe(session, channel_key(it, market)):
            raise Refusal('bad_params', 'subscription not found')

    # channels

    def is_whole(self, channel: str) -> bool:
        """
        Whether it is one for all markets.
        """
        return channel == 'instrument'

    def subscription(
        self, session: Session, it: Channel, markets: tuple[str, ...]
    ) -> Subscription:
        """
        Raises `Refusal` where there is no such channel.
        """
        make = partial(
            Subscription, session, channel_key(it, *markets), markets=markets
        )
        match it.channel:
            case 'ticker':
                if it.event_trigger == 'bbo':
                    return make(event=NewQuote, topics=('quote', 'ticker'))
                return make(event=Trades, topics=('ticker',))
            case 'trade':
                return make(event=Trades, topics=('trades',), filter=0)
            case 'book' if it.depth in _DEPTHS:
                filter = _Book(it.depth)
                return make(event=BookChange, topics=('book', 'quote'), filter=filter)
            case 'ohlc' if it.interval in INTERVALS:
                return make(event=Trades, topics=('bars',), filter=60 * it.interval)
            case 'instrument':
                return make(event=Listed, topics=('instruments',))
        raise Refusal('bad_params', 'channel')

    def first(self, found: Subscription, it: Channel) -> list[Row]:
        """
        The messages that say how things stand.
        """
        if it.channel == 'instrument':
            data = {
                'assets': [asset_news(name) for name in self.engine.currencies()],
                'pairs': [
                    pair_news(it, True) for it in self.engine.instruments.values()
                ],
            }
            return [said(it.channel, data, 'snapshot')]
        market = self.engine.market(found.market)
        rows: list[Row] = []
        match it.channel:
            case 'ticker':
                rows = [ticker_news(market)]
            case 'trade':
                trades = market.trades(market.next_seq - 50, market.next_seq)
                rows = trade_news(market.instrument, trades, self.numbered)
                found.filter = market.next_seq
            case 'book':
                _, *levels = self.engine.book(market)
                rows = [found.filter.change(market, levels)]
            case 'ohlc':
                rows = Bars(market, found.filter, TRAITS['bars_per_call']).news()
        return [said(it.channel, rows, 'snapshot')]

    def tell(self, it: Subscription, events: Sequence[Any]) -> list[Row]:
        market: Market
        channel = it.channel.partition(' ')[0]
        match channel, events[-1]:
            case 'trade', Trades(market=market):
                trades = [
                    trade
                    for event in events
                    for trade in event.trades
                    if trade.seq >= it.filter
                ]
                rows = trade_news(market.instrument, trades, self.numbered)
                return [said(channel, rows)] if rows else []
            case 'ticker', Trades(market=market) | NewQuote(market=market):
                return [said(channel, [ticker_news(market)])]
            case 'ohlc', Trades(market=market):
                return [said(channel, Bars(market, it.filter, 1).news())]
            case 'book', BookChange(market=market):
                _, *levels = self.engine.book(market)
                row = it.filter.change(market, levels)
                return [said(channel, [row])] if row['bids'] or row['asks'] else []
            case 'instrument', Listed():
                pairs = [pair_news(e.instrument, e.active) for e in events]
                return [said(channel, {'assets': [], 'pairs': pairs})]
        return []


def channel_key(it: Channel, *markets: str) -> str:
    """
    What one connection has but once.
    """
    key = ' '.join([it.channel, *markets])
    return f'{key} {it.interval}' if it.channel == 'ohlc' else key


def said(channel: str, data: Any, kind: str = 'update') -> Row:
    return {'channel': channel, 'type': kind, 'data': data}
