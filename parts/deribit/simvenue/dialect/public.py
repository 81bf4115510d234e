"""
Deribit's API v2, as its clients see it: JSON-RPC 2.0 by WebSocket at /ws/api/v2, and by
HTTP at /api/v2/<method>.

Public calls and channels are here. Not there at all: trigger orders, block trades,
combos, mass quotes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal

import trio
from msgspec import Meta, Struct

from ..bucket import Bucket
from ..events import BookChange, Listed, NewQuote, Trades, merge
from ..instruments import Instrument, Product
from ..jsonrpc import JsonRpc
from ..market import Market
from ..methods import method
from ..refusals import Reason, Refusal
from ..server import Server
from ..session import Session, Subscription
from .messages import (
    COLUMNS,
    RESOLUTIONS,
    Row,
    bar_row,
    book_row,
    currency_of,
    currency_row,
    grouped,
    heartbeat,
    index_of,
    instrument_row,
    kind_of,
    listed_there,
    numbered,
    quote_row,
    summary_row,
    ticker_row,
    trade_rows,
    volumes,
)

URL = 'ws://{host}/ws/api/v2'
TRAITS: dict[str, Any] = {
    'trade_numbers': 'contiguous',
    'client_ids': 'never',
    'edit': 'in_place',
    'fills': 'reply',
    'positions': 'venue',
    'bar_seconds': (
        *(60, 180, 300, 600, 900, 1800, 3600, 7200),
        *(10800, 21600, 43200, 86400),
    ),
    'bars_per_call': 5000,
    'bars_back': None,
    'numbered_channels': ('book',),
    'deadline': True,
}
LIMITS: dict[str, tuple[float, str]] = {
    'request_burst': (1500, 'requests at once, per connection'),
    'request_rate': (1000, 'requests a second after that'),
    'order_burst': (250, 'requests of the matching engine at once'),
    'order_rate': (200, 'and a second'),
    'subscribe_burst': (10, 'calls of subscribe at once'),
    'subscribe_rate': (3.3, 'and a second'),
}
"""Options of the command line."""


def _product(kind: Any, base: str, quote: str, price: float, *steps: str) -> Product:
    tick_size, amount_step, contract_size, *above = map(Decimal, steps)
    inverse = quote == 'USD' or (kind == 'option' and quote == base)
    taker = {'option': '0.0003', 'spot': '0.0002'}.get(kind, '0.0005')
    return Product(
        kind=kind,
        base=base,
        quote=quote,
        settlement=base if inverse else quote,
        inverse=inverse,
        index='ETH/BTC' if quote == 'BTC' != base else base,
        price=price,
        tick_size=tick_size,
        tick_steps=((above[0], above[1]),) if above else (),
        amount_step=amount_step,
        min_amount=amount_step,
        contract_size=contract_size,
        maker_fee=Decimal('0.0003' if kind == 'option' else 0),
        taker_fee=Decimal(taker),
        leverage=1 if kind in ('spot', 'option') else 50,
        activity=0.02 if kind == 'option' else 1,
        strike_step={'BTC': 5000, 'ETH': 200}.get(base, 10),
    )


LISTING = [
    _product('perpetual', 'BTC', 'USD', 60_000, '0.5', '10', '10'),
    _product('perpetual', 'ETH', 'USD', 3_000, '0.05', '1', '1'),
    _product('perpetual', 'BTC', 'USDC', 60_000, '0.5', '0.0001', '0.0001'),
    _product('perpetual', 'ETH', 'USDC', 3_000, '0.05', '0.001', '0.001'),
    _product('perpetual', 'SOL', 'USDC', 150, '0.001', '0.1', '0.1'),
    _product('spot', 'BTC', 'USDC', 60_000, '1', '0.0001', '0.0001'),
    _product('spot', 'ETH', 'USDC', 3_000, '0.1', '0.001', '0.001'),
    _product('spot', 'BTC', 'USDT', 60_000, '1', '0.0001', '0.0001'),
    _product('spot', 'ETH', 'BTC', 0.05, '0.00001', '0.001', '0.001'),
    _product('future', 'BTC', 'USD', 60_000, '2.5', '10', '10'),
    _product('future', 'ETH', 'USD', 3_000, '0.05', '1', '1'),
    _product('option', 'BTC', 'BTC', 60_000, '0.0001', '0.1', '1', '0.005', '0.0005'),
    _product('option', 'ETH', 'ETH', 3_000, '0.0001', '1', '1', '0.005', '0.0005'),
    _product('option', 'BTC', 'USDC', 60_000, '5', '0.01', '0.01'),
]


def instrument_name(it: Instrument) -> str:
    pair = it.base if it.inverse else f'{it.base}_{it.quote}'
    if it.kind == 'spot':
        return pair
    if it.expiry is None:
        return f'{pair}-PERPETUAL'
    day = datetime.fromtimestamp(it.expiry / 1000, UTC)
    dated = f'{pair}-{day.day}{day:%b%y}'.upper()
    if it.strike is None or it.option_type is None:
        return dated
    strike = f'{it.strike:f}'.replace('.', 'd')
    return f'{dated}-{strike}-{it.option_type[0].upper()}'


def order_id(it: Instrument, number: int) -> str:
    return numbered(it, 104_819_327_000 + number)


_ERRORS: dict[Reason, tuple[int, str]] = {
    'amount_step': (10021, 'invalid_amount'),
    'amount_too_low': (10002, 'qty_too_low'),
    'bad_login': (13004, 'invalid_credentials'),
    'bad_params': (-32602, 'Invalid params'),
    'bad_request': (11050, 'bad_request'),
    'bad_signature': (13009, 'unauthorized'),
    'client_id_used': (13032, 'non_unique_order_label'),
    'cost_too_low': (10002, 'qty_too_low'),
    'forbidden': (13021, 'forbidden'),
    'internal': (11094, 'internal_server_error'),
    'login_needed': (10000, 'authorization_required'),
    'maintenance': (11051, 'system_maintenance'),
    'market_closed': (10012, 'book_closed'),
    'no_funds': (10009, 'not_enough_funds'),
    'no_liquidity': (11030, 'other_reject no_liquidity'),
    'not_open': (11044, 'not_open_order'),
    'order_not_found': (10004, 'order_not_found'),
    'price_step': (10043, 'price_wrong_tick'),
    'socket_login_needed': (13778, 'raw_subscriptions_not_available_for_unauthorized'),
    'socket_needed': (10030, 'must_be_websocket_request'),
    'stale_nonce': (13009, 'unauthorized'),
    'token_expired': (13009, 'unauthorized'),
    'too_big': (-32600, 'request entity too large'),
    'too_late': (13888, 'timed_out'),
    'too_many': (10028, 'too_many_requests'),
    'unknown_currency': (-32602, 'Invalid params'),
    'unknown_market': (13020, 'not_found'),
    'unknown_operation': (-32601, 'Method not found'),
    'unparsable': (-32700, 'Parse error'),
    'would_take': (11054, 'post_only_reject'),
}
_STATUS = {10000: 401, 13004: 401, 13009: 401, 10028: 429}
ORDERS = ('place', 'edit', 'cancel')
_INTERVALS = {'raw': 0.0, '100ms': 0.1, 'agg2': 1.0}
Kind = Literal['future', 'option', 'spot', 'future_combo', 'option_combo', 'any']
Count = Annotated[int, Meta(ge=1, le=1000)]
Sorting = Literal['asc', 'desc', 'default']
Resolution = Annotated[str, Meta(pattern=f'^({"|".join(RESOLUTIONS)})$')]
Positive = Annotated[float, Meta(gt=0)]


class State(Struct, eq=False):
    """
    Of a connection.
    """

    buckets: dict[str, Bucket]
    heartbeat: trio.CancelScope
    answered: bool = True
    """Whether public/test was called since the last test_request."""
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
    errors = _ERRORS
    statuses = _STATUS

    def __init__(self, server: Server, limits: dict[str, float]) -> None:
        super().__init__()
        self.server = server
        self.engine = server.engine
        self.limits = limits

    def is_socket(self, path: str) -> bool:
        return path.rstrip('/') == '/ws/api/v2'

    def state(self, session: Session) -> State:
        if session.data is None:
            now, it = trio.current_time(), self.limits
            buckets = {
                name: Bucket(it[f'{name}_burst'], it[f'{name}_rate'], now)
                for name in ('request', 'order', 'subscribe')
            }
            session.data = State(buckets, trio.CancelScope())
        state: State = session.data
        return state

    def admit(self, session: Session, name: str, params: Row) -> None:
        state = self.state(session)
        does = self.operations[name]
        bucket = state.buckets[
            'order' if does in ORDERS else does if does == 'subscribe' else 'request'
        ]
        if does != 'test' and not bucket.take(trio.current_time()):
            raise Refusal('too_many')

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

    def closed(self, session: Session) -> None:
        self.log_out(session)

    def log_out(self, session: Session) -> None:
        session.account = ''
        for channel, it in list(session.subscriptions.items()):
            if it.private:
                self.server.unsubscribe(session, channel)

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
        self.disable_heartbeat(session)
        scope = self.state(session).heartbeat = trio.CancelScope()
        # seconds of the venue's, as all that it knows
        half = interval / 2 / self.engine.clock.speed
        session.spawn(self._beat, session, half, scope)
        return 'ok'

    @method('public/disable_heartbeat', does='heartbeat')
    def disable_heartbeat(self, session: Session) -> str:
        self.state(session).heartbeat.cancel()
        return 'ok'

    async def _beat(
        self, session: Session, half: float, scope: trio.CancelScope
    ) -> None:
        state = self.state(session)
        with scope:
            state.answered = True
            while state.answered:
                await trio.sleep(half)
                session.send(heartbeat('heartbeat'))
                state.answered = False
                session.send(heartbeat('test_request'))
                await trio.sleep(half)
            session.close(4000)

    # markets

    @property
    def _numbered(self) -> bool:
        return bool(self.engine.traits['trade_numbers'] == 'contiguous')

    def _matching(
        self, currency: str | None, kind: Kind | None, expired: bool = False
    ) -> list[Instrument]:
        listed = self.engine.expired if expired else self.engine.instruments
        return [
            it
            for it in listed.values()
            if kind in (None, 'any', kind_of(it))
            and (currency in (None, 'any') or currency == currency_of(it))
        ]

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

    def _depth(self, market: Market, depth: int, group: int) -> Row:
        change_id, bids, asks = self.engine.book(market)
        return {
            'change_id': change_id,
            'bids': grouped(market, bids, depth, -group),
            'asks': grouped(market, asks, depth, group),
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
        amounts = [volumes(market, bar) for bar in candles.bars]
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
        first, last = it.start_seq, it.end_seq
        if it.start_timestamp is not None:
            first = max(first or 1, market.seq_at(it.start_timestamp))
        if it.end_timestamp is not None:
            last = min(last or 2**53, market.seq_at(it.end_timestamp + 1) - 1)
        start, stop = max(first or 1, 1), min((last or 2**53) + 1, market.next_seq)
        # from where one asks on, otherwise the newest
        onwards = first is not None and (it.sorting == 'asc' or last is None)
        more = stop - start > it.count
        if onwards:
            stop = min(stop, start + it.count)
        else:
            start = max(start, stop - it.count)
        rows = trade_rows(market, market.trades(start, stop), self._numbered)
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
                self.server.subscribe(subscription)
                session.after_reply.append(partial(self._begin, subscription))
                accepted.append(channel)
        return sorted(accepted)

    def subscription(self, session: Session, channel: str) -> Subscription | None:
        """
        What a channel stands for, if there is one of that name.
        """
        words = channel.split('.')
        interval = self.interval(session, words[-1])
        make = partial(Subscription, session, channel)
        match words:
            case ['quote', name] if name in self.engine.instruments:
                return make(NewQuote, ('quote',), (name,))
            case ['ticker', name, _] if name in self.engine.instruments:
                if interval is not None:
                    return make(NewQuote, ('ticker',), (name,), interval=interval)
            case ['trades', name, _] if name in self.engine.instruments:
                if interval is not None:
                    return make(Trades, ('trades',), (name,), interval=interval)
            case ['trades', kind, currency, _] if interval is not None:
                found = self._matching(currency, kind)  # type: ignore[arg-type]
                names = tuple(it.name for it in found)
                if names:
                    return make(Trades, ('trades',), names, interval=interval)
            case ['book', name, *rest] if name in self.engine.instruments:
                if interval is not None and (
                    not rest[:-1] or (len(rest) == 3 and rest[1] in ('1', '10', '20'))
                ):
                    return make(BookChange, ('book',), (name,), interval=interval)
            case ['chart', 'trades', name, resolution]:
                if name in self.engine.instruments and resolution in RESOLUTIONS:
                    return make(Trades, ('bars',), (name,), interval=0.1)
            case ['instrument', 'state', kind, currency]:
                wants = partial(listed_there, kind, currency)
                return make(Listed, ('instruments',), wants=wants)
        return None

    def interval(self, session: Session, word: str) -> float | None:
        """
        How long events are gathered, if that is the name of an interval.
        """
        if word == 'raw' and not session.account:
            raise Refusal('socket_login_needed')
        return _INTERVALS.get(word)

    def _begin(self, it: Subscription) -> None:
        """
        What a subscriber hears first.
        """
        if it.event is NewQuote:
            fields = self.tell(it, [NewQuote(self.engine.market(it.market))])
        elif it.event is BookChange:
            fields = [self._snapshot(it, self.engine.market(it.market))]
        else:
            fields = self.begin(it)
        for each in fields:
            it.session.send(each)

    def begin(self, it: Subscription) -> list[Row]:
        return []

    def _snapshot(self, it: Subscription, market: Market) -> Row:
        if it.channel.count('.') > 2:
            return self._told(it, self._grouped_book(it, market))
        change_id, *sides = self.engine.book(market)
        new = ([('new', *level) for level in levels] for levels in sides)
        return self._told(it, book_row(market, 'snapshot', change_id, *new))

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
                return [
                    [
                        row
                        for e in events
                        for row in trade_rows(e.market, e.trades, self._numbered)
                    ]
                ]
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
