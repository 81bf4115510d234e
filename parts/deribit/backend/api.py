"""
The venue's API: Deribit's, version 2 (https://docs.deribit.com).

What the venue is asked, how, and what it refuses. The connection, retries and rate
limits are those of `_session.py`.
"""

from __future__ import annotations

import math
#{% if trading %}
import secrets
#{% endif %}
import time
#{% if trading %}
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
#{% else %}
from collections.abc import Mapping
#{% endif %}
from typing import Literal

import msgspec

from . import messages
from ._channels import mk_decoder
from ._clock import Clock
#{% if trading %}
from ._config import Credentials, Limits, Traits, get_limits, get_traits
#{% else %}
from ._config import Limits, Traits, get_limits, get_traits
#{% endif %}
from ._connection import Connection, open_connection
from ._errors import Unexpected
from ._pacer import Caller, Pool, get_pools
#{% if trading %}
from ._trades import merge_pages
#{% endif %}
from .markets import Markets
#{% if trading %}
from .messages import Message, Order, OrderReply, Position, UserTrade
#{% else %}
from .messages import Message
#{% endif %}

URLS = ('wss://www.deribit.com/ws/api/v2',)
TEST_URLS = ('wss://test.deribit.com/ws/api/v2',)
"""Where no money is at stake."""

TRAITS = Traits(
    trade_numbers='contiguous',  # `trade_seq`
    client_ids='never',  # `label`
    edit='in_place',
    fills='reply',
    positions='venue',
    bar_seconds=tuple(
        60 * minutes for minutes in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)
    ),
    bars_per_call=5000,
    bars_back=None,
    numbered_channels=('book',),
    deadline=True,  # `valid_until`
)

# not `.raw`, for which a client has to log in
TRADES, QUOTES = 'trades.{}.100ms', 'quote.{}'
"""The channels of a market."""

DEFAULT_VENUES: tuple[str, ...] = ('spot', 'perp')
"""Where to look for a market whose name says none."""

HEARTBEAT: int = 10  # seconds between them; the venue takes no fewer
LIMITS = Limits(silence=2.5 * HEARTBEAT)

# See "Rate Limits" in the venue's documentation. Trading at the lowest tier, unless the
# account's own limits say otherwise.
POOLS: dict[str, Pool] = {
    'requests': Pool(size=50_000, refill=10_000),
    'subscriptions': Pool(size=30_000, refill=10_000),
    'orders': Pool(size=20, refill=5),
}

_channels_per_call: int = 500  # a message to the venue is of 32 kB at most
#{% if trading %}
_trades_per_page: int = 1000
_day_ms: int = 24 * 60 * 60 * 1000
CURRENCIES = ('BTC', 'ETH', 'USDC', 'USDT', 'EURR')  # in which markets settle
#{% endif %}

_decode_notification = msgspec.json.Decoder(messages.Notification).decode
_decode = mk_decoder(messages.message_types)


class Client(Markets):
    """
    The venue, by its methods.

    They raise `BrokerError` where the venue refuses, and `SymbolNotFound` for an
    instrument that it does not have. A request that got lost is made again, and a rate
    limit waited for.
    """

    open_connection = staticmethod(open_connection)
    """Ours; or one of the vendor's own client, see `_venue.OpenConnection`."""

    def __init__(self) -> None:
        self.traits = get_traits(TRAITS)
        self.limits = get_limits(LIMITS)
        self.pools = get_pools(POOLS)
        self.mk_error = messages.mk_error
        self.secrets = messages.SECRETS
#{% if trading %}
        self.credentials: Credentials | None = None
        """With which to log in; without, private methods raise `AuthError`."""
#{% endif %}
        self.clock = Clock()

