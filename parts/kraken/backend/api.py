"""
The venue's API: Kraken's for spot, by HTTP and WebSocket version 2
(https://docs.kraken.com/api).

What the venue is asked, how, and what it refuses. The connection, retries and rate
limits are those of `_session.py`.
"""

from __future__ import annotations

import math
import time
#{% if trading %}
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Literal

import msgspec

from . import account, messages
#{% else %}
from collections.abc import Mapping
from typing import Literal

from . import messages
#{% endif %}
from ._channels import mk_decoder
from ._config import Limits, Traits, get_limits, get_traits
from ._connection import Connection, open_connection
#{% if trading %}
from ._errors import AuthError, ConnectionLost, Throttled, Unexpected
#{% else %}
from ._errors import ConnectionLost, Throttled, Unexpected
#{% endif %}
from ._pacer import Caller, Pool, get_pools
from ._piker import BrokerError, open_nursery
#{% if trading %}
from .account import Balance, Executions, Order, UserTrade
#{% endif %}
from .book import DEPTH, Books
from .markets import Markets
from .messages import Message, SocketMessage
#{% if trading %}
from .pace import Change, cost, mk_orders_pool
#{% else %}
from .pace import cost
#{% endif %}

URLS = ('https://api.kraken.com',)
TEST_URLS: tuple[str, ...] = ()
"""Where no money is at stake."""

TRAITS = Traits(
    trade_numbers='contiguous',  # `trade_id`
    client_ids='open',  # `cl_ord_id`
    edit='in_place',
    fills='stream',
    positions='fills',
    bar_seconds=tuple(
        60 * minutes for minutes in (1, 5, 15, 30, 60, 240, 1440, 10_080, 21_600)
    ),
    bars_per_call=720,
    bars_back=720,
#{% if trading %}
    numbered_channels=('executions', 'balances'),
#{% else %}
    numbered_channels=(),
#{% endif %}
    deadline=True,  # `deadline`
)

TRADES, QUOTES = 'trade.{}', 'book.{}'
"""The channels of a market."""
#{% if trading %}
EXECUTIONS = 'executions'
"""The channel of what becomes of the account's orders."""
#{% endif %}

DEFAULT_VENUES: tuple[str, ...] = ('spot',)
"""Where to look for a market whose name says none."""

# to ask for what became of orders is dear, and that something is missing is noticed
#{% if trading %}
LIMITS = Limits(silence=10, probe=20)
#{% else %}
LIMITS = Limits(silence=10)
#{% endif %}

# Of everybody, see `_pacer.get_pools()`, and of orders for each market.
POOLS: dict[str, Pool] = {
    'requests': Pool(size=30, refill=1),
    'messages': Pool(size=100, refill=50),
#{% if trading %}
    'account': Pool(size=15, refill=0.33),
    'orders': Pool(size=60, refill=1),
#{% endif %}
}

#{% if trading %}
_trades_per_page: int = 50
_max_changes: int = 4096
#{% endif %}
_params: dict[str, dict[str, object]] = {
    'book': {'depth': DEPTH},
    'trade': {'snapshot': False},
}
"""Of subscriptions, beside the symbol."""

_nothing = ('heartbeat', 'status')
"""Channels that say nothing of interest."""

_decode = mk_decoder(messages.message_types)


class Client(Markets):
    """
    The venue, by its methods. Those that name a market take its symbol, as `BTC/USD`.

    They raise `BrokerError` where the venue refuses, and `SymbolNotFound` for a market
    that it does not have. A request that got lost is made again, and a rate limit
    waited for.
    """

    open_connection = staticmethod(open_connection)
    """Ours; or one of the vendor's own client, see `_venue.OpenConnection`."""

    def __init__(self) -> None:
        super().__init__()
        self.traits = get_traits(TRAITS)
        self.limits = get_limits(LIMITS)
        self.pools = get_pools(POOLS)
        self._books = Books(self.clock)
#{% if trading %}
        self._changes: dict[str, Change] = {}
        """Of the orders that may be changed again, by their ids."""
#{% endif %}

