"""
A pytest plugin: orders that are controlled by the backend's own part alone, in the
process of the test, at a venue that misbehaves.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from contextlib import asynccontextmanager as acm
from decimal import Decimal
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import trio
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from piker_deribit2 import api
from piker_deribit2._broker import open_orders
from piker_deribit2._config import Credentials
from piker_deribit2._dialog import AccountDialog, open_account_dialog
from piker_deribit2._orders import OrderApi
from simvenue.client import Controls
from simvenue.operations import Operation
from simvenue.reports import AccountInfo

from .._sizes import smallest_size
from ..data.testing import SetLimits, UseVenue
from ..testing import Market, open_process
from ._messages import BrokerdCancel, BrokerdOrder
from .testing import mk_order

_accounts: int = 2000
_secret = 'simsecretkey'
_numbers = count()
_patience: float = 10
"""Seconds to wait for what must come: to end what hangs, not what is slow."""

HASTE: dict[str, float] = {
    'connect': 2,
    'max_backoff': 0.1,
    'min_backoff': 0.02,
    'valid_for': 0.3,
    'clock_error': 0.1,
    'doubt': 0.1,
    'probe': 0.5,
}
"""The limits of a session whose venue is next door, and no other actor between."""

ENDS = ('canceled', 'closed')

OpenDesk = Callable[..., AbstractAsyncContextManager['Desk']]
"""What the fixture `open_desk` is."""


class Desk:
    """
    The host's end of the orders of one account, and the venue's controls.
    """

    def __init__(
        self,
        venue: Controls,
        key: str,
        account: str,
        market: Market,
        orders: OrderApi,
    ) -> None:
        self.venue = venue
        self.key = key
        """The account, as the venue calls it..."""
        self.account = account
        """... and as the host does."""
        self.market = market
        self.orders = orders
        self.heard: list[dict[str, Any]] = []
        self.dialog: AccountDialog
        self._asked: dict[str, set[float]] = {}
        """What sizes were asked for, by oid."""
        self._news = trio.Event()

    # what the host says

    def send(
        self, times: float, steps: int = 100, oid: str = '', action: str = 'buy'
    ) -> str:
        """
        Request an order at so many times the market's price, of so many of the smallest
        sizes; or that the order `oid` be so. Returns its oid.
        """
        market = self.market
        order = mk_order(
            market.fqme, action, market.price(times), market.size(steps), self.account
        )
        msg = BrokerdOrder(
            oid=oid or order.oid,
            account=self.account,
            time_ns=time.time_ns(),
            symbol=market.mkt.bs_fqme,
            price=order.price,
            size=order.size,
            action='buy' if action == 'buy' else 'sell',
            reqid=oid or None,
        )
        self._asked.setdefault(msg.oid, set()).add(msg.size)
        self.dialog.request(to_builtins(msg))
        return msg.oid

    def cancel(self, oid: str) -> None:
        msg = BrokerdCancel(oid, time.time_ns(), self.account, reqid=oid)
        self.dialog.request(to_builtins(msg))

    # what it hears

    def emit(self, msg: Struct) -> None:
        self.heard.append(to_builtins(msg))
        self._news.set()
        self._news = trio.Event()

    async def wait(self, came: Callable[[], bool]) -> None:
        """
        Listen until it has come.
        """
        with trio.move_on_after(_patience):
            while not came():
                await self._news.wait()
            return
        raise AssertionError(f'it never came; heard: {self.heard}')

    def of(self, oid: str, name: str) -> list[dict[str, Any]]:
        """
        The messages of that name about an order.
        """
        return [it for it in self.heard if (it['name'], it.get('reqid')) == (name, oid)]

    def state(self, oid: str) -> dict[str, Any]:
        """
        How it stands, in the words of the last status.
        """
        statuses = [it for it in self.of(oid, 'status') if 'status' in it]
        return statuses[-1] if statuses else {}

    async def told(self, oid: str, status: str, **fields: Any) -> None:
        """
        Wait until an order is told to stand like that: `filled` and `remaining` in so
        many of the smallest sizes, and the `price` in times the market's.
        """
        market = self.market
        expected: dict[str, Any] = {'status': status}
        for name, value in fields.items():
            if name == 'price':
                expected['broker_details'] = market.price(value)
            else:
                expected[name] = market.size(value)

        def stands() -> bool:
            state = {**self.state(oid)}
            if 'broker_details' in state:
                state['broker_details'] = state['broker_details'].get('price')
            return expected.items() <= state.items()

        await self.wait(stands)

    async def refused(self, oid: str) -> str:
        """
        Wait for the refusal of a request, and return the reason.
        """
        await self.wait(lambda: bool(self.of(oid, 'error')))
        return str(self.of(oid, 'error')[-1]['reason'])

    async def is_placed(self, oid: str) -> bool:
        """
        Wait for what becomes of a request for an order.
        """
        await self.wait(lambda: bool(self.state(oid) or self.of(oid, 'error')))
        return bool(self.state(oid))

    # what happens at the venue

    async def rest(self, times: float, steps: int = 100) -> str:
        """
        An order that is open.
        """
        oid = self.send(times, steps)
        await self.told(oid, 'open', remaining=steps)
        return oid

    async def trade_at(self, times: float, steps: int = 10_000) -> None:
        """
        Have somebody trade, which whoever rests at that price takes part in.
        """
        market = self.market
        await self.venue.print_trade(
            market.name, market.price(times), market.size(steps)
        )

    @acm
    async def held(
        self, operation: Operation, kind: str = 'defer'
    ) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """
        While the block is open, the venue does not carry out the next such request.
        Yields what waits until it has come there.
        """
        before = await self._requests(operation)

        async def wait() -> None:
            with trio.fail_after(_patience):
                while await self._requests(operation) == before:
                    pass

        await self.venue.misbehave(kind, operation=operation, seconds=3600)
        yield wait
        assert not (await self.venue.state()).faults, 'it found no occasion'
        await self.venue.behave()

    def late(
        self, operation: Operation
    ) -> AbstractAsyncContextManager[Callable[[], Awaitable[None]]]:
        """
        While the block is open, it is carried out, but there is no reply.
        """
        return self.held(operation, 'delay')

    async def _requests(self, operation: str) -> int:
        return (await self.venue.state()).requests.get(operation, 0)

    async def there(self) -> AccountInfo:
        """
        What the account has at the venue.
        """
        return await self.venue.account(self.key)

    # what must be so, whatever has happened

    async def check(self) -> AccountInfo:
        """
        See that nothing is lost, nothing doubled, and nothing contradicts itself.
        Returns what the account has at the venue.
        """
        there = await self.there()
        for oid in {it['reqid'] for it in self.heard if it.get('reqid')}:
            self._check_story(oid)

        fills = [it for it in self.heard if it['name'] == 'fill']
        ids = Counter(it['broker_details']['tid'] for it in fills)
        assert {*ids.values()} <= {1}, 'a fill is told twice'
        told = Counter((it['action'], it['price'], it['size']) for it in fills)
        assert told == Counter((it.side, it.price, it.amount) for it in there.fills)

        size = sum(
            Decimal(str(it.amount)) * (1 if it.side == 'buy' else -1)
            for it in there.fills
        )
        await self.wait(lambda: self.position == float(size))

        open_there = {it.client_id or it.order_id for it in there.orders if is_open(it)}
        assert len(open_there) == sum(map(is_open, there.orders)), 'placed twice'
        # one that somebody else has placed has no status before it changes
        names = {it['reqid'] for it in self.heard if it['name'] == 'status'}
        open_here = {it for it in names if self.state(it).get('status') not in ENDS}
        assert open_here == open_there
        return there

    @property
    def position(self) -> float:
        """
        As it was told last.
        """
        told = [it['size'] for it in self.heard if it['name'] == 'position']
        return float(told[-1]) if told else 0.0

    def _check_story(self, oid: str) -> None:
        story = [it for it in self.heard if it.get('reqid') == oid]
        ends = [n for n, it in enumerate(story) if it.get('status') in ENDS]
        assert len(ends) <= 1, 'it ends twice'
        if asked := self._asked.get(oid):
            # one that is pending may have none yet
            told = [it for it in story if it.get('status', 'pending') != 'pending']
            sizes = {it['broker_details']['size'] for it in told}
            assert sizes <= asked, 'a size that nobody asked for'
        filled = [it['filled'] for it in story if 'filled' in it]
        assert filled == sorted(filled), 'an older state after a newer one'
        if ends:
            (end,) = ends
            after = [it for it in story[end + 1 :] if it['name'] != 'error']
            assert not after, 'it goes on after its end'
            fills = [it['size'] for it in story if it['name'] == 'fill']
            assert story[end]['filled'] == float(sum(map(Decimal, map(str, fills))))


def is_open(order: Any) -> bool:
    return bool(order.state == 'open')


@pytest.fixture(scope='session')
def desk_urls() -> Iterator[tuple[str, str, float]]:
    """
    A venue where nothing happens but what tests do, with an account for each of them;
    its controls, and the price of its first market.
    """
    keys = {f'desk{n}': {'secret': _secret} for n in range(_accounts)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SIMVENUE_ACCOUNTS', json.dumps(keys))
        with open_process('simvenue', '--rate=0') as (process, url):
            patch.undo()  # other venues have the usual one
            assert process.stdout
            controls_url = process.stdout.readline().strip()
            yield url, controls_url, trio.run(_get_last, controls_url)


async def _get_last(controls_url: str) -> float:
    async with Controls(controls_url) as venue:
        return await get_last(venue)


async def get_last(venue: Controls) -> float:
    """
    The price at which the first market traded last.
    """
    (name, *_) = [it.name for it in await venue.markets()]
    last = (await venue.market(name)).last
    assert last
    return last


@pytest.fixture
def open_desk(
    desk_urls: tuple[str, str, float],
    use_venue: UseVenue,
    set_limits: SetLimits,
    monkeypatch: pytest.MonkeyPatch,
    mod: ModuleType,
) -> OpenDesk:
    """
    `async with open_desk(limits, **traits) as desk:`, on an account of its own, at a
    venue that differs in `traits` from what it is by its documentation.
    """

    @acm
    async def open_desk(
        limits: Mapping[str, float] = {}, **traits: Any
    ) -> AsyncIterator[Desk]:
        set_limits(**HASTE, **limits)
        url, controls_url, last = desk_urls
        use_venue(url)
        monkeypatch.setattr(api, 'TRAITS', replace(api.TRAITS, **traits))
        async with Controls(controls_url) as venue:
            before = (await venue.state()).traits
            await venue.differ(**traits)
            key = f'desk{next(_numbers)}'
            try:
                async with open_desk_at(venue, mod, key, last) as desk:
                    # whatever others have made of the price
                    await desk.trade_at(1, 1)
                    yield desk
            finally:
                with trio.CancelScope(shield=True):
                    await venue.behave()
                    await venue.differ(**before)
                    # or they would take part in what others trade
                    for order in filter(is_open, (await venue.account(key)).orders):
                        await venue.cancel(order.order_id)

    return open_desk


@acm
async def open_desk_at(
    venue: Controls, mod: ModuleType, key: str, last: float
) -> AsyncIterator[Desk]:
    """
    That of an account of the venue that the client is pointed to.
    """
    async with AsyncExitStack() as stack:
        credentials = Credentials(key, _secret)
        orders: OrderApi = await stack.enter_async_context(open_orders(credentials))
        (name, *_) = [it.name for it in await venue.markets()]
        info = await venue.market(name)
        mkt = await orders.market(name)
        rules = SimpleNamespace(
            size_step=Decimal(info.amount_step),
            min_size=Decimal(info.min_amount),
            min_cost=Decimal(info.min_cost),
        )
        market = Market(name, mkt, last, smallest_size(rules, last))
        desk = Desk(venue, key, f'{mod.name}.{key}', market, orders)
        desk.dialog = await stack.enter_async_context(
            open_account_dialog(desk.account, orders, desk.emit)
        )
        yield desk


@acm
async def open_rival(desk: Desk) -> AsyncIterator[OrderApi]:
    """
    Another client of the same account.
    """
    async with open_orders(Credentials(desk.key, _secret)) as orders:
        await orders.market(desk.market.name)
        yield orders