#{% if trading %}
    # Orders: never made twice on their own. After `ConnectionLost` the venue may or may
    # not have carried them out; after any other error it has not.

    async def place(
        self,
        direction: Literal['buy', 'sell'],
        instrument_name: str,
        amount: float,
        *,
        price: float | None = None,
        label: str = '',
        valid_for: float = math.inf,
    ) -> OrderReply:
        """
        Place an order, at the market where it has no `price`. The venue takes a `label`
        as often as it is given. It does not carry the order out later than `valid_for`
        seconds after it was sent.
        """
        return await self.session.request_once(
            f'private/{direction}',
            OrderReply,
            instrument_name=instrument_name,
            amount=amount,
            type='market' if price is None else 'limit',
            price=price,
            label=label,
            valid_until=self._valid_until(valid_for),
        )

    async def edit(
        self,
        order_id: str,
        amount: float,
        price: float,
        *,
        valid_for: float = math.inf,
    ) -> OrderReply:
        """
        Give an open order a new price and a new amount, in total.
        """
        return await self.session.request_once(
            'private/edit',
            OrderReply,
            order_id=order_id,
            amount=amount,
            price=price,
            valid_until=self._valid_until(valid_for),
        )

    def _valid_until(self, seconds: float) -> Callable[[], int] | None:
        # from when it is sent, which may be later
        if seconds == math.inf:
            return None
        return lambda: self.clock.now_ms() + int(1000 * seconds)

    async def cancel(self, order_id: str) -> Order:
        return await self.session.request_once(
            'private/cancel', Order, order_id=order_id
        )

    async def get_open_orders(self) -> list[Order]:
        return await self.session.request('private/get_open_orders', list[Order])

    async def get_order_state(self, order_id: str) -> Order:
        """
        An order, open or not. Raises `OrderRejected` where there is none.
        """
        return await self.session.request(
            'private/get_order_state', Order, order_id=order_id
        )

    async def get_order_state_by_label(self, currency: str, label: str) -> list[Order]:
        """
        The recent orders of that label, by the currency in which their markets settle.
        """
        return await self.session.request(
            'private/get_order_state_by_label',
            list[Order],
            currency=currency,
            label=label,
        )

    async def get_user_trades(self, start_ms: int) -> AsyncIterator[list[UserTrade]]:
        """
        The account's trades from `start_ms` on, a page at a time, ascending by time.
        """
        # the venue moves what is a day old to another store, which lacks the newest
        day_ago = self.clock.now_ms() - _day_ms
        known: set[str] = set()
        for historical in (True, False) if start_ms < day_ago else (False,):
            get_pages = partial(self._get_user_trades, historical)
            start = start_ms if historical else max(start_ms, day_ago)
            async for page in merge_pages(get_pages, start):
                if trades := [it for it in page if it.key not in known]:
                    yield trades
                known |= {it.key for it in page if it.timestamp >= day_ago}

    async def _get_user_trades(
        self, historical: bool, start_ms: int
    ) -> list[tuple[list[UserTrade], bool]]:
        """
        A page of the trades in each currency, and whether there are more.
        """
        pages = [
            await self.session.request(
                'private/get_user_trades_by_currency_and_time',
                messages.UserTradesPage,
                currency=currency,
                start_timestamp=start_ms,
                end_timestamp=self.clock.now_ms() + _day_ms,
                count=_trades_per_page,
                sorting='asc',
                historical=historical,
            )
            for currency in CURRENCIES
        ]
        return [(page.trades, page.has_more) for page in pages]

    async def get_positions(self) -> list[Position]:
        return await self.session.request(
            'private/get_positions', list[Position], currency='any'
        )

#{% endif %}
    # What the session asks of it: see `_venue.Venue`.

    async def greet(self, caller: Caller) -> float:
        await caller.call('public/set_heartbeat', str, interval=HEARTBEAT)
        asked = time.time()
        told_ms = await caller.call('public/get_time', int)
        self.clock.set(told_ms / 1000, asked)
#{% if trading %}
        if self.credentials:
            now, nonce = self.clock.now_ms(), secrets.token_hex(8)
            text = f'{now}\n{nonce}\n'
            login = await caller.call(
                'public/auth',
                messages.Login,
                grant_type='client_signature',
                client_id=self.credentials.key,
                timestamp=now,
                nonce=nonce,
                data='',
                signature=self.credentials.sign(text.encode(), 'sha256').hex(),
            )
            summary = await caller.call(
                'private/get_account_summaries', messages.AccountSummaries
            )
            if limits := summary.order_limits:
                self.pools['orders'] = Pool(limits['burst'], limits['rate'])
            return login.expires_in
#{% endif %}
        return math.inf

    async def subscribe(self, caller: Caller, channels: list[str]) -> list[str]:
        return await self._for_channels(caller, 'subscribe', channels)

    async def unsubscribe(self, caller: Caller, channels: list[str]) -> list[str]:
        return await self._for_channels(caller, 'unsubscribe', channels)

    async def _for_channels(
        self,
        caller: Caller,
        verb: Literal['subscribe', 'unsubscribe'],
        channels: list[str],
    ) -> list[str]:
        done: list[str] = []
        for is_private in (False, True):
            names = sorted(
                {it for it in channels if it.startswith('user.') == is_private}
            )
            for at in range(0, len(names), _channels_per_call):
                done += await caller.call(
                    f'{"private" if is_private else "public"}/{verb}',
                    list[str],
                    channels=names[at : at + _channels_per_call],
                )
        return done

    def on_notification(
        self, connection: Connection, name: str, content: msgspec.Raw
    ) -> tuple[str, Message] | None:
        if name not in ('heartbeat', 'subscription'):
            raise Unexpected(name)
        notification = _decode_notification(content)
        if name == 'heartbeat':
            if notification.type == 'test_request':
                connection.post('public/test')
            return None
        channel = notification.channel
        return channel, _decode(channel, notification.data)

    def cost(self, method: str, params: Mapping[str, object]) -> tuple[str, float]:
        match method:
            case 'private/buy' | 'private/sell' | 'private/edit' | 'private/cancel':
                return 'orders', 1
            case _ if method.endswith('subscribe'):
                return 'subscriptions', 3000
        return 'requests', 500
