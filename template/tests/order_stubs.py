"""
An account in memory, for tests of what is made of its orders.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from decimal import Decimal
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import trio
from msgspec import to_builtins

from minipiker.accounting import Asset, MktPair
from minipiker.clearing._messages import BrokerdOrder, BrokerdStatus

BTC, USDT = (Asset(it, 'crypto', Decimal('0.01')) for it in ('btc', 'usdt'))
MKT = MktPair(BTC, Decimal('0.5'), Decimal('0.1'), 'BTC-USDT', 'x', USDT, 'spot')


class Books:
    """
    A ledger in memory.
    """

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}
        self.ledger = self

    def iter_newest(self) -> Iterator[tuple[str, Any]]:
        return reversed(self.records.items())

    def add(self, tid: str, record: Any) -> None:
        self.records[tid] = record

    def holdings(self) -> dict[str, tuple[float, float]]:
        return {MKT.fqme: (0.5 * len(self.records), 60_000.0)}


class Venue:
    """
    An account with one order and its fill. The history is one of each market. It says
    of a fill which order it is of, and not what its client calls that.
    """

    traits = SimpleNamespace(edit='in_place')
    limits: Any = SimpleNamespace(
        doubt=0.01, probe=0.01, valid_for=0.2, clock_error=0.1
    )

    def __init__(self, order: Any, fill: Any) -> None:
        self.order, self.fill = order, fill

    async def find_order(self, order_id: str) -> Any:
        return self.order

    async def find_orders(self, client_id: str, mkt: MktPair | None) -> list[Any]:
        return [self.order]

    async def fills_since(
        self, since: float, markets: Collection[str]
    ) -> AsyncIterator[list[Any]]:
        if MKT.bs_mktid in markets:
            yield [self.fill]

    async def open_orders(self) -> list[Any]:
        return []

    async def positions(self) -> list[Any]:
        return []

    def tells_position(self, mkt: MktPair) -> bool:
        return False

    def price_tick(self, mkt: MktPair, price: float) -> Decimal:
        return mkt.price_tick

    def read_record(self, record: Any) -> Any:
        return self.fill

    async def market(self, name: str) -> MktPair:
        return MKT


TERMS = {'order_id': '7', 'market': 'BTC-USDT', 'side': 'buy', 'price': 60_000.0}


def mk_order(mod: ModuleType, state: str, filled: float) -> Any:
    return import_module(f'{mod.__name__}._orders').VenueOrder(
        **TERMS,
        client_id='oid',
        state=state,
        size=0.5,
        filled=filled,
        avg_price=60_000.0 if filled else 0.0,
        created=1000.0,
        updated=1,
    )


def mk_fill(mod: ModuleType, **terms: Any) -> Any:
    """
    The fill of that order, unless other terms are named.
    """
    fill: Any = {'fill_id': '1', 'client_id': '', 'size': 0.5, 'fee': 0.0}
    fill |= TERMS | {'time': 1000.0, 'record': {}} | terms
    return import_module(f'{mod.__name__}._orders').VenueFill(**fill)


def mk_reply(mod: ModuleType, order: Any, *fills: Any) -> Any:
    return import_module(f'{mod.__name__}._orders').Reply(order, [*fills])


def mk_flows(
    mod: ModuleType, venue: Any, emit: Callable[[Any], None], books: Books | None = None
) -> Any:
    """
    What is known of the orders of an account at that venue.
    """
    flows = import_module(f'{mod.__name__}._flows')
    return flows.Flows('x.main', venue, books or Books(), emit)


def mk_dialog(
    mod: ModuleType,
    flows: Any,
    tn: trio.Nursery,
    sent: dict[str, None] | None = None,
) -> Any:
    """
    What carries out the host's requests for them. `sent` is what earlier ones sent.
    """
    dialogs = import_module(f'{mod.__name__}._dialog')
    sent = {} if sent is None else sent
    return dialogs.AccountDialog(flows._api, flows, flows._emit, tn, sent)


def mk_request(kind: str) -> dict[str, Any]:
    if kind == 'cancel':
        return {'action': 'cancel', 'oid': 'oid', 'reqid': 'oid'}
    price, reqid = (60_000.0, None) if kind == 'place' else (59_000.0, 'oid')
    terms: Any = {'symbol': 'btcusdt', 'price': price, 'size': 0.5, 'time_ns': 0}
    terms |= {'action': 'buy', 'account': 'x.main', 'oid': 'oid', 'reqid': reqid}
    msg: dict[str, Any] = to_builtins(BrokerdOrder(**terms))
    return msg


class Told:
    """
    What the host is told of how an order stands.
    """

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Any](99)

    def emit(self, msg: Any) -> None:
        if isinstance(msg, BrokerdStatus):
            self._send.send_nowait((msg.status, msg.filled))

    async def status(self) -> tuple[str, float]:
        """
        The next one, and how much is filled by then.
        """
        with trio.fail_after(10):
            status: tuple[str, float] = await self._receive.receive()
            return status

    @property
    def is_all(self) -> bool:
        return not self._receive.statistics().current_buffer_used
