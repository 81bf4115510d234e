"""
Order control.

Every order bears its oid as the venue's label, and a label is used once. So that is
what orders are called from the start (`reqid`); a request whose reply was lost is
looked up by it, and can be made again without being carried out twice. Trades are
numbered by the venue, and the ledger knows the last one that we have seen.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from contextlib import asynccontextmanager as acm
from decimal import Decimal
from typing import Any, Literal, TypeVar

import pendulum
import tractor
import trio
from msgspec import ValidationError, convert, field
from msgspec.structs import asdict, replace

from . import _piker
from ._config import NAME
from ._piker import (
    Account,
    BrokerdError,
    BrokerdFill,
    BrokerdOrder,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdStatus,
    BrokerError,
    MktPair,
    Status,
    Struct,
    config,
    context,
    get_brokermod,
    get_logger,
    open_account,
    open_nursery,
)
from .api import (
    ChannelStream,
    Client,
    ConnectionLost,
    Credentials,
    Order,
    OrderRejected,
    OrdersMsg,
    Position,
    PositionsMsg,
    Reconnected,
    Throttled,
    UserTrade,
    UserTradesMsg,
    get_client,
)
from .symbols import cache_contract

log = get_logger(f'{NAME}.broker')

_page: int = 1000
"""Trades to fetch with one request."""

T = TypeVar('T')
Emit = Callable[[Struct], None]


def load_accounts() -> dict[str, Credentials]:
    """
    The accounts, by their full names `<broker>.<label>`: those of `brokers.toml`,
    where each names a section of credentials,

        [<broker>]
        accounts.<label> = '<name>'
        <name>.api_key = '...'
        <name>.api_secret = '...'

    and `main`, if `<BROKER>_API_KEY` and `<BROKER>_API_SECRET` are in the environment.
    One whose section is blank, as in a file that nobody has filled in, is no account.

    Raises `BrokerError` for a file of credentials that others may read, and for an
    account that lacks one.
    """
    conf, path = config.load('brokers')
    section = conf.get(NAME, {})
    entries: dict[str, dict[str, str]] = {}
    for label, name in section.get('accounts', {}).items():
        entry = section.get(str(name))
        if not isinstance(entry, dict):
            # not the name itself: it may be a key that was put in the wrong place
            raise BrokerError(
                f'the account {label!r} names no section of [{NAME}] in {path}, '
                'which has its api_key and api_secret'
            )
        if any(entry.values()):
            entries[label] = entry
    if entries and path.stat().st_mode & 0o077:
        raise BrokerError(
            f'{path} holds credentials that others can read: type chmod 600 {path}'
        )
    env = NAME.upper()
    if api_key := os.environ.get(f'{env}_API_KEY'):
        api_secret = os.environ.get(f'{env}_API_SECRET', '')
        entries = {**entries, 'main': {'api_key': api_key, 'api_secret': api_secret}}

    accounts: dict[str, Credentials] = {}
    for label, entry in entries.items():
        for name in ('api_key', 'api_secret'):
            if not entry.get(name):
                raise BrokerError(f'the account {label!r} has no {name}')
        accounts[f'{NAME}.{label}'] = Credentials(
            str(entry['api_key']), str(entry['api_secret'])
        )
    return accounts


_dialog = trio.CancelScope()
_one_dialog = trio.Lock()


@context
async def open_trade_dialog(ctx: tractor.Context) -> None:
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
            await control_orders(ctx, credentials)


async def control_orders(
    ctx: tractor.Context,
    credentials: dict[str, Credentials],
) -> None:
    """
    Route requests to the accounts, and what is heard of them to the host.
    """
    outbox, unsent = trio.open_memory_channel[Struct](float('inf'))
    async with AsyncExitStack() as stack:
        dialogs = {
            account: await stack.enter_async_context(
                open_account_dialog(account, creds, outbox.send_nowait)
            )
            for account, creds in credentials.items()
        }
        positions = [it for dialog in dialogs.values() for it in dialog.positions]
        await ctx.started((positions, list(dialogs)))
        async with ctx.open_stream() as stream, open_nursery() as tn:

            async def send() -> None:
                async for msg in unsent:
                    await stream.send(msg)

            tn.start_soon(send)
            for dialog in dialogs.values():
                tn.start_soon(dialog.run)
            async for msg in stream:
                account, oid = msg['account'], msg['oid']
                # what follows is about a reqid, which the host must have heard of
                reqid = msg.get('reqid') or oid
                outbox.send_nowait(BrokerdOrderAck(reqid, oid, account))
                if account in dialogs:
                    dialogs[account].request(msg)
                else:
                    reason = f'no account {account!r} here, only {", ".join(dialogs)}'
                    outbox.send_nowait(mk_error(msg, reqid, reason))
            tn.cancel_scope.cancel()


class Flow(Struct):
    """
    An order, from the request for it to the last that is heard of it.
    """

    order: Order | None = None
    """As the venue last described it; None until it has."""
    fills: dict[str, BrokerdFill] = field(default_factory=dict)
    """Those that the host was told, by trade."""
    cancel_called: bool = False

    @property
    def filled(self) -> float:
        return float(sum(Decimal(str(fill.size)) for fill in self.fills.values()))


@acm
async def open_account_dialog(
    account: str,
    credentials: Credentials,
    emit: Emit,
) -> AsyncIterator[AccountDialog]:
    """
    Control the orders of one account, having heard of all that happened before.
    """
    async with (
        open_account(get_brokermod(NAME), account) as books,
        get_client(credentials=credentials) as client,
        client.open_channel('user.orders', 'user.trades', 'user.positions') as msgs,
        open_nursery() as tn,
    ):
        dialog = AccountDialog(account, client, msgs, books, emit, tn)
        client.on_trouble = dialog.on_trouble
        await dialog.reconcile()
        yield dialog
        tn.cancel_scope.cancel()


class AccountDialog:
    """
    The orders of one account.
    """

    def __init__(
        self,
        account: str,
        client: Client,
        msgs: ChannelStream,
        books: Account,
        emit: Emit,
        tn: trio.Nursery,
    ) -> None:
        self._account = account
        self._client = client
        self._msgs = msgs
        self._books = books
        self._emit = emit
        self._since = time.time_ns()
        """Older orders may have been given to the venue by a predecessor."""
        self._flows: dict[str, Flow] = {}
        self._requests: dict[str, deque[dict[str, Any]]] = {}
        self._tn = tn
        last = books.ledger.last_record()
        # TODO: does the venue number an account's trades without a gap? Where it does
        # not, `_on_trades()` needs another way to know which ones are new.
        self._last_seq: int = last['user_seq'] if last else 0
        self._booking = trio.Lock()
        self._ended: deque[str] = deque(maxlen=1024)
        """Orders that are over: what is heard of them comes late."""
        self._positions: dict[str, BrokerdPosition] = {}
        self._trouble: str = ''
        """Why the venue is out of reach, as the host was told."""

    @property
    def positions(self) -> list[BrokerdPosition]:
        return list(self._positions.values())

    async def run(self) -> None:
        """
        Hear from the venue.
        """
        async for msg in self._msgs:
            match msg:
                case OrdersMsg(orders=orders):
                    for order in orders:
                        await self._on_order(order)
                case UserTradesMsg(trades=trades):
                    await self._on_trades(trades)
                case PositionsMsg(positions=positions):
                    await self._on_positions(positions)
                case Reconnected():
                    await self.reconcile()

    def on_trouble(self, reason: str) -> None:
        """
        Let the host know at once that orders stand as they stood, for all that we can
        tell, until the venue is back; and what is requested waits until then.
        """
        self._trouble = reason
        for reqid in {*self._flows, *self._requests}:
            self._emit_trouble(reqid)

    async def reconcile(self) -> None:
        """
        Ask the venue for what we may have missed: trades, orders, positions.
        """
        await self._fetch_trades()
        orders = await insist(self._client.get_open_orders)
        for order in orders:
            await self._on_order(order)
        still_open = {order.order_id for order in orders}
        for reqid, flow in list(self._flows.items()):
            if flow.order is None or flow.order.order_id in still_open:
                continue
            if known := await self._look_up(reqid):
                await self._on_order(known)
            else:
                log.error('order %s: the venue no longer knows of it', reqid)
        # TODO: does the venue leave out what is flat? Where it does, a position that
        # was closed meanwhile has to be told of here.
        await self._on_positions(await insist(self._client.get_positions))
        if self._trouble:
            self._trouble = ''
            for reqid, flow in self._flows.items():
                if flow.order:
                    self._emit_open(reqid, flow.order)

    # what the host requests

    def request(self, msg: dict[str, Any]) -> None:
        """
        Do as `msg` says, after what was requested for the same order before.
        """
        reqid = str(msg.get('reqid') or msg['oid'])
        if msg['action'] == 'cancel' and reqid in self._flows:
            self._flows[reqid].cancel_called = True
        if reqid in self._requests:
            self._requests[reqid].append(msg)
        else:
            self._requests[reqid] = deque([msg])
            self._tn.start_soon(self._work, reqid)
        if self._trouble:
            self._emit_trouble(reqid)

    async def _work(self, reqid: str) -> None:
        todo = self._requests[reqid]
        while todo:
            msg = todo[0]
            try:
                if msg['action'] == 'cancel':
                    await self._cancel(reqid)
                else:
                    await self._submit(reqid, convert(msg, BrokerdOrder))
            except (BrokerError, ValidationError) as err:
                self._emit(mk_error(msg, reqid, str(err)))
                flow = self._flows.get(reqid)
                if flow and flow.order and flow.order.order_state == 'open':
                    # the host would not cancel an order that ends with an error
                    self._emit_open(reqid, flow.order)
            todo.popleft()
        del self._requests[reqid]

    async def _submit(self, reqid: str, msg: BrokerdOrder) -> None:
        flow = self._flows.setdefault(reqid, Flow())
        try:
            if flow.order is None and (msg.reqid or msg.time_ns < self._since):
                known = await self._recall(reqid, flow)
                if msg.reqid and not known:
                    # the venue had it once, so it is not to be placed anew
                    self._emit_status(reqid, 'canceled', remaining=msg.size)
                    raise BrokerError(f'no order {reqid!r} here')
            if self._flows.get(reqid) is not flow:
                return
            mkt = await insist(cache_contract, self._client, msg.symbol)
            check_order(mkt, msg)
            if flow.order is None:
                await self._place(reqid, flow, mkt, msg)
            # it may be one that was placed before, and is to be another now
            await self._edit(reqid, flow, mkt, msg)
        except BrokerError:
            if flow.order is None:
                self._forget(reqid)
            raise

    def _forget(self, reqid: str) -> None:
        """
        Be done with an order that is over, or never was: a change of it that waits its
        turn is not to make it anew.
        """
        self._flows.pop(reqid, None)
        waiting = self._requests.get(reqid)
        while waiting and len(waiting) > 1:
            waiting.pop()

    async def _place(
        self,
        reqid: str,
        flow: Flow,
        mkt: MktPair,
        msg: BrokerdOrder,
    ) -> None:
        while not flow.cancel_called:
            try:
                reply = await self._client.submit_order(
                    mkt.bs_mktid,
                    'buy' if msg.action == 'buy' else 'sell',
                    msg.size,
                    msg.price,
                    # TODO: does the venue take a label only once? Where it does not,
                    # an attempt that is late may be carried out beside the next.
                    label=reqid,
                )
            except ConnectionLost as err:
                log.warning('order %s: asking for what became of it: %s', reqid, err)
                if await self._recall(reqid, flow):
                    return
            except Throttled:
                raise
            except BrokerError:
                # it may be refused for its label, where an attempt was carried out and
                # the reply lost; or the reply is nothing that we understand
                if not await self._recall(reqid, flow):
                    raise
                return
            else:
                await self._on_trades(reply.trades)
                await self._on_order(reply.order)
                return
        # canceled before it was placed here, which says nothing of earlier attempts
        if await self._recall(reqid, flow):
            return
        self._forget(reqid)
        self._emit_status(reqid, 'canceled', remaining=msg.size)

    async def _edit(
        self,
        reqid: str,
        flow: Flow,
        mkt: MktPair,
        msg: BrokerdOrder,
    ) -> None:
        while (order := flow.order) and order.order_state == 'open':
            if (order.instrument_name, order.direction) != (mkt.bs_mktid, msg.action):
                raise BrokerError('an order keeps its market and its side')
            if (order.price, order.amount) == (msg.price, msg.size):
                return
            try:
                reply = await self._client.edit_order(
                    order.order_id, msg.size, msg.price
                )
            except ConnectionLost:
                if known := await self._look_up(reqid):
                    await self._on_order(known)
            else:
                await self._on_trades(reply.trades)
                await self._on_order(reply.order)
                return

    async def _cancel(self, reqid: str) -> None:
        flow = self._flows.setdefault(reqid, Flow())
        if flow.order is None and not await self._recall(reqid, flow):
            self._forget(reqid)
            raise BrokerError(f'no order {reqid!r} here')
        while (order := flow.order) and order.order_state == 'open':
            try:
                await self._on_order(await self._client.cancel_order(order.order_id))
            except ConnectionLost:
                if known := await self._look_up(reqid):
                    await self._on_order(known)
            except OrderRejected as err:
                known = await self._look_up(reqid)
                if known is None:
                    reason = str(err)
                    known = replace(
                        order, order_state='cancelled', cancel_reason=reason
                    )
                elif known.order_state == 'open':
                    raise
                await self._on_order(known)
            else:
                return

    async def _look_up(self, reqid: str) -> Order | None:
        """
        The order as the venue has it, or None; waits for a connection.
        """
        for order_id, label in (('', reqid), (reqid, '')):
            # in this order: only an order that is not one of ours has no label
            with suppress(OrderRejected):
                return await insist(self._client.get_order_state, order_id, label)
        return None

    async def _recall(self, reqid: str, flow: Flow) -> bool:
        """
        Find out about an order that may have been given to the venue, and tell its
        whole story so far. Whether the venue has it.
        """
        if (order := await self._look_up(reqid)) is None:
            return False
        await self._fetch_trades()
        if self._flows.get(reqid) is not flow:
            return True  # that was the end of it
        past = self._past_fills(order)
        for tid, fill in past.items():
            if tid not in flow.fills:
                self._emit(fill)
        flow.fills |= past
        if flow.order and flow.order.order_state == 'open':
            self._emit_open(reqid, flow.order)
        await self._on_order(order)
        return True

    def _past_fills(self, order: Order) -> dict[str, BrokerdFill]:
        if not order.filled_amount:
            return {}
        fills: dict[str, BrokerdFill] = {}
        missing = Decimal(str(order.filled_amount))
        for tid, record in self._books.ledger.iter_newest():
            if record.get('order_id') == order.order_id:
                fills[tid] = mk_fill(tid, record)
                missing -= Decimal(str(record['amount']))
                if missing <= 0:
                    break
        return dict(reversed(fills.items()))

    # what the venue says

    async def _on_order(self, order: Order) -> None:
        mkt = await insist(cache_contract, self._client, order.instrument_name)
        reqid = order.label or order.order_id
        flow = self._flows.get(reqid)
        if flow is None:
            # found at the start, or somebody else's
            if order.order_state == 'open' and order.order_id not in self._ended:
                self._flows[reqid] = flow = Flow(order, self._past_fills(order))
                self._emit(mk_open_order(reqid, order, mkt, self._account))
                for fill in flow.fills.values():
                    self._emit(fill)
                if flow.fills:
                    self._emit_open(reqid, order)
            return
        known = flow.order
        if known and (
            known.order_state != 'open'
            or order.last_update_timestamp < known.last_update_timestamp
            or order.filled_amount < known.filled_amount
        ):
            return  # old news
        flow.order = order
        if order.order_state == 'open' and (
            known is None
            or (known.price, known.amount) != (order.price, order.amount)
            or known.filled_amount != order.filled_amount
        ):
            self._emit_open(reqid, order)
        self._settle(reqid, flow)

    async def _on_trades(self, trades: list[UserTrade]) -> None:
        """
        Enter trades into the ledger, each once and in order, and tell of them.
        """
        async with self._booking:
            new = sorted(it.user_seq for it in trades if it.user_seq > self._last_seq)
            if new and new[0] > self._last_seq + 1:
                await self._catch_up(new[-1])
            for trade in trades:
                await self._book(trade)

    async def _fetch_trades(self) -> None:
        """
        Enter the trades that we have not heard of.
        """
        async with self._booking:
            for newest in await insist(self._client.get_user_trades, None, 1):
                await self._catch_up(newest.user_seq)

    async def _catch_up(self, until_seq: int) -> None:
        """
        Enter the trades up to this one, a page at a time.
        """
        while self._last_seq < until_seq:
            start_seq = self._last_seq + 1
            limit = min(_page, until_seq - self._last_seq)
            for trade in await insist(self._client.get_user_trades, start_seq, limit):
                await self._book(trade)
            if self._last_seq < start_seq:
                log.error(
                    '%s: the venue does not tell of the trades %d to %d',
                    self._account,
                    start_seq,
                    until_seq,
                )
                return

    async def _book(self, trade: UserTrade) -> None:
        if trade.user_seq <= self._last_seq:
            return
        mkt = await insist(cache_contract, self._client, trade.instrument_name)
        tid, record = str(trade.user_seq), mk_record(trade, mkt)
        self._books.add(tid, record)
        self._last_seq = trade.user_seq
        reqid = trade.label or trade.order_id
        if flow := self._flows.get(reqid):
            flow.fills[tid] = mk_fill(tid, record)
            self._emit(flow.fills[tid])
            self._settle(reqid, flow)

    async def _on_positions(self, positions: list[Position]) -> None:
        for position in positions:
            mkt = await insist(cache_contract, self._client, position.instrument_name)
            msg = self._positions[mkt.fqme] = BrokerdPosition(
                broker=NAME,
                account=self._account,
                symbol=mkt.fqme,
                size=position.size,
                avg_price=position.average_price,
            )
            self._emit(msg)

    def _settle(self, reqid: str, flow: Flow) -> None:
        """
        Let an order end, as soon as it has and all its fills were told.
        """
        order = flow.order
        if order is None or order.order_state == 'open':
            return
        if flow.filled < order.filled_amount:
            return
        if self._flows.get(reqid) is not flow:
            return
        self._forget(reqid)
        self._ended.append(order.order_id)
        self._emit_status(
            reqid,
            'closed' if order.order_state == 'filled' else 'canceled',
            filled=order.filled_amount,
            remaining=order.amount - order.filled_amount,
            reason=order.cancel_reason,
        )

    def _emit_open(self, reqid: str, order: Order) -> None:
        self._emit_status(
            reqid,
            'open',
            filled=order.filled_amount,
            remaining=order.amount - order.filled_amount,
            broker_details={
                'name': NAME,
                'price': order.price,
                'size': order.amount,
            },
        )

    def _emit_trouble(self, reqid: str) -> None:
        flow = self._flows.get(reqid)
        order = flow.order if flow else None
        self._emit_status(
            reqid,
            'pending',
            reason=f'the venue is out of reach: {self._trouble}',
            filled=order.filled_amount if order else 0.0,
            remaining=order.amount - order.filled_amount if order else 0.0,
        )

    def _emit_status(
        self,
        reqid: str,
        status: Literal['pending', 'open', 'canceled', 'closed'],
        **fields: Any,
    ) -> None:
        self._emit(
            BrokerdStatus(
                time_ns=time.time_ns(),
                reqid=reqid,
                status=status,
                account=self._account,
                **{'broker_details': {'name': NAME}, **fields},
            )
        )


async def insist(query: Callable[..., Awaitable[T]], *args: Any) -> T:
    """
    What the venue says, however long that takes: not to know is not an answer when
    an order may be out there.
    """
    while True:
        try:
            return await query(*args)
        except ConnectionLost as err:
            log.warning('asking the venue again: %s', err)
        except Throttled as err:
            log.warning('asking the venue again in %.1f s: %s', err.pause, err)
            await trio.sleep(err.pause)


def check_order(mkt: MktPair, msg: BrokerdOrder) -> None:
    """
    Raise `BrokerError` for what the market does not have.
    """
    if msg.action not in ('buy', 'sell'):
        raise BrokerError(f'neither buy nor sell: {msg.action!r}')
    for name, value, tick in (
        ('price', msg.price, mkt.price_tick),
        ('size', msg.size, mkt.size_tick),
    ):
        steps = Decimal(str(value)) / tick
        if not steps.is_finite() or steps <= 0 or steps != steps.to_integral_value():
            raise BrokerError(f'{name} {value} is not a multiple of {tick}')


def mk_error(msg: dict[str, Any], reqid: str, reason: str) -> BrokerdError:
    """
    The refusal of a request.
    """
    return BrokerdError(
        reason,
        msg.get('symbol'),
        oid=msg['oid'],
        reqid=reqid,
        # the host looks here for the symbol that a cancel does not have
        broker_details={'name': NAME, 'flow': msg},
    )


def mk_record(trade: UserTrade, mkt: MktPair) -> dict[str, Any]:
    """
    A trade as the ledger keeps it. The host sorts by `dt`.
    """
    dt = pendulum.from_timestamp(trade.timestamp / 1000)
    return {**asdict(trade), 'fqme': mkt.fqme, 'dt': dt.isoformat()}


def mk_fill(tid: str, record: dict[str, Any]) -> BrokerdFill:
    """
    A record of the ledger as the host wants to hear of it.
    """
    return BrokerdFill(
        time_ns=time.time_ns(),
        broker_time=record['timestamp'] / 1000,
        reqid=record['label'] or record['order_id'],
        size=record['amount'],
        price=record['price'],
        action=record['direction'],
        broker_details={'name': NAME, 'tid': tid, 'fee': record['fee']},
    )


def mk_open_order(reqid: str, order: Order, mkt: MktPair, account: str) -> Status:
    return Status(
        time_ns=time.time_ns(),
        oid=reqid,
        resp='open',
        reqid=reqid,
        src=NAME,
        req=_piker.Order(
            action=order.direction,
            exec_mode='live',
            oid=reqid,
            symbol=mkt.bs_fqme,
            account=account,
            price=order.price or order.average_price,
            size=order.amount,
            brokers=[NAME],
        ),
    )
