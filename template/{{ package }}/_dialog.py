"""
The order dialog: what becomes of the host's requests.

An order bears its oid as the id that clients may give to orders, and that is what it
is called from the start (`reqid`). A request whose reply was lost is looked up before
it is made again, so that no order is placed twice and none is forgotten. What venues
do differently here is in `TRAITS`.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from contextlib import asynccontextmanager as acm
from typing import Any, NoReturn

import tractor
import trio
from msgspec import ValidationError, convert
from msgspec.structs import replace

from ._config import NAME, Credentials, load_accounts
from ._errors import (
    ConnectionLost,
    NotConnected,
    OrderExpired,
    OrderRejected,
    Throttled,
)
from ._fills import Emit
from ._flows import Flows
from ._orders import Flow, OrderApi, Side, check_order, mk_error
from ._piker import (
    BrokerdOrder,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerError,
    MktPair,
    Struct,
    SymbolNotFound,
    get_brokermod,
    get_logger,
    open_account,
    open_nursery,
)
from ._session import insist

log = get_logger(f'{NAME}.dialog')

OpenOrderApi = Callable[[Credentials], AbstractAsyncContextManager[OrderApi]]

_max_sent: int = 1024
"""Orders of an account that were sent to the venue, of which so many are remembered."""

_dialog = trio.CancelScope()
_one_dialog = trio.Lock()
_sent: defaultdict[str, dict[str, None]] = defaultdict(dict)
"""
Which they are, by account: for longer than a dialog lasts, since its host may have been
killed before it heard of their end, and the next one not know them.
"""


async def control_orders(ctx: tractor.Context, open_order_api: OpenOrderApi) -> None:
    """
    Control the orders of all accounts; without credentials, say `'paper'`.

    One dialog at a time keeps the ledgers: the newest, since the host of an older one
    may have been killed, which is not always noticed at once.
    """
    global _dialog
    credentials = load_accounts()
    if not credentials:
        await ctx.started('paper')
        return
    _dialog.cancel()
    with trio.CancelScope() as _dialog:
        async with _one_dialog:
            await _route(ctx, open_order_api, credentials)


async def _route(
    ctx: tractor.Context,
    open_order_api: OpenOrderApi,
    credentials: dict[str, Credentials],
) -> None:
    """
    Route requests to the accounts, and what is heard of them to the host.
    """
    outbox = Outbox()
    async with AsyncExitStack() as stack:
        dialogs: dict[str, AccountDialog] = {}
        for account, creds in credentials.items():
            api = await stack.enter_async_context(open_order_api(creds))
            dialogs[account] = await stack.enter_async_context(
                open_account_dialog(account, api, outbox.post)
            )
        positions = [it for dialog in dialogs.values() for it in dialog.positions]
        await ctx.started((positions, list(dialogs)))
        async with ctx.open_stream() as stream, open_nursery() as tn:
            tn.start_soon(outbox.keep_flushed, stream)
            async for msg in stream:
                account, oid = msg['account'], msg['oid']
                # what follows is about a reqid, which the host must have heard of
                reqid = msg.get('reqid') or oid
                outbox.post(BrokerdOrderAck(reqid, oid, account))
                await outbox.flush(stream)  # before the request takes up the time
                if account in dialogs:
                    dialogs[account].request(msg)
                else:
                    reason = f'no account {account!r} here, only {", ".join(dialogs)}'
                    outbox.post(mk_error(msg, reqid, reason))
            tn.cancel_scope.cancel()


class Outbox:
    """
    What the host is to hear, in its order.
    """

    def __init__(self) -> None:
        self._unsent: deque[Struct] = deque()
        self._posted = trio.Event()
        self._is_sending = False

    def post(self, msg: Struct) -> None:
        self._unsent.append(msg)
        self._posted.set()

    async def flush(self, stream: tractor.MsgStream) -> None:
        if self._is_sending:
            return  # whoever sends does not stop before the last one
        self._is_sending = True
        try:
            while self._unsent:
                await stream.send(self._unsent.popleft())
        finally:
            self._is_sending = False

    async def keep_flushed(self, stream: tractor.MsgStream) -> NoReturn:
        while True:
            await self._posted.wait()
            self._posted = trio.Event()
            await self.flush(stream)


@acm
async def open_account_dialog(
    account: str,
    api: OrderApi,
    emit: Emit,
) -> AsyncIterator[AccountDialog]:
    """
    Control the orders of one account, having heard of all that happened before.
    """
    async with (
        open_account(get_brokermod(NAME), account) as books,
        open_nursery() as tn,
    ):
        flows = Flows(account, api, books, emit)
        await flows.reconcile()
        tn.start_soon(flows.listen)
        tn.start_soon(flows.watch)
        yield AccountDialog(api, flows, emit, tn, _sent[account])
        tn.cancel_scope.cancel()


class AccountDialog:
    """
    Carries out what the host requests for one account. Those for the same order are
    done one after the other, those for different orders at once.
    """

    def __init__(
        self,
        api: OrderApi,
        flows: Flows,
        emit: Emit,
        tn: trio.Nursery,
        sent: dict[str, None],
    ) -> None:
        self._api = api
        self._limits = api.limits
        self._flows = flows
        self._emit = emit
        self._tn = tn
        self._sent = sent
        self._since = time.time_ns()
        """Older orders may have been given to the venue by a predecessor..."""
        self._started = trio.current_time()
        """... before this."""
        self._requests: dict[str, deque[dict[str, Any]]] = {}

    @property
    def positions(self) -> list[BrokerdPosition]:
        return list(self._flows.fills.positions.values())

    def request(self, msg: dict[str, Any]) -> None:
        """
        Do as `msg` says, after what was requested for the same order before.
        """
        reqid = str(msg.get('reqid') or msg['oid'])
        if msg['action'] == 'cancel' and (flow := self._flows.get(reqid)):
            flow.cancel_called = True
        if reqid in self._requests:
            self._requests[reqid].append(msg)
        else:
            self._requests[reqid] = deque([msg])
            self._tn.start_soon(self._work, reqid)

    async def _work(self, reqid: str) -> None:
        flow = self._flows.begin(reqid)
        todo = self._requests[reqid]
        # when the order is over, a queued change must not place it again
        while todo and self._flows.get(reqid) is flow:
            msg = todo[0]
            try:
                if msg['action'] == 'cancel':
                    await self._cancel(reqid, flow)
                else:
                    await self._submit(reqid, flow, convert(msg, BrokerdOrder))
            except (BrokerError, ValidationError) as err:
                self._emit(mk_error(msg, reqid, str(err)))
                if flow.order is None:
                    self._flows.forget(reqid)
                elif flow.is_open:
                    # the host would not cancel an order that ends with an error
                    self._flows.emit_open(reqid, flow)
            todo.popleft()
        del self._requests[reqid]

    async def _submit(self, reqid: str, flow: Flow, msg: BrokerdOrder) -> None:
        try:
            mkt: MktPair | None = await insist(self._api.market, msg.symbol)
        except SymbolNotFound as err:
            mkt, unknown = None, err  # it may have gone after the order was placed
        is_there = await self._is_there(reqid, flow, mkt, msg)
        if self._flows.get(reqid) is not flow:
            return  # it was, and is over
        if mkt is None:
            raise unknown
        check_order(mkt, msg, self._api.price_tick(mkt, msg.price))
        if not is_there:
            await self._place(reqid, flow, mkt, msg)
        # it may be one that was placed before, and is to be another now
        await self._edit(reqid, flow, mkt, msg)

    async def _is_there(
        self, reqid: str, flow: Flow, mkt: MktPair | None, msg: BrokerdOrder
    ) -> bool:
        """
        Whether the venue has the order that is asked for. Raises `BrokerError` where
        it had it once and has no more: that one is not to be placed anew.
        """
        if flow.order:
            return True
        # a host that was killed may not have heard of fills, and sends an order again
        if msg.reqid or self._flows.fills.are_of(reqid):
            if await self._flows.look_up(reqid, flow, mkt):
                return True
            self._flows.emit_end(reqid, flow, 'canceled', msg.size)
            raise BrokerError(f'no order {reqid!r} here')
        is_old = reqid in self._sent or msg.time_ns < self._since
        return is_old and await self._was_placed(reqid, flow, mkt, self._started)

    async def _place(
        self,
        reqid: str,
        flow: Flow,
        mkt: MktPair,
        msg: BrokerdOrder,
    ) -> None:
        side: Side = 'buy' if msg.action == 'buy' else 'sell'
        while not flow.cancel_called:
            self._note_sent(reqid)
            try:
                reply = await self._api.place(
                    mkt, side, msg.size, msg.price, reqid, self._limits.valid_for
                )
            except OrderExpired as err:
                log.warning('order %s: placing it again: %s', reqid, err)
            except (NotConnected, Throttled):
                self._sent.pop(reqid, None)
                raise
            except ConnectionLost as err:
                log.warning('order %s: asking for what became of it: %s', reqid, err)
                if await self._was_placed(reqid, flow, mkt, trio.current_time()):
                    return
            except BrokerError:
                # it may be refused for its id, where an attempt was carried out and
                # the reply lost; or the reply is nothing that we understand
                if not await self._flows.look_up(reqid, flow, mkt):
                    self._sent.pop(reqid, None)
                    raise
                return
            else:
                await self._flows.on_reply(reply)
                return
        # canceled before it was placed here, which says nothing of earlier attempts
        if not await self._flows.look_up(reqid, flow, mkt):
            self._flows.emit_end(reqid, flow, 'canceled', msg.size)

    def _note_sent(self, reqid: str) -> None:
        self._sent[reqid] = None
        if len(self._sent) > _max_sent:
            del self._sent[next(iter(self._sent))]

    async def _was_placed(
        self, reqid: str, flow: Flow, mkt: MktPair | None, sent: float
    ) -> bool:
        """
        Whether an attempt whose reply was lost, and which was `sent` by then, was
        carried out. If not, it never will be, or is refused then.
        """
        limits = self._limits
        deadline = sent + limits.valid_for + limits.clock_error
        if await self._flows.look_up(reqid, flow, mkt):
            return True
        if self._api.traits.client_ids == 'ever':
            return False
        if not self._api.traits.deadline:
            raise BrokerError(
                'nobody has heard what the venue answered; it has no such order yet, '
                'but may still come to it, so the order is not placed again'
            )
        await trio.sleep_until(deadline)
        return await self._flows.look_up(reqid, flow, mkt)

    async def _edit(
        self,
        reqid: str,
        flow: Flow,
        mkt: MktPair,
        msg: BrokerdOrder,
    ) -> None:
        while flow.is_open and (order := flow.order):
            if (order.market, order.side) != (mkt.bs_mktid, msg.action):
                raise BrokerError(
                    'cannot change the market or the side of an order; cancel it and '
                    'place another'
                )
            if (order.price, flow.size) == (msg.price, msg.size):
                return
            with self._flows.editing(reqid, flow):
                try:
                    size = msg.size - flow.replaced
                    reply = await self._api.edit(
                        order, size, msg.price, self._limits.valid_for
                    )
                except OrderExpired as err:
                    log.warning('order %s: changing it again: %s', reqid, err)
                except NotConnected:
                    raise
                except ConnectionLost as err:
                    log.warning('order %s: asking what became of it: %s', reqid, err)
                    await self._flows.look_up(reqid, flow)
                except OrderRejected as err:
                    # it may have ended or, by an attempt whose reply was lost, changed
                    await self._flows.look_up(reqid, flow)
                    if not flow.is_open:
                        flow.refusal = f'it could not be changed: {err}'
                    elif flow.order.order_id == order.order_id:
                        raise
                else:
                    await self._flows.on_reply(reply)
                    return

    async def _cancel(self, reqid: str, flow: Flow) -> None:
        if flow.order is None and not await self._flows.look_up(reqid, flow):
            raise BrokerError(f'no order {reqid!r} here')
        while flow.is_open and (order := flow.order):
            try:
                canceled = await self._api.cancel(order)
            except ConnectionLost as err:
                log.warning('order %s: asking for what became of it: %s', reqid, err)
                await self._flows.look_up(reqid, flow)
            except OrderRejected as err:
                if not await self._flows.look_up(reqid, flow):
                    gone = replace(order, state='canceled', reason=str(err))
                    await self._flows.on_order(gone)
                elif flow.is_open and flow.order.order_id == order.order_id:
                    raise
            else:
                if canceled is None:
                    await self._flows.look_up(reqid, flow)
                else:
                    await self._flows.on_order(canceled)
                return
