"""
What the venue sends, as types, and what its refusals stand for. By HTTP most numbers
are texts, and on sockets they are numbers. Prices are in the quote currency, quantities
in the base currency.

The venue may add fields, and states that are not listed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

#{% if trading %}
from ._errors import (
    AuthError,
    ConnectionLost,
    OrderExpired,
    OrderRejected,
    ReplyLost,
    Throttled,
)
#{% else %}
from ._errors import AuthError, ConnectionLost, ReplyLost, Throttled
#{% endif %}
from ._market_data import Bars
from ._piker import BrokerError, Struct, SymbolNotFound
#{% if trading %}
from .account import Execution, Executions
#{% endif %}

SECRETS = frozenset(
    {
        *('api-key', 'api-sign', 'apikey', 'authorization', 'nonce', 'otp', 'token'),
        *('address', 'email', 'iiban', 'sender_sub_id', 'user_id', 'username'),
    }
)
"""Fields and headers whose values are for nobody's eyes."""

_names = {'XBT': 'BTC', 'XDG': 'DOGE'}
"""What sockets call an asset, where requests call it otherwise."""


def asset_name(altname: str) -> str:
    """
    Its name on sockets.
    """
    return _names.get(altname, altname)


def mk_wsname(symbol: str) -> str:
    """
    What requests call a market, as `XBT/USD`.
    """
    old = {name: it for it, name in _names.items()}
    return '/'.join(old.get(name, name) for name in symbol.split('/'))


def mk_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


class AssetInfo(Struct, frozen=True):
    altname: str
    decimals: int = 8


class Pair(Struct, frozen=True):
    """
    A market.

    No field is ever None, and none is a struct: a symbology cache writes the fields to
    a TOML file, and what it reads from that are plain tables.
    """

    altname: str
    """By which orders name it."""
    base: str
    """The id of the asset: `XXBT`."""
    quote: str
    lot_decimals: int
    pair_decimals: int
    wsname: str = ''
    """The names of its assets, with a slash between them: `XBT/USD`."""
    tick_size: str = ''
    ordermin: str = ''
    """The least quantity of an order."""
    costmin: str = ''
    """The least that an order may be worth."""
    status: str = 'online'

    pair_id: str = ''
    """`XXBTZUSD`: an old one has its own, another its `altname`."""

    ns_path: str = f'{__name__}:Pair'
    """Where a symbology cache that is read from a file finds this type."""

    @property
    def symbol(self) -> str:
        """
        Its name on sockets, `BTC/USD`.
        """
        return f'{self.base_currency}/{self.quote_currency}'

    @property
    def bs_mktid(self) -> str:
        return self.symbol

    @property
    def base_currency(self) -> str:
        return asset_name(self.wsname.partition('/')[0])

    @property
    def quote_currency(self) -> str:
        return asset_name(self.wsname.partition('/')[2])

    @property
    def bs_fqme(self) -> str:
        """
        `btcusd.spot`.
        """
        return f'{self.base_currency}{self.quote_currency}.{self.venue}'.lower()

    @property
    def venue(self) -> str:
        return 'spot'

    @property
    def expiry(self) -> str:
        return ''

    @property
    def atype(self) -> str:
        return 'crypto'

    @property
    def price_step(self) -> Decimal:
        return Decimal(self.tick_size or Decimal(1).scaleb(-self.pair_decimals))

    @property
    def size_step(self) -> Decimal:
        return Decimal(1).scaleb(-self.lot_decimals)

    @property
    def min_size(self) -> Decimal:
        """
        Of an order.
        """
        return Decimal(self.ordermin or self.size_step)

    @property
    def min_cost(self) -> Decimal:
        """
        What an order must be worth.
        """
        return Decimal(self.costmin or 0)

    @property
    def names(self) -> set[str]:
        """
        All that it goes by.
        """
        return {self.symbol, self.pair_id, self.altname, self.wsname}

    @property
    def words(self) -> str:
        """
        What a search finds it by.
        """
        return ' '.join([*sorted(self.names), self.bs_fqme])


class Trade(
    Struct,
    frozen=True,
    rename={
        'instrument_name': 'symbol',
        'amount': 'qty',
        'number': 'trade_id',
        'time': 'timestamp',
    },
):
    """
    From the channel `trade.<symbol>`.
    """

    instrument_name: str
    side: str
    """Of the taker: buy or sell."""
    price: float
    amount: float
    number: int
    """Counts the trades of the market."""
    time: datetime

    @property
    def trade_id(self) -> str:
        return str(self.number)

    @property
    def timestamp(self) -> int:
        """
        Epoch ms.
        """
        return mk_ms(self.time)


class Level(Struct, frozen=True):
    """
    The whole quantity that is on offer at a price; none any more if it is 0.
    """

    # with all the digits that were sent, on which the checksum is
    price: Decimal
    qty: Decimal

    @property
    def digits(self) -> str:
        return ''.join(
            f'{it:f}'.replace('.', '').lstrip('0') for it in (self.price, self.qty)
        )


class BookNews(
    Struct,
    frozen=True,
    rename={'instrument_name': 'symbol', 'time': 'timestamp'},
):
    """
    From the channel `book.<symbol>`.
    """

    instrument_name: str
    checksum: int
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    time: datetime | None = None
    """Not every book that is told whole bears one."""


