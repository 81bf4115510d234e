"""
The fills of an account: each is entered into its books once, and what is held follows
from them, where the venue does not tell it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from ._config import NAME
from ._orders import OrderApi, VenueFill, VenueOrder, VenuePosition, add_up, mk_record
from ._piker import (
    Account,
    BrokerdPosition,
    MktPair,
    Struct,
    SymbolNotFound,
    get_logger,
)
from ._session import insist

log = get_logger(f'{NAME}.orders')

_overlap: float = 60
"""Fills are asked for from so many seconds before the last that is known for sure..."""
_first_overlap: float = 3600
"""... and after a start, when only the ledger tells, from so many."""
_max_booked: int = 1024
"""Fills of which so many are remembered unasked, and the orders of as many."""

Emit = Callable[[Struct], None]


class Fills:
    """
    The fills and positions of one account. `on_fill` is called with each fill that is
    new, when it is in the books.
    """

    def __init__(
        self,
        account: str,
        api: OrderApi,
        books: Account,
        emit: Emit,
        on_fill: Callable[[VenueFill], None],
    ) -> None:
        self._account = account
        self._api = api
        self._books = books
        self._emit = emit
        self._on_fill = on_fill
        self.positions: dict[str, BrokerdPosition] = {}
        """By fqme."""
        self._booking = trio.Lock()
        recent: list[VenueFill] = []
        for _, record in books.ledger.iter_newest():
            if not (fill := api.read_record(record)):
                continue
            if recent and fill.time < recent[0].time - _first_overlap:
                break
            recent.append(fill)
        self._booked = {fill.fill_id: fill.time for fill in reversed(recent)}
        """When those fills were made that the venue may tell of again, by id."""
        self._client_ids = deque(
            (fill.client_id for fill in reversed(recent)), maxlen=_max_booked
        )
        """Of the orders of the last fills, as far as the venue says so."""
        self._complete_until = recent[0].time - _first_overlap if recent else 0.0
        """No fill before that is missing in the ledger, epoch s."""

    @property
    def are_many(self) -> bool:
        """
        Whether it is time to `fetch()`, after which fewer need be remembered.
        """
        return len(self._booked) > _max_booked

    def are_of(self, client_id: str) -> bool:
        """
        Whether there are fills of an order with this client's id, of late.
        """
        return client_id in self._client_ids

    async def book(self, fills: list[VenueFill]) -> None:
        """
        Enter fills into the books, those that are not there yet.
        """
        async with self._booking:
            for fill in fills:
                if fill.fill_id not in self._booked:
                    await self._book(fill)

    async def fetch(self) -> None:
        """
        Ask the venue for fills that may have been missed, and book them.
        """
        async with self._booking:
            newest = await insist(self._book_since, self._complete_until)
            # what comes late is asked for again; what is older need not be remembered
            self._complete_until = max(self._complete_until, newest - _overlap)
            for fill_id, made in list(self._booked.items()):
                if made >= self._complete_until:
                    break
                del self._booked[fill_id]

    async def _book_since(self, since: float) -> float:
        """
        Book all fills from the epoch second `since` on; returns when the last was made.
        """
        newest = since
        known = [await find_market(self._api, it) for it in self._books.holdings()]
        markets = {mkt.bs_mktid for mkt in known if mkt}
        async for page in self._api.fills_since(since, markets):
            for fill in page:
                newest = max(newest, fill.time)
                if fill.fill_id not in self._booked:
                    await self._book(fill)
        return newest

    async def _book(self, fill: VenueFill) -> None:
        mkt = await find_market(self._api, fill.market)
        fqme = mkt.fqme if mkt else f'{fill.market}.{NAME}'.lower()
        self._books.add(fill.fill_id, mk_record(fill, fqme))
        self._booked[fill.fill_id] = fill.time
        self._client_ids.append(fill.client_id)
        self._on_fill(fill)
        if mkt and not self._api.tells_position(mkt):
            self._hold(fqme, *self._books.holdings()[fqme])

    def find_past(
        self, order: VenueOrder, known: dict[str, VenueFill]
    ) -> list[VenueFill]:
        """
        Those fills of an order, ascending, that are in the books and not among those
        that are `known`, by id.
        """
        past: list[VenueFill] = []
        told = (it.size for it in known.values() if it.order_id == order.order_id)
        missing = add_up(order.filled, *(-size for size in told))
        for _, record in self._books.ledger.iter_newest():
            if not (fill := self._api.read_record(record)):
                continue
            if missing <= 0 or fill.time < order.created - _overlap:
                break
            if fill.order_id == order.order_id and fill.fill_id not in known:
                past.append(fill)
                missing = add_up(missing, -fill.size)
        return past[::-1]

    async def on_position(self, position: VenuePosition) -> None:
        """
        Take in what the venue says of a position, where it tells them.
        """
        mkt = await find_market(self._api, position.market)
        if mkt and self._api.tells_position(mkt):
            self._hold(mkt.fqme, position.size, position.avg_price)

    async def sum_up(self, told: set[str]) -> None:
        """
        Say what is held in those markets that the venue did not tell of.
        """
        holdings = self._books.holdings()
        for fqme in {*self.positions, *holdings}:
            mkt = await find_market(self._api, fqme)
            if mkt is None or mkt.bs_mktid in told:
                continue
            if self._api.tells_position(mkt):
                self._hold(fqme, 0.0, 0.0)  # it leaves out what is flat
            else:
                self._hold(fqme, *holdings.get(fqme, (0.0, 0.0)))

    def _hold(self, fqme: str, size: float, avg_price: float) -> None:
        held = BrokerdPosition(NAME, self._account, fqme, size, avg_price)
        if self.positions.get(fqme) != held:
            self.positions[fqme] = held
            self._emit(held)


async def find_market(api: OrderApi, name: str) -> MktPair | None:
    """
    The market of that name; None for one that the venue does not list any more.
    """
    try:
        return await insist(api.market, name)
    except SymbolNotFound as err:
        log.error('%s', err)
        return None
