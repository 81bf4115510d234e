"""
What is known of the orders of an account: each from the request for it to the last
that is heard of it.

A venue may tell the end of an order before its last fill, tell a thing twice or, by
some mishap, never. So a fill is known by its id and booked once, an order ends when all
its fills were told, and what does not fit together is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager as cm
from typing import Literal

import trio
from msgspec.structs import replace

from ._channels import Disconnected, Reconnected
from ._config import NAME
from ._orders import (
    Flow,
    OrderApi,
    Reply,
    StatusName,
    VenueFill,
    VenueOrder,
    VenuePosition,
    add_up,
    mk_fill,
    mk_found,
    mk_record,
    mk_status,
)
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
_max_doubt: float = 10
"""How long the rest of a story may be under way at most, where asking did not help."""
_max_kept: int = 1024
"""Orders that are over, and fills, of which so many are remembered unasked."""

Emit = Callable[[Struct], None]


class Flows:
    """
    The orders, fills and positions of one account.
    """

    def __init__(self, account: str, api: OrderApi, books: Account, emit: Emit) -> None:
        self._account = account
        self._api = api
        self._books = books
        self._emit = emit
        self._replaces = api.traits.edit == 'replace'
        self._trouble = ''
        """Why the venue is out of reach, while it is."""
        self.positions: dict[str, BrokerdPosition] = {}
        """By fqme."""
        self._flows: dict[str, Flow] = {}
        self._reqids: dict[str, str] = {}
        """What the host calls them, by order id."""
        self._ended: deque[str] = deque(maxlen=_max_kept)
        """Ids of orders that are over: what is heard of them comes late."""
        self._booking = trio.Lock()
        self._in_doubt = trio.Event()
        recent: list[VenueFill] = []
        for _, record in books.ledger.iter_newest():
            fill = api.read_record(record)
            if recent and fill.time < recent[0].time - _first_overlap:
                break
            recent.append(fill)
        self._booked = {fill.fill_id: fill.time for fill in reversed(recent)}
        """When those fills were made that the venue may tell of again, by id."""
        self._complete_until = recent[0].time - _first_overlap if recent else 0.0
        """No fill before that is missing in the ledger, epoch s."""

    def get(self, reqid: str) -> Flow | None:
        return self._flows.get(reqid)

    def begin(self, reqid: str) -> Flow:
        """
        The flow of an order, be it a new one.
        """
        flow = self._flows.setdefault(reqid, Flow())
        if self._trouble:
            self._emit_status(reqid, flow, 'pending', flow.size, self._trouble)
        return flow

    def forget(self, reqid: str) -> None:
        """
        Be done with an order that is over, or never was.
        """
        if flow := self._flows.pop(reqid, None):
            for order_id in flow.legs:
                self._reqids.pop(order_id, None)

    @cm
    def editing(self, reqid: str, flow: Flow) -> Iterator[None]:
        """
        While the block is open, an order that ends may only have been replaced.
        """
        before, flow.is_editing = flow.is_editing, True
        try:
            yield
        finally:
            flow.is_editing = before
            self._settle(reqid, flow)

    async def listen(self) -> None:
        """
        Hear from the venue.
        """
        async for event in self._api.events:
            match event:
                case VenueOrder():
                    await self.on_order(event)
                case VenueFill():
                    await self._on_fills([event])
                case VenuePosition():
                    await self._on_position(event)
                case Disconnected(reason=reason):
                    self._tell_trouble(reason)
                case Reconnected():
                    await self.reconcile()
                    self._tell_trouble('')

    def _tell_trouble(self, reason: str) -> None:
        """
        Say of all orders that the venue is out of reach, or that it no longer is.
        """
        told, self._trouble = self._trouble, reason
        for reqid, flow in self._flows.items():
            if reason:
                self._emit_status(reqid, flow, 'pending', flow.size, reason)
            elif told and flow.is_open:
                self.emit_open(reqid, flow)

    async def watch(self) -> None:
        """
        Ask the venue where what it tells does not fit together, and once in a while.
        """
        doubt, often = self._api.limits.doubt, self._api.limits.probe
        pause = doubt
        while True:
            with trio.move_on_after(often) as probe:
                await self._in_doubt.wait()
                self._in_doubt = trio.Event()
                await trio.sleep(pause)  # the rest may be under way
            is_due = self._flows or len(self._booked) > _max_kept
            if self._doubtful() or (probe.cancelled_caught and is_due):
                await self.reconcile()
            pause = min(2 * pause, _max_doubt) if self._doubtful() else doubt

    def _doubtful(self) -> bool:
        if not all(flow.adds_up for flow in self._flows.values()):
            self._in_doubt.set()
        return self._in_doubt.is_set()

    async def reconcile(self) -> None:
        """
        Ask the venue for what we may have missed: fills, orders, positions.
        """
        await self._fetch_fills()
        orders = await insist(self._api.open_orders)
        for order in orders:
            await self.on_order(order)
        still_open = {order.order_id for order in orders}
        for reqid, flow in list(self._flows.items()):
            known = flow.order
            if known is None or flow.is_editing:
                continue
            is_there = known.order_id in still_open and not flow.unsure
            if not (is_there or await self.look_up(reqid, flow)) and flow.is_open:
                gone = replace(known, state='canceled', reason='the venue lost it')
                await self.on_order(gone)
        positions = await insist(self._api.positions)
        for position in positions:
            await self._on_position(position)
        await self._sum_up({position.market for position in positions})

    async def look_up(self, reqid: str, flow: Flow, mkt: MktPair | None = None) -> bool:
        """
        Find out about an order that may have been given to the venue, and tell its
        whole story so far. Whether the venue has it; waits for a connection.
        """
        for leg in flow.unsure:
            now = await insist(self._api.find_order, leg.order_id)
            await self.on_order(now or replace(leg, state='canceled'))
        found: dict[str, VenueOrder] = {}
        names = [flow.order.order_id] if flow.order else []
        if flow.order is None or (flow.is_editing and self._replaces):
            orders = await insist(self._api.find_orders, reqid, mkt)
            if not self._replaces:  # one is ours, whoever gave that id to the others
                orders = sorted(orders, key=lambda it: it.state == 'open')[-1:]
            found = {order.order_id: order for order in orders}
        if not found and flow.order is None:
            names = [reqid]  # only an order that is not ours has no id of ours
        for order_id in names:
            if order := await insist(self._api.find_order, order_id):
                found = {order_id: order, **found}
        if not found:
            return False
        await self._fetch_fills()
        with self.editing(reqid, flow):  # all but the last one were replaced
            for order in found.values():
                if self._flows.get(reqid) is flow:  # or that was the end of it
                    self._reqids[order.order_id] = reqid
                    self._tell_past_fills(reqid, flow, order)
                    await self.on_order(order)
        return True

    def _tell_past_fills(self, reqid: str, flow: Flow, order: VenueOrder) -> None:
        """
        Tell of those fills of an order that were booked before anybody here knew it.
        """
        past: list[VenueFill] = []
        told = (it.size for it in flow.fills.values() if it.order_id == order.order_id)
        missing = add_up(order.filled, *(-size for size in told))
        for _, record in self._books.ledger.iter_newest():
            fill = self._api.read_record(record)
            if missing <= 0 or fill.time < order.created - _overlap:
                break
            if fill.order_id == order.order_id and fill.fill_id not in flow.fills:
                past.append(fill)
                missing = add_up(missing, -fill.size)
        for fill in reversed(past):
            self._tell_fill(reqid, flow, fill)

    def _tell_fill(self, reqid: str, flow: Flow, fill: VenueFill) -> None:
        flow.fills[fill.fill_id] = fill
        self._emit(mk_fill(reqid, fill))

    # what the venue says

    def _reqid_of(self, order_id: str, client_id: str) -> str | None:
        """
        What the host calls an order, if it is one that we have in hand.
        """
        if reqid := self._reqids.get(order_id):
            return reqid
        for reqid in (client_id, order_id):
            flow = self._flows.get(reqid)
            # another one that bears the same id is not ours
            if flow and (flow.order is None or (flow.is_editing and self._replaces)):
                return reqid
        return None

    async def on_reply(self, reply: Reply) -> None:
        """
        Take in what the venue says of a request that it has carried out.
        """
        await self._on_fills(reply.fills)
        await self.on_order(reply.order)

    async def on_order(self, order: VenueOrder) -> None:
        """
        Take in how the venue describes an order.
        """
        if order.order_id in self._ended:
            return
        reqid = self._reqid_of(order.order_id, order.client_id)
        if reqid is None:
            mkt = await self._market(order.market) if order.state == 'open' else None
            # or has somebody else told of it in the meantime?
            if mkt and self._reqid_of(order.order_id, order.client_id) is None:
                self._on_found(order, mkt)
            return
        flow = self._flows[reqid]
        known = flow.legs.get(order.order_id)
        if known and (
            known.state != 'open'
            or order.updated < known.updated
            or order.filled < known.filled
        ):
            return  # old news
        self._reqids[order.order_id] = reqid
        told = flow.standing
        flow.legs[order.order_id] = order
        if flow.standing not in (told, None):
            self.emit_open(reqid, flow)
        self._settle(reqid, flow)

    def _on_found(self, order: VenueOrder, mkt: MktPair) -> None:
        """
        Tell of an order that was open before us, or is somebody else's.
        """
        reqid = order.client_id or order.order_id
        if reqid in self._flows:
            log.error('two orders bear the id %r; one is %s', reqid, order.order_id)
            reqid = order.order_id
        flow = self._flows[reqid] = Flow({order.order_id: order})
        self._reqids[order.order_id] = reqid
        self._emit(mk_found(reqid, order, mkt, self._account))
        self._tell_past_fills(reqid, flow, order)
        if flow.fills:
            self.emit_open(reqid, flow)

    async def _on_fills(self, fills: list[VenueFill]) -> None:
        """
        Enter fills into the books, each once, and tell of them.
        """
        async with self._booking:
            for fill in fills:
                if fill.fill_id not in self._booked:
                    await self._book(fill)

    async def _fetch_fills(self) -> None:
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
        known = [await self._market(fqme) for fqme in self._books.holdings()]
        markets = {mkt.bs_mktid for mkt in known if mkt}
        async for page in self._api.fills_since(since, markets):
            for fill in page:
                newest = max(newest, fill.time)
                if fill.fill_id not in self._booked:
                    await self._book(fill)
        return newest

    async def _book(self, fill: VenueFill) -> None:
        mkt = await self._market(fill.market)
        fqme = mkt.fqme if mkt else f'{fill.market}.{NAME}'.lower()
        self._books.add(fill.fill_id, mk_record(fill, fqme))
        self._booked[fill.fill_id] = fill.time
        if reqid := self._reqid_of(fill.order_id, fill.client_id):
            flow = self._flows[reqid]
            self._tell_fill(reqid, flow, fill)
            self._settle(reqid, flow)
        if mkt and not self._api.tells_position(mkt):
            self._hold(fqme, *self._books.holdings()[fqme])

    async def _on_position(self, position: VenuePosition) -> None:
        mkt = await self._market(position.market)
        if mkt and self._api.tells_position(mkt):
            self._hold(mkt.fqme, position.size, position.avg_price)

    async def _sum_up(self, told: set[str]) -> None:
        """
        Say what is held in those markets that the venue did not tell of.
        """
        holdings = self._books.holdings()
        for fqme in {*self.positions, *holdings}:
            mkt = await self._market(fqme)
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

    def _settle(self, reqid: str, flow: Flow) -> None:
        """
        Let an order end, as soon as it has and all its fills were told.
        """
        order = flow.order
        if order is None or flow.is_editing or self._flows.get(reqid) is not flow:
            return
        if not flow.adds_up:
            self._in_doubt.set()
        elif order.state != 'open':
            self.emit_end(
                reqid,
                flow,
                'closed' if order.state == 'filled' else 'canceled',
                flow.size,
                order.reason or flow.refusal,
            )

    def emit_open(self, reqid: str, flow: Flow) -> None:
        """Say that an order is open, and how."""
        self._emit_status(reqid, flow, 'open', flow.size)

    def emit_end(
        self,
        reqid: str,
        flow: Flow,
        status: Literal['canceled', 'closed'],
        size: float,
        reason: str = '',
    ) -> None:
        """
        Say that an order for `size` is over.
        """
        self.forget(reqid)
        self._ended.extend(flow.legs)
        self._emit_status(reqid, flow, status, size, reason)

    def _emit_status(
        self,
        reqid: str,
        flow: Flow,
        status: StatusName,
        size: float,
        reason: str = '',
    ) -> None:
        self._emit(
            mk_status(
                reqid,
                status,
                self._account,
                price=flow.order.price if flow.order else None,
                size=size,
                filled=flow.filled,
                reason=reason,
            )
        )

    async def _market(self, name: str) -> MktPair | None:
        """
        The market of that name; None for one that the venue does not list any more.
        """
        try:
            return await insist(self._api.market, name)
        except SymbolNotFound as err:
            log.error('%s', err)
            return None