class Quote(Struct, frozen=True):
    """
    The best bid and offer.
    """

    instrument_name: str
    time: datetime
    best_bid_price: float | None = None
    best_bid_amount: float | None = None
    best_ask_price: float | None = None
    best_ask_amount: float | None = None
    last: float = 0.0
    """The price of the last trade, if that is known."""

    @property
    def timestamp(self) -> int:
        """
        Epoch ms.
        """
        return mk_ms(self.time)


TradeRow = tuple[str, str, float, str, str, str, int]
"""Of a trade by HTTP: price, quantity, epoch s, b or s, l or m, a note, its number."""

BarRow = tuple[int, str, str, str, str, str, str, int]
"""Epoch s, open, high, low, close, average price, volume, and how many trades."""


def mk_trade(instrument_name: str, row: TradeRow) -> Trade:
    price, amount, time, side, _, _, number = row
    return Trade(
        instrument_name,
        'buy' if side == 'b' else 'sell',
        float(price),
        float(amount),
        number,
        datetime.fromtimestamp(time, UTC),
    )


class TickerInfo(Struct, frozen=True):
    """
    A ticker by HTTP: prices come first, quantities last.
    """

    a: list[str]
    b: list[str]
    c: list[str]
    """Of the last trade."""


def mk_bars(rows: Iterable[BarRow]) -> Bars:
    columns = list(zip(*rows, strict=True)) or [()] * 8
    times, *prices = (columns[at] for at in (0, 1, 2, 3, 4, 6))
    return Bars([1000 * it for it in times], *([*map(float, it)] for it in prices))


class ServerTime(Struct, frozen=True):
    unixtime: int


class Pong(Struct, frozen=True):
    time_in: datetime


class Ack(Struct, frozen=True):
    """
    Of a subscription.
    """

    channel: str
    maxratecount: float | None = None
    """How much the changes of orders in a market may cost, see `api.POOLS`."""


#{% if trading %}
Message = list[Trade] | Quote | Executions

message_types: dict[str, Any] = {
    'trade': list[Trade],
    'book': list[BookNews],
    'executions': list[Execution],
}
"""What comes from a channel, by the first word of its name."""
#{% else %}
Message = list[Trade] | Quote

message_types: dict[str, Any] = {'trade': list[Trade], 'book': list[BookNews]}
"""What comes from a channel, by the first word of its name."""
#{% endif %}


class SocketMessage(Struct, frozen=True):
    """
    Anything that comes over a socket: a reply with the `req_id` of its request, or what
    a channel says.
    """

    method: str = ''
    req_id: int | None = None
    error: str = ''
    result: msgspec.Raw = msgspec.Raw()
    time_in: datetime | None = None
    """When the venue got the request."""
    channel: str = ''
    type: str = ''
    data: msgspec.Raw = msgspec.Raw()
    sequence: int = 0


class HttpReply(Struct, frozen=True):
    error: tuple[str, ...] = ()
    """And warnings, which begin with a W."""
    result: msgspec.Raw = msgspec.Raw()


# Of what an error begins with, what it stands for.
_not_now = (
    'EAPI:Rate limit exceeded',
    'EAPI:Invalid nonce',  # another request has overtaken this one
    'EGeneral:Too many requests',
    'EOrder:Domain rate limit exceeded',
    'EOrder:Rate limit exceeded',
    'EService:Busy',
    'Exceeded msg rate',
)
_not_authorized = (
    'EAPI:Invalid key',
    'EAPI:Invalid signature',
    'EGeneral:Permission denied',
    'EGeneral:Temporary lockout',
    'ESession:Invalid session',
)
_no_market = (
    'Currency pair not supported',
    'EGeneral:Invalid arguments:pair',
    'EGeneral:Invalid arguments:symbol',
    'EQuery:Unknown asset',
)
_internal_error = 'EGeneral:Internal error'
_unavailable = 'EService:Unavailable'
_until = re.compile(r'EService: ?Throttled: ?(\d+)')
#{% if trading %}
_timed_out = 'EService:Deadline elapsed'
_order_methods = {'add_order', 'amend_order', 'cancel_order', 'edit_order'}
#{% endif %}


def mk_error(method: str, text: str, now: float) -> BrokerError:
    """
    What a refusal of `method` stands for, at the epoch second `now`.
    """
    said = f'{method}: {text}'
    if until := _until.match(text):
        return Throttled(said, float(until[1]) - now)
    if text.startswith(_unavailable):
        return ConnectionLost(said)  # the next one begins when the venue is there
    if text.startswith(_not_now):
        return Throttled(said)
    if text.startswith(_not_authorized):
        return AuthError(said)
    if text.startswith(_internal_error):
        return ReplyLost(said)  # who knows what it has carried out
    if text.startswith(_no_market):
        return SymbolNotFound(said)
#{% if trading %}
    if text.startswith(_timed_out):
        return OrderExpired(said, text)
    if method in _order_methods or text.startswith('EOrder:'):
        return OrderRejected(said, text)
#{% endif %}
    return BrokerError(said)
