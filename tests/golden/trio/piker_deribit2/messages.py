"""
What the venue sends, as types, and what its refusals stand for. Prices are in the quote
currency; amounts in the base currency, or in USD where a market is inverse; times in
epoch ms.

The venue may add fields, and states that are not listed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from ._errors import AuthError, OrderExpired, OrderRejected, ReplyLost, Throttled
from ._piker import BrokerError, Struct, SymbolNotFound
from ._symbology import mk_decimal

SECRETS = frozenset(
    {
        *('access_token', 'client_id', 'client_secret', 'refresh_token', 'signature'),
        *('api_key', 'authorization', 'nonce', 'otp', 'sid', 'tfa'),
        *('address', 'email', 'result.id', 'system_name', 'user_id', 'username'),
    }
)
"""
Fields whose values are for nobody's eyes; after a point, those in the object that the
first word names.
"""


class Pair(Struct, frozen=True):
    """
    A market ("instrument").

    No field is ever None, and none is a struct: a symbology cache writes the fields to
    a TOML file, and what it reads from that are plain tables.
    """

    instrument_name: str
    kind: str
    """spot, future, option, future_combo, option_combo; a perpetual is a future."""
    base_currency: str
    quote_currency: str
    tick_size: float
    min_trade_amount: float
    """And the step between amounts."""
    settlement_currency: str = ''
    settlement_period: str = ''
    instrument_type: str = ''
    """`reversed` for an inverse market, `linear` for others."""
    strike: float = 0
    option_type: str = ''
    tick_size_steps: list[dict[str, float]] = msgspec.field(default_factory=list)
    """Prices above `above_price` are multiples of `tick_size`."""

    ns_path: str = f'{__name__}:Pair'
    """Where a symbology cache that is read from a file finds this type."""

    @property
    def bs_mktid(self) -> str:
        return self.instrument_name

    @property
    def bs_fqme(self) -> str:
        """
        `btcusdc.spot`, `btcusd.perp`, `btcusd.future.27mar26`, or
        `btcbtc.option.27mar26-100000-c`, whose price is in BTC.
        """
        tokens = [self.base_currency + self.quote_currency, self.venue, self.expiry]
        return '.'.join(filter(None, tokens)).lower()

    @property
    def venue(self) -> str:
        return 'perp' if self.settlement_period == 'perpetual' else self.kind

    @property
    def expiry(self) -> str:
        """
        All that the venue's name says after the currencies: a date, an option's strike
        and type. One token, since hosts take an FQME of four.
        """
        _, _, rest = self.instrument_name.partition('-')
        return '' if self.venue == 'perp' else rest.lower()

    @property
    def order_currency(self) -> str:
        """
        By which the venue files its orders.
        """
        return self.settlement_currency or self.quote_currency

    def price_tick(self, price: float) -> float:
        """
        The step between prices around `price`.
        """
        steps = [it for it in self.tick_size_steps if it['above_price'] < price]
        highest = max(steps, key=lambda it: it['above_price'], default=None)
        return highest['tick_size'] if highest else self.tick_size

    @property
    def price_step(self) -> Decimal:
        """
        The least one.
        """
        return mk_decimal(self.tick_size)

    @property
    def size_step(self) -> Decimal:
        return mk_decimal(self.min_trade_amount)

    @property
    def min_size(self) -> Decimal:
        """
        Of an order.
        """
        return self.size_step

    @property
    def min_cost(self) -> Decimal:
        """
        What an order must be worth.
        """
        return Decimal(0)

    @property
    def atype(self) -> str:
        match self.venue:
            case 'spot':
                return 'crypto'
            case 'perp':
                return 'perpetual_future'
        return self.kind.removesuffix('_combo')

    @property
    def words(self) -> str:
        """
        What a search finds it by.
        """
        perpetual = 'perpetual swap' if self.venue == 'perp' else ''
        inverse = 'inverse' if self.instrument_type == 'reversed' else 'linear'
        names = [self.instrument_name, self.bs_fqme, self.kind, self.option_type]
        return ' '.join([*names, perpetual, inverse])


def mk_expired_names(name: str, pairs: Mapping[str, Pair]) -> list[str]:
    """
    What the venue may call a market that it does not list: by the names of those of the
    same kind, `btcusd.future.27mar26` is `BTC-27MAR26`.
    """
    match name.split('.'):
        case [_]:
            return [name.upper()]
        case [key, venue, expiry]:
            prefixes = {
                pair.instrument_name.partition('-')[0]
                for bs_fqme, pair in pairs.items()
                if bs_fqme.startswith(f'{key}.{venue}.')
            }
            # the point in a strike is a `d`, which alone is written small
            suffix = re.sub(r'(?<=\d)D(?=\d+-[CP]$)', 'd', expiry.upper())
            return [f'{prefix}-{suffix}' for prefix in sorted(prefixes)]
    return []


class Currency(Struct, frozen=True):
    currency: str
    decimals: int = 8


class Quote(Struct, frozen=True):
    """
    The best bid and offer, from the channel `quote.<instrument>`. A side that is empty
    has no price, or one of 0.
    """

    instrument_name: str
    timestamp: int
    best_bid_price: float | None = None
    best_bid_amount: float | None = None
    best_ask_price: float | None = None
    best_ask_amount: float | None = None


class Ticker(Quote, frozen=True):
    mark_price: float | None = None
    last_price: float | None = None

    @property
    def last(self) -> float:
        """
        The price of the last trade or, where nobody has traded yet, of the mark.
        """
        return self.last_price or self.mark_price or 0.0


class Trade(Struct, frozen=True):
    instrument_name: str
    trade_id: str
    """Unique among the trades in its currency."""
    timestamp: int
    price: float
    amount: float
    direction: str
    """Of the taker: buy or sell."""
    number: int | None = msgspec.field(default=None, name='trade_seq')
    """Counts the trades of the market."""


class TradesPage(Struct, frozen=True):
    trades: list[Trade]
    has_more: bool = False


class Order(Struct, frozen=True):
    order_id: str
    instrument_name: str
    direction: str
    """buy or sell."""
    order_state: str
    """open, filled, rejected, cancelled, untriggered or triggered."""
    amount: float
    """In total, filled or not."""
    price: float | str | None = None
    """`'market_price'` for one that has none."""
    filled_amount: float = 0
    average_price: float | None = None
    """Of what is filled."""
    label: str = ''
    """Given by whoever placed it."""
    creation_timestamp: int = 0
    last_update_timestamp: int = 0
    cancel_reason: str = ''


class UserTrade(Struct, frozen=True):
    """
    One of the account's own trades.
    """

    trade_id: str
    """Of the `Trade` in the market."""
    order_id: str
    instrument_name: str
    direction: str
    price: float
    amount: float
    timestamp: int
    trade_seq: int = 0
    """Counts the trades in the market."""
    fee: float = 0
    fee_currency: str = ''
    label: str = ''
    liquidity: str = ''
    """M of the maker, T of the taker."""

    @property
    def key(self) -> str:
        """
        No two share it: of a trade with oneself, either side is one.
        """
        return f'{self.trade_id}/{self.order_id}'


class UserTradesPage(Struct, frozen=True):
    trades: list[UserTrade]
    has_more: bool = False


class OrderReply(Struct, frozen=True):
    """
    An order as the venue took it, and the trades that came of it at once.
    """

    order: Order
    trades: tuple[UserTrade, ...] = ()


class Position(Struct, frozen=True):
    instrument_name: str
    size: float
    direction: str
    """buy, sell, or zero where there is none."""
    average_price: float | None = None

    @property
    def signed_size(self) -> float:
        """
        Negative when short.
        """
        return -abs(self.size) if self.direction == 'sell' else abs(self.size)


class Changes(Struct, frozen=True):
    """
    What happened to the account in a market, from the channel `user.changes...`.
    """

    instrument_name: str
    trades: tuple[UserTrade, ...] = ()
    orders: tuple[Order, ...] = ()
    positions: tuple[Position, ...] = ()


class AccountSummary(Struct, frozen=True):
    limits: dict[str, Any] = msgspec.field(default_factory=dict)


class AccountSummaries(Struct, frozen=True):
    summaries: list[AccountSummary]

    @property
    def order_limits(self) -> dict[str, float] | None:
        """
        How many of them may be placed at once, `burst`, and a second, `rate`.
        """
        engines = (it.limits.get('matching_engine', {}) for it in self.summaries)
        totals = (engine.get('trading', {}).get('total') for engine in engines)
        return next(filter(None, totals), None)


class Login(Struct, frozen=True):
    expires_in: float
    """In s."""


Message = list[Trade] | Quote | Changes

message_types: dict[str, Any] = {
    'trades': list[Trade],
    'quote': Quote,
    'user.changes': Changes,
}
"""What comes from a channel, by what its name begins with."""


class Notification(Struct, frozen=True):
    """
    The params of what comes unasked: a message from a channel, or a heartbeat.
    """

    channel: str = ''
    data: msgspec.Raw = msgspec.Raw()
    type: str = ''


# Too many requests, "retry", settlement in progress, queue full, too many at once,
# maintenance, unavailable; and two that say for how long.
_not_now = {10028, 10040, 10041, 10047, 10066, 11051, 13028, 13503, 12998, 13780}
# Login required, invalid credentials, unauthorized (as with a login that has run out),
# forbidden, channels that need a login.
_not_authorized = {10000, 13004, 13009, 13021, 13778}
# Invalid or unsupported instrument, not found.
_no_instrument = {10020, 13020}
_internal_server_error = 11094
_timed_out = 13888
"""`valid_until` has passed."""
_order_methods = {
    f'private/{name}' for name in ('buy', 'sell', 'edit', 'cancel', 'get_order_state')
}


def mk_error(method: str, code: int, message: str, data: Any) -> BrokerError:
    """
    What a refusal of `method` stands for.
    """
    details = data if isinstance(data, dict) else {}
    words = [str(details[it]) for it in ('param', 'reason') if it in details]
    text = f'{": ".join([method, message, *words])} ({code})'
    if code in _not_now:
        wait = details.get('wait')
        return Throttled(text, wait if isinstance(wait, int | float) else None)
    if code in _not_authorized:
        return AuthError(text)
    if code == _internal_server_error:
        return ReplyLost(text)  # who knows what it has carried out
    if code in _no_instrument or details.get('param') == 'instrument_name':
        return SymbolNotFound(text)
    if code == _timed_out:
        return OrderExpired(text, code)
    if method in _order_methods:
        return OrderRejected(text, code)
    return BrokerError(text)
