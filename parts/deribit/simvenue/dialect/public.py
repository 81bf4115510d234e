"""
Deribit's API v2, as its clients see it: JSON-RPC 2.0 by WebSocket at /ws/api/v2, and by
HTTP at /api/v2/<method>.

Public calls and channels are here. Not there at all: trigger orders, block trades,
combos, mass quotes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ..events import BookChange, Event, Listed, NewQuote, Trades, merge
from ..instruments import Instrument
from ..jsonrpc import JsonRpc
from ..market import Market
from ..matching import group
from ..methods import method
from ..operations import Topic
from ..refusals import Refusal
from ..session import Session, Subscription
from .listing import TRAITS, index_of, is_among
from .messages import (
    COLUMNS,
    ERRORS,
    RESOLUTIONS,
    STATUSES,
    Row,
    bar_row,
    book_row,
    currency_row,
    heartbeat,
    instrument_row,
    level_rows,
    quote_row,
    summary_row,
    ticker_row,
    trade_rows,
)

ORDERS = ('place', 'edit', 'cancel')
_LIMITED = dict.fromkeys(ORDERS, 'order') | {'subscribe': 'subscribe'}
"""What has a limit of its own."""
_INTERVALS = {'raw': 0.0, '100ms': 0.1, 'agg2': 1.0}
_CHANNELS: dict[str, tuple[type[Event], Topic]] = {
    'quote': (NewQuote, 'quote'),
    'ticker': (NewQuote, 'ticker'),
    'trades': (Trades, 'trades'),
    'book': (BookChange, 'book'),
    'chart': (Trades, 'bars'),
}
"""What channels tell of, and the neutral name of it."""
Kind = Literal['future', 'option', 'spot', 'future_combo', 'option_combo', 'any']
Count = Annotated[int, Meta(ge=1, le=1000)]
Sorting = Literal['asc', 'desc', 'default']
Resolution = Annotated[str, Meta(pattern=f'^({"|".join(RESOLUTIONS)})$')]
Positive = Annotated[float, Meta(gt=0)]


class State(Struct, eq=False):
    """
    Of a connection.
    """

    asked: bool = False
    """Whether a test_request waits for its answer,"""
    answered: bool = True
    """and whether that, public/test, has come."""
    token: str = ''
    scopes: frozenset[str] = frozenset()
    cancels: bool = False
    """Whether its orders end with it."""
    placed: list[Any] = []


class _Trades(Struct, kw_only=True):
    """
    Which trades.
    """

    instrument_name: str | None = None
    currency: str | None = None
    kind: Kind | None = None
    start_seq: int | None = None
    end_seq: int | None = None
    start_timestamp: int | None = None
    end_timestamp: int | None = None
    count: Count = 10
    sorting: Sorting = 'default'


class Dialect(JsonRpc):
    prefix = '/api/v2/'
    largest = 32 * 1024
    errors = ERRORS
    statuses = STATUSES

    def is_socket(self, path: str) -> bool:
        return path.rstrip('/') == '/ws/api/v2'

    def state(self, session: Session) -> State:
        if session.data is None:
            session.data = State()
        state: State = session.data
        return state

    def admit(self, session: Session, name: str, params: Row) -> None:
        does = self.operations[name]
        if does != 'test':
            session.count(_LIMITED.get(does, 'request'))

    def explain(self, session: Session, refusal: Refusal) -> Any:
        match refusal.reason:
            case 'bad_params':
                param, _, reason = refusal.text.partition(' ')
                return {'reason': reason, 'param': param}
            case 'too_many' if refusal.wait is not None:
                return {'wait': refusal.wait}
            case 'too_many':
                if session.is_socket:
                    session.after_reply.append(partial(session.close, 1008))
                return None
        return {'reason': refusal.text} if refusal.text else None

    @method('public/get_time', does='time')
    def get_time(self, session: Session) -> int:
        return self.engine.clock.now()

    @method('public/test', 'public/hello', does='test')
    def test(self, session: Session) -> Row:
        self.state(session).answered = True
        return {'version': '1.2.26'}

    @method('public/status', does='status')
    def status(self, session: Session) -> Row:
        return {'locked': 'false'}

    @method('public/set_heartbeat', does='heartbeat')
    def set_heartbeat(
        self, session: Session, interval: Annotated[float, Meta(ge=10)]
    ) -> str:
        if not session.is_socket:
            raise Refusal('socket_needed')
        self.state(session).asked = False
        session.beat(interval / 2, partial(self._beat, session))
        return 'ok'

    def _beat(self, session: Session) -> None:
        state = self.state(session)
        if state.asked and not state.answered:
            session.stop_beating()
            session.close(4000)
        elif not state.asked:
            session.send(heartbeat('heartbeat'))
            session.send(heartbeat('test_request'))
            state.answered = False
        state.asked = not state.asked

    @method('public/disable_heartbeat', does='heartbeat')
    def disable_heartbeat(self, session: Session) -> str:
        session.stop_beating()
        return 'ok'

    # markets

    def _matching(
        self, currency: str | None, kind: str | None, expired: bool = False
    ) -> list[Instrument]:
        listed = self.engine.expired if expired else self.engine.instruments
        wanted = kind or 'any', currency or 'any'
        return [it for it in listed.values() if is_among(it, *wanted)]

    @method('public/get_currencies', does='currencies')
    def get_currencies(self, session: Session) -> list[Row]:
        return [currency_row(it) for it in self.engine.currencies()]

    @method('public/get_instruments', does='instruments')
    def get_instruments(
        self,
        session: Session,
        currency: str | None = None,
        kind: Kind | None = None,
        expired: bool = False,
    ) -> list[dict[str, Any]]:
        found = self._matching(currency, kind, expired)
        return [instrument_row(it, not expired) for it in found]

    @method('public/get_instrument', does='instruments')
    def get_instrument(self, session: Session, instrument_name: str) -> Any:
        it = self.engine.instrument(instrument_name)
        return instrument_row(it, self.engine.is_active(it))

    @method('public/ticker', does='ticker')
    def ticker(self, session: Session, instrument_name: str) -> Row:
        return self.ticker_of(self.engine.market(instrument_name))

    def ticker_of(self, market: Market) -> Row:
        return ticker_row(market, self.engine.is_active(market.instrument))

    @method('public/get_order_book', does='book')
    def get_order_book(
        self, session: Session, instrument_name: str, depth: Count = 20
    ) -> Row:
        market = self.engine.market(instrument_name)
        return self.ticker_of(market) | self._depth(market, depth, 1)

    def _depth(self, market: Market, depth: int, ticks: int) -> Row:
        change_id, bids, asks = self.engine.book(market)
        return {
            'change_id': change_id,
            'bids': level_rows(market, group(bids, depth, -ticks)),
            'asks': level_rows(market, group(asks, depth, ticks)),
        }

    @method(
        'public/get_book_summary_by_instrument',
        'public/get_book_summary_by_currency',
        does='ticker',
    )
    def get_book_summary(
        self,
        session: Session,
        instrument_name: str | None = None,
        currency: str | None = None,
        kind: Kind | None = None,
    ) -> list[Row]:
        names = [it.name for it in self._matching(currency, kind)]
        if instrument_name is not None:
            names = [instrument_name]
        return [summary_row(self.engine.market(name)) for name in names]

    @method('public/get_index_price', does='ticker')
    def get_index_price(self, session: Session, index_name: str) -> Row:
        for it in self.engine.instruments.values():
            if index_of(it) == index_name:
                price = round(self.engine.market(it.name).index(), 4)
                return {'index_price': price, 'estimated_delivery_price': price}
        raise Refusal('bad_params', f'index_name unknown index {index_name}')

    @method('public/get_tradingview_chart_data', does='bars')
    def get_tradingview_chart_data(
        self,
        session: Session,
        instrument_name: str,
        start_timestamp: int,
        end_timestamp: int,
        resolution: Resolution,
    ) -> Row:
        market = self.engine.market(instrument_name)
        start, stop = -(-start_timestamp // 1000), end_timestamp // 1000
        seconds, limit = RESOLUTIONS[resolution], TRAITS['bars_per_call']
        candles = market.candles(seconds, start, stop, limit)
        columns: Row = {
            name: market.prices.values(candles.bars[:, column])
            for name, column in COLUMNS.items()
        }
        amounts = [market.volumes(bar) for bar in candles.bars]
        return columns | {
            'ticks': candles.times.tolist(),
            'volume': [base for base, _ in amounts],
            'cost': [cost for _, cost in amounts],
            'status': 'ok' if amounts else 'no_data',
        }

    @method(
        'public/get_last_trades_by_instrument',
        'public/get_last_trades_by_instrument_and_time',
        'public/get_last_trades_by_currency',
        'public/get_last_trades_by_currency_and_time',
        does='trades',
    )
    def get_last_trades(self, session: Session, it: _Trades) -> Row:
        if it.instrument_name is not None:
            return self._page(self.engine.market(it.instrument_name), it)
        found = self._matching(it.currency, it.kind)
        pages = [self._page(self.engine.market(each.name), it) for each in found]
        rows = [row for page in pages for row in page['trades']]
        rows.sort(key=lambda row: row['timestamp'], reverse=it.sorting != 'asc')
        more = len(rows) > it.count or any(page['has_more'] for page in pages)
        return {'trades': rows[: it.count], 'has_more': more}

    def _page(self, market: Market, it: _Trades) -> Row:
        numbers = it.start_seq, it.end_seq
        times = it.start_timestamp, it.end_timestamp
        begins, ends = numbers[0] or times[0], numbers[1] or times[1]
        # from where one asks on, otherwise the newest
        onwards = begins is not None and (it.sorting == 'asc' or ends is None)
        trades, more = market.page(it.count, numbers, times, newest=not onwards)
        rows = trade_rows(self.engine, market, trades)
        if it.sorting == 'desc' or (it.sorting == 'default' and not onwards):
            rows.reverse()
        return {'trades': rows, 'has_more': more}

    # channels

    @method('public/subscribe', 'private/subscribe', does='subscribe')
    def subscribe(self, session: Session, channels: list[str], label: str = '') -> Any:
        if not session.is_socket:
            raise Refusal('socket_needed')
        accepted = []
        for channel in dict.fromkeys(channels):
            if subscription := self.subscription(session, channel):
                subscription.label = label
                self.server.subscribe(subscription, partial(self.first, subscription))
                accepted.append(channel)
        return sorted(accepted)

    def subscription(self, session: Session, channel: str) -> Subscription | None:
        """
        What a channel stands for, if there is one of that name.
        """
        words = channel.split('.')
        interval = self.interval(session, words[-1])
        names: tuple[str, ...]
        match words:
            case ['instrument', 'state', kind, currency]:
                return Subscription(
                    session,
                    channel,
                    Listed,
                    ('instruments',),
                    wants=lambda event: is_among(event.instrument, kind, currency),
                )
            case ['quote', name]:
                names, interval = (name,), 0.0
            case ['chart', 'trades', name, resolution] if resolution in RESOLUTIONS:
                names, interval = (name,), 0.1
            case ['ticker' | 'trades' | 'book', name, _]:
                names = (name,)
            case ['book', name, _, '1' | '10' | '20', _]:
                names = (name,)
            case ['trades', kind, currency, _]:
                names = tuple(it.name for it in self._matching(currency, kind))
            case _:
                return None
        if interval is None or not names or names[0] not in self.engine.instruments:
            return None
        event, topic = _CHANNELS[words[0]]
        return Subscription(session, channel, event, (topic,), names, interval=interval)

    def interval(self, session: Session, word: str) -> float | None:
        """
        How long events are gathered, if that is the name of an interval.
        """
        if word == 'raw' and not session.account:
            raise Refusal('socket_login_needed')
        return _INTERVALS.get(word)

    def first(self, it: Subscription) -> list[Row]:
        """
        The messages that a subscriber gets first.
        """
        if it.event is NewQuote:
            return self.tell(it, [NewQuote(self.engine.market(it.market))])
        if it.event is BookChange:
            return [self._told(it, self._snapshot(it))]
        return []

    def _snapshot(self, it: Subscription) -> Row:
        market = self.engine.market(it.market)
        if it.channel.count('.') > 2:
            return self._grouped_book(it, market)
        change_id, *sides = self.engine.book(market)
        new = ([('new', *level) for level in levels] for levels in sides)
        return book_row(market, 'snapshot', change_id, *new)

    def _grouped_book(self, it: Subscription, market: Market) -> Row:
        _, _, group, depth, _ = it.channel.split('.')
        ticks = 1 if group == 'none' else max(1, int(float(group)))
        data = {'instrument_name': market.name, 'timestamp': self.engine.clock.now()}
        return data | self._depth(market, int(depth), ticks)

    @method('public/unsubscribe', 'private/unsubscribe', does='unsubscribe')
    def unsubscribe(self, session: Session, channels: list[str]) -> list[str]:
        return [it for it in channels if self.server.unsubscribe(session, it)]

    @method('public/unsubscribe_all', 'private/unsubscribe_all', does='unsubscribe')
    def unsubscribe_all(self, session: Session) -> str:
        self.unsubscribe(session, list(session.subscriptions))
        return 'ok'

    def _told(self, it: Subscription, data: Any) -> Row:
        params = {'channel': it.channel, 'data': data}
        if it.label:
            params['label'] = it.label
        return {'jsonrpc': '2.0', 'method': 'subscription', 'params': params}

    def tell(self, it: Subscription, events: Sequence[Any]) -> list[Row]:
        return [self._told(it, data) for data in self.news(it, events)]

    def news(self, it: Subscription, events: Sequence[Any]) -> list[Any]:
        """
        The `data` of the messages that say what happened.
        """
        market: Market
        match it.topics[0], events[-1]:
            case 'trades', Trades():
                pages = [trade_rows(self.engine, e.market, e.trades) for e in events]
                return [[row for rows in pages for row in rows]]
            case 'bars', Trades(market=market):
                return [bar_row(market, it.channel.split('.')[-1])]
            case 'quote', NewQuote(market=market):
                return [quote_row(market)]
            case 'ticker', NewQuote(market=market):
                return [self.ticker_of(market)]
            case 'book', BookChange(market=market):
                if it.channel.count('.') > 2:
                    return [self._grouped_book(it, market)]
                change = merge(events)
                row = book_row(market, 'change', change.id, change.bids, change.asks)
                return [row | {'prev_change_id': change.before}]
            case 'instruments', Listed():
                return [
                    {
                        'timestamp': self.engine.clock.now(),
                        'state': 'started' if e.active else 'terminated',
                        'instrument_name': e.instrument.name,
                    }
                    for e in events
                ]
        return []
