"""
What is known of the orders of an account: each from the request for it to the last
that is heard of it.

A venue may tell the end of an order before its last fill, tell a thing twice or, by
some mishap, never. So a fill is known by its id and booked once, an order ends when all
its fills were told, and what does not fit together is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager as cm
from typing import Literal

import trio
from msgspec.structs import replace

from ._channels import Disconnected, Reconnected
from ._config import NAME
from ._fills import Emit, Fills, find_market
from ._orders import (
    Flow,
    OrderApi,
    Reply,
    StatusName,
    VenueFill,
    VenueOrder,
    VenuePosition,
    mk_fill,
    mk_found,
    mk_status,
)
from ._piker import Account, MktPair, get_logger
from ._session import insist

log = get_logger(f'{NAME}.orders')

_max_doubt: float = 10
"""How long the rest of a story may be under way at most, where asking did not help."""
_max_ended: int = 1024
"""Orders that are over, of which so many are remembered."""


class Flows:
    """
    The orders of one account, with its fills and positions.
    """

    def __init__(self, account: str, api: OrderApi, books: Account, emit: Emit) -> None:
        self._account = account
        self._api = api
        self._emit = emit
        self.fills = Fills(account, api, books, emit, self._on_fill)
        self._replaces = api.traits.edit == 'replace'
        self._trouble = ''
        """Why the venue is out of reach, while it is."""
        self._flows: dict[str, Flow] = {}
        self._reqids: dict[str, str] = {}
        """What the host calls them, by order id."""
        self._ended: deque[str] = deque(maxlen=_max_ended)
        """Ids of orders that are over: what is heard of them comes late."""
        self._in_doubt = trio.Event()

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
                    await self._on_news(event)
                case VenueFill():
                    await self.fills.book([event])
                case VenuePosition():
                    await self.fills.on_position(event)
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
            is_due = self._flows or self.fills.are_many
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
        await self.fills.fetch()
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
            await self.fills.on_position(position)
        await self.fills.sum_up({position.market for position in positions})

    async def look_up(self, reqid: str, flow: Flow, mkt: MktPair | None = None) -> bool:
        """
        Find out about an order that may have been given to the venue, and tell its
        whole story so far; of one that is over and was told, nothing more. Whether the
        venue has it; waits for a connection.
        """
        for leg in flow.unsure:
            now = await insist(self._api.find_order, leg.order_id)
            await self.on_order(now or replace(leg, state='canceled'))
        found = await self._find(reqid, flow, mkt)
        if not found:
            return False
        await self.fills.fetch()
        with self.editing(reqid, flow):  # all but the last one were replaced
            for order in found:
                if self._flows.get(reqid) is not flow:
                    return True  # that was the end of it
                if order.order_id not in self._ended:
                    self._reqids[order.order_id] = reqid
                    self._tell_past_fills(reqid, flow, order)
                    await self.on_order(order)
            if flow.order is None:
                self.forget(reqid)  # a request for it came when it had just ended
        return True

    async def _find(
        self, reqid: str, flow: Flow, mkt: MktPair | None
    ) -> list[VenueOrder]:
        """
        An order as the venue has it, and after it those that were put in its place.
        """
        known = flow.order
        found: list[VenueOrder] = []
        if known is None or self._may_be_replaced(reqid, known):
            found = [
                order
                for order in await insist(self._api.find_orders, reqid, mkt)
                if self._reqids.get(order.order_id, reqid) == reqid
            ]
        if known is None and not self._replaces:
            # one is ours, whoever gave that id to the others
            found = sorted(found, key=lambda it: it.state == 'open')[-1:]
        # only an order that is not ours has no id of ours
        order_id = known.order_id if known else reqid
        names = [order.order_id for order in found]
        if known and order_id in names:
            found = found[names.index(order_id) :]
            # as long as it is open, none was
            return found[:1] if found[0].state == 'open' else found
        if known or not found:
            order = await insist(self._api.find_order, order_id)
            found = [order] if order else found
        return found

    def _may_be_replaced(self, reqid: str, order: VenueOrder) -> bool:
        """
        Whether another order could be put in its place, and be told by its client's id.
        """
        return self._replaces and order.client_id == reqid

    def _tell_past_fills(self, reqid: str, flow: Flow, order: VenueOrder) -> None:
        """
        Tell of those fills of an order that were booked before anybody here knew it.
        """
        for fill in self.fills.find_past(order, flow.fills):
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
        await self.fills.book(reply.fills)
        await self.on_order(reply.order)

    def _on_fill(self, fill: VenueFill) -> None:
        if reqid := self._reqid_of(fill.order_id, fill.client_id):
            flow = self._flows[reqid]
            self._tell_fill(reqid, flow, fill)
            self._settle(reqid, flow)

    async def _on_news(self, order: VenueOrder) -> None:
        """
        Take in what the venue tells of an order unasked.

        Where edits replace, one that is canceled may live on as another, by an edit of
        somebody else, or of a predecessor that did not live to see it. So that is its
        end only when the venue was asked, be it by canceling it.
        """
        reqid = self._reqids.get(order.order_id, '')
        flow = self._flows.get(reqid)
        known = flow and flow.order
        if (
            flow
            and known
            and (known.order_id, order.state) == (order.order_id, 'canceled')
            and self._may_be_replaced(reqid, known)
        ):
            flow.unasked_end = order
            self._settle(reqid, flow)
        else:
            await self.on_order(order)

    async def on_order(self, order: VenueOrder) -> None:
        """
        Take in how the venue describes an order.
        """
        if order.order_id in self._ended:
            return
        reqid = self._reqid_of(order.order_id, order.client_id)
        if reqid is None:
            if order.state == 'open':
                await self._on_unknown(order)
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
        if known is None and flow.unasked_end and flow.may_live_on:
            flow.legs[flow.unasked_end.order_id] = flow.unasked_end
        flow.legs[order.order_id] = order
        if flow.standing not in (told, None):
            self.emit_open(reqid, flow)
        self._settle(reqid, flow)

    async def _on_unknown(self, order: VenueOrder) -> None:
        """
        Find out whose order it is that is open: one of ours that was put in the place
        of another, or one from before us or of somebody else.
        """
        flow = self._flows.get(order.client_id)
        if flow and flow.order and self._may_be_replaced(order.client_id, flow.order):
            await self.look_up(order.client_id, flow)
        mkt = await find_market(self._api, order.market)
        is_over = order.order_id in self._ended
        # or has somebody else told of it in the meantime?
        is_known = is_over or self._reqid_of(order.order_id, order.client_id)
        if mkt and not is_known:
            self._on_found(order, mkt)

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
        """
        Say that an order is open: at which price, for which size in total, and how much
        of it is filled, as far as the venue has said so by now.

        It may have been said before. The host takes it as the answer to a change, and
        after an error as word that the order stands all the same. Raises nothing: it
        waits in the outbox for as long as there is no host to hear it.
        """
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