#{% if trading %}
    # Orders: never made twice on their own. After `ConnectionLost` the venue may or may
    # not have carried them out; after any other error it has not. Replies say no more
    # than that the venue has it: what becomes of an order is told by `EXECUTIONS`.

    async def place(
        self,
        side: str,
        symbol: str,
        qty: float,
        *,
        price: float | None = None,
        cl_ord_id: str = '',
        valid_for: float = math.inf,
    ) -> str:
        """
        Place an order, at the market where it has no `price`, and return its id. No two
        open orders of an account have the same `cl_ord_id`. The venue does not carry
        the order out later than `valid_for` seconds after it was sent.
        """
        placed = await self.session.request_once(
            'add_order',
            account.Placed,
            order_type='market' if price is None else 'limit',
            side=side,
            symbol=symbol,
            order_qty=_number(qty),
            limit_price=None if price is None else _number(price),
            cl_ord_id=cl_ord_id or None,
            deadline=self._deadline(valid_for),
        )
        self.note_change(placed.order_id, symbol, self.clock.now())
        return placed.order_id

    async def amend(
        self,
        order_id: str,
        qty: float,
        price: float,
        *,
        valid_for: float = math.inf,
    ) -> None:
        """
        Give an open order a new price and a new quantity, in total.
        """
        await self.session.request_once(
            'amend_order',
            account.Amended,
            order_id=order_id,
            order_qty=_number(qty),
            limit_price=_number(price),
            deadline=self._deadline(valid_for),
        )

    async def replace(
        self,
        order_id: str,
        symbol: str,
        qty: float,
        price: float,
        *,
        valid_for: float = math.inf,
    ) -> str:
        """
        Put another order in the place of an open one, and return its id.
        """
        placed = await self.session.request_once(
            'edit_order',
            account.Placed,
            order_id=order_id,
            symbol=symbol,
            order_qty=_number(qty),
            limit_price=_number(price),
            deadline=self._deadline(valid_for),
        )
        self.note_change(placed.order_id, symbol, self.clock.now())
        return placed.order_id

    def note_change(self, order_id: str, symbol: str, when: float) -> None:
        """
        An open order was placed or changed at that epoch second: how long ago that is
        makes a difference to what its next change costs.
        """
        self._changes.pop(order_id, None)
        self._changes[order_id] = Change(symbol, when)
        if len(self._changes) > _max_changes:
            del self._changes[next(iter(self._changes))]

    def _deadline(self, seconds: float) -> Callable[[], str] | None:
        # from when it is sent, which may be later
        if seconds == math.inf:
            return None
        return lambda: datetime.fromtimestamp(
            self.clock.now() + seconds, UTC
        ).isoformat()

    async def cancel(self, order_id: str) -> None:
        await self.session.request_once(
            'cancel_order', account.Ended, order_id=[order_id]
        )
        self._changes.pop(order_id, None)

    async def get_open_orders(self, cl_ord_id: str | None = None) -> dict[str, Order]:
        """
        The open orders by their ids; with a `cl_ord_id`, those that have it.
        """
        found = await self.session.request(
            'private/OpenOrders', account.OpenOrders, cl_ord_id=cl_ord_id
        )
        return found.open

    async def get_closed_orders(self, cl_ord_id: str) -> dict[str, Order]:
        found = await self.session.request(
            'private/ClosedOrders', account.ClosedOrders, cl_ord_id=cl_ord_id
        )
        return found.closed

    async def get_order(self, order_id: str) -> Order:
        """
        An order, open or not. Raises `OrderRejected` where there is none.
        """
        found = await self.session.request(
            'private/QueryOrders', dict[str, Order], txid=order_id
        )
        return found[order_id]

    async def get_user_trades(self, start: float) -> AsyncIterator[list[UserTrade]]:
        """
        The account's trades from the epoch second `start` on, a page at a time,
        ascending by time.
        """
        # the venue has the newest first; what is traded meanwhile moves no page
        get_page = partial(
            self.session.request,
            'private/TradesHistory',
            account.TradesHistory,
            start=math.floor(start) - 1,
            end=math.ceil(self.clock.now()),
        )
        newest = await get_page(ofs=0)
        for page in range((newest.count - 1) // _trades_per_page, 0, -1):
            yield self._mk_user_trades(await get_page(ofs=page * _trades_per_page))
        yield self._mk_user_trades(newest)

    def _mk_user_trades(self, page: account.TradesHistory) -> list[UserTrade]:
        trades = [
            UserTrade(
                exec_id,
                it.ordertxid,
                self.symbol_of(it.pair),
                it.type,
                float(it.price),
                float(it.vol),
                it.time,
                float(it.fee),
                it.cl_ord_id or '',
            )
            for exec_id, it in page.trades.items()
        ]
        return sorted(trades, key=lambda it: it.time)

    async def get_balances(self) -> dict[str, Balance]:
        """
        By the ids of assets.
        """
        return await self.session.request('private/BalanceEx', dict[str, Balance])

#{% endif %}
    # What the session asks of it: see `_venue.Venue`.

    async def greet(self, caller: Caller) -> float:
        await caller.call('public/Time', messages.ServerTime)
        asked = time.time()
        pong = await caller.call('ping', messages.Pong)
        self.clock.set(pong.time_in.timestamp(), asked)
#{% if trading %}
        if self.credentials:
            # of use to the connection that it is fetched for, and to no other
            found = await caller.call('private/GetWebSocketsToken', account.Token)
            self.token = found.token
#{% endif %}
        return math.inf

    async def subscribe(self, caller: Caller, channels: list[str]) -> list[str]:
        return await self._for_channels(caller, 'subscribe', channels)

    async def unsubscribe(self, caller: Caller, channels: list[str]) -> list[str]:
        self._books.forget(channels)
        return await self._for_channels(caller, 'unsubscribe', channels)

    async def _for_channels(
        self,
        caller: Caller,
        verb: Literal['subscribe', 'unsubscribe'],
        channels: list[str],
    ) -> list[str]:
        done: list[str] = []

        async def ask(channel: str) -> None:
            kind, _, symbol = channel.partition('.')
            params: dict[str, object] = {'channel': kind, **_params.get(kind, {})}
            if symbol:
                params['symbol'] = [symbol]
            try:
#{% if trading %}
                ack = await caller.call(verb, messages.Ack, **params)
#{% else %}
                await caller.call(verb, messages.Ack, **params)
#{% endif %}
            except (ConnectionLost, Throttled):
                raise
#{% if trading %}
            except AuthError as err:
                if not self.credentials:
                    return
                # the next connection has a token of its own
                raise ConnectionLost(str(err)) from err
#{% endif %}
            except BrokerError as err:
                if not str(err).endswith('Already subscribed'):
                    return
#{% if trading %}
            else:
                if size := ack.maxratecount:
                    self.pools['orders'] = mk_orders_pool(size)
#{% endif %}
            done.append(channel)

        # each has a reply of its own, however many are asked for at once
        async with open_nursery() as tn:
            for channel in channels:
                tn.start_soon(ask, channel)
        return done

    def on_notification(
        self, connection: Connection, name: str, content: SocketMessage
    ) -> tuple[str, Message | None] | None:
        if name not in messages.message_types:
            if name not in _nothing and content.method != 'pong':
                raise Unexpected(name)
            return None
        rows = _decode(name, content.data)
#{% if trading %}
        if name == EXECUTIONS:
            return name, Executions(rows, content.sequence)
#{% endif %}
        if not rows:
            return None
        channel = f'{name}.{rows[0].instrument_name}'
        if name == 'book':
            return channel, self._books.take(channel, rows[0], content.type)
        return channel, rows

    def cost(self, method: str, params: Mapping[str, object]) -> tuple[str, float]:
#{% if trading %}
        return cost(method, params, self._changes, self.clock.now())
#{% else %}
        return cost(method)
#{% endif %}
#{% if trading %}


def _number(value: float) -> msgspec.Raw:
    """
    With all its digits, and no exponent.
    """
    return msgspec.Raw(f'{Decimal(str(value)):f}'.encode())
#{% endif %}
