"""
The execution management system: routes orders to a live broker or the paper engine,
keeps dark orders and alerts, and tells all clients what happens.

Per broker and mode there is one relay, which holds the dialogs of all orders that
are open. Its handlers are plain functions: a state changes within one step of the
event loop, and what is to be said of it waits in a queue for each listener.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager as acm
from math import isfinite
from time import time_ns
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import msgspec
import tractor
import trio
from msgspec import Struct, convert, field, to_builtins
from msgspec.structs import replace

from .._tractor import collapse, context, error_text, open_nursery
from ..accounting import MktPair, unpack_fqme
from ..brokers import get_brokermod
from ..brokers._daemon import maybe_spawn_brokerd
from ..data.feed import Quote, open_feed
from ..log import get_logger
from ..service._daemon import end_daemon
from ..service._liveness import watch_actor
from ._duplex import open_duplex
from ._messages import (
    BrokerdCancel,
    BrokerdError,
    BrokerdFill,
    BrokerdOrder,
    BrokerdPosition,
    BrokerdStatus,
    Error,
    Order,
    Status,
)
from ._paper_engine import open_paperboi

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = get_logger('clearing.ems')

ExecMode = Literal['live', 'paper']

Positions = dict[tuple[str, str], dict[str, BrokerdPosition]]
"""By (broker, account) and fqme."""

_max_lag: int = 2**15
"""Messages that a client may be behind."""
_max_ended: int = 1024
"""Orders that are remembered when they are over."""
_patience: float = 10.0
"""Seconds that a broker's daemon has to tell which orders are open."""
_max_mistakes: int = 5
"""How often in a row an order dialog may break by a bad message."""
_max_backoff: float = 5
"""The longest pause before another try to get an order dialog back, s."""
_stable: float = 10
"""After a dialog that has lasted this long the pauses begin anew, s."""
_spread_slap: int = 5
"""Ticks beyond the market at which a triggered dark order is submitted."""


class EmsLagged(RuntimeError):
    """
    A client is too slow to be told what happens to its orders.
    """


class BadBrokerdMsg(ValueError):
    """
    A message of an order dialog that piker would drop, or be killed by.
    """


@acm
async def open_brokerd_dialog(
    brokermod: ModuleType,
    *,
    exec_mode: ExecMode,
    portal: tractor.Portal | None = None,
    loglevel: str | None = None,
) -> AsyncIterator[tuple[tractor.MsgStream, Positions, list[str]]]:
    """
    Open the order dialog of a broker: the one and only place where a `brokerd` is
    booted, unless `portal` is that of an actor to use instead.

    In paper mode, and also where the backend says that it has no credentials, it is
    a dialog with the paper engine, and there is no `brokerd`. Yields the dialog's
    stream, the positions and the names of the accounts.

    Raises `ServiceDied` when the daemon dies.
    """
    # one that says it trades and cannot is an error: not to be taken for paper
    if exec_mode == 'live' and getattr(brokermod, '_brokerd_mods', []):
        async with (
            _open_brokerd(brokermod, portal, loglevel) as brokerd,
            brokerd.open_context(brokermod.open_trade_dialog) as (ctx, first),
        ):
            if first != 'paper':
                positions, accounts = first
                async with ctx.open_stream() as stream:
                    yield stream, check_positions(positions, accounts), accounts
                    await ctx.cancel()
                return
        log.warning('%s: no credentials, entering paper mode', brokermod.name)
        if portal is None:
            await end_daemon(f'brokerd.{brokermod.name}')

    async with (
        open_paperboi(brokermod.name, loglevel) as (ctx, (positions, accounts)),
        ctx.open_stream() as stream,
    ):
        yield stream, check_positions(positions, accounts), accounts
        await ctx.cancel()


@acm
async def _open_brokerd(
    brokermod: ModuleType,
    portal: tractor.Portal | None,
    loglevel: str | None,
) -> AsyncIterator[tractor.Portal]:
    if portal is not None:
        async with watch_actor(portal):
            yield portal
        return
    async with maybe_spawn_brokerd(brokermod.name, loglevel) as brokerd:
        yield brokerd


def check_positions(msgs: list[dict[str, Any]], accounts: list[str]) -> Positions:
    """
    The positions that a dialog starts with, by broker and account.
    """
    if len(set(accounts)) != len(accounts):
        raise BadBrokerdMsg(f'accounts must be unique: {accounts}')
    positions: Positions = {}
    for msg in msgs:
        position = check_position(msg, accounts)
        key = position.broker, position.account
        positions.setdefault(key, {})[position.symbol] = position
    return positions


def check_position(msg: dict[str, Any], accounts: list[str]) -> BrokerdPosition:
    position = convert(msg, BrokerdPosition)
    if position.account not in accounts:
        raise BadBrokerdMsg(f'{position} is of none of the accounts {accounts}')
    if not position.symbol.endswith(f'.{position.broker}'):
        raise BadBrokerdMsg(f'the symbol of a position is the full fqme: {position}')
    return position


class Client:
    """
    A client of `emsd`, and what it has not been told yet.
    """

    def __init__(self, fqme: str | None) -> None:
        self.fqme = fqme
        """The market whose orders it wants to hear of; None: all."""
        self.since = time_ns()
        self._queue, self.unsent = trio.open_memory_channel[Any](_max_lag)
        self.error: Exception | None = None

    def push(self, msg: Status | BrokerdPosition) -> None:
        try:
            self._queue.send_nowait(to_builtins(msg))
        except trio.WouldBlock:
            self.fail(EmsLagged(f'more than {_max_lag} messages behind'))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it is leaving

    def fail(self, error: Exception) -> None:
        """
        Raise `error` in it, loud rather than lossy.
        """
        self.error = self.error or error
        self._queue.close()


class Market(Struct):
    """
    A market that is watched for dark orders and alerts.
    """

    mkt: MktPair
    last: float
    triggers: dict[str, Callable[[dict[str, Any]], bool]] = {}
    """By oid; called with each tick."""


class Dialog(Struct):
    """
    An order from its first request to its end.
    """

    status: Status
    """The latest that clients were told."""
    order: Order
    """As clients want it, whether or not the broker has it like that yet."""
    client: Client | None = None
    """Who opened it."""
    time_ns: int = field(default_factory=time_ns)
    sent: Order | None = None
    """What the broker's daemon was asked for last, or is to be when there is one."""
    accepted: Order | None = None
    """The order as the broker has it; None until it has."""
    fills: dict[str, Status] = {}
    """Those that clients were told, by trade."""


class TradesRelay:
    """
    All order dialogs with one broker, live or on paper.
    """

    def __init__(self, router: Router, broker: str, exec_mode: ExecMode) -> None:
        self._router = router
        self.broker = broker
        self.exec_mode: ExecMode = exec_mode
        self.clients: set[Client] = set()
        self.dialogs: dict[str, Dialog] = {}
        """By oid."""
        self._ended: dict[str, Dialog] = {}
        """Those that were closed or canceled last, by oid."""
        self._over: deque[int | str] = deque(maxlen=_max_ended)
        """The last reqids that stand for nothing any more."""
        self.positions: Positions = {}
        self.accounts: list[str] = []
        self._oids: dict[int | str, str] = {}
        self._to_brokerd: trio.MemorySendChannel[BrokerdOrder | BrokerdCancel] | None
        self._to_brokerd = None
        self._trouble = ''
        """Why there is no dialog with the broker's daemon."""

    async def run(self, loglevel: str | None, task_status: TaskStatus[None]) -> None:
        """
        Keep the dialog with the broker's daemon, from the first one on. When it breaks
        off, be it that the daemon dies or that the venue is closed for an hour, another
        is begun, and told of all that is open; until then clients are told why not.

        Raises `BadBrokerdMsg` where it breaks by one again and again.
        """
        mod = get_brokermod(self.broker)
        started = False

        def on_synced() -> None:
            nonlocal started
            if not started:
                started = True
                task_status.started()

        mistakes = 0
        pause = 0.0
        while True:
            since = trio.current_time()
            try:
                async with open_brokerd_dialog(
                    mod, exec_mode=self.exec_mode, loglevel=loglevel
                ) as (stream, positions, accounts):
                    self._on_connect(positions, accounts)
                    await self._relay(stream, on_synced)
                    raise ConnectionError(f'{self.broker}: the order dialog ended')
            except Exception as err:
                cause = collapse(err)
                if trio.current_time() - since > _stable:
                    mistakes, pause = 0, 0.0
                mistakes += isinstance(cause, BadBrokerdMsg)
                if not started or mistakes == _max_mistakes:
                    raise cause from cause.__cause__
                self._on_trouble(error_text(cause))
                await trio.sleep(pause)
                pause = min(2 * pause + 0.1, _max_backoff)
            finally:
                self._to_brokerd = None

    def _on_trouble(self, reason: str) -> None:
        log.error('%s: order dialog lost: %s', self.broker, reason)
        if reason != self._trouble:
            self._trouble = reason
            for dialog in self.dialogs.values():
                self._tell_trouble(dialog)

    def _tell_trouble(self, dialog: Dialog) -> None:
        if dialog.status.resp != 'dark_open' and dialog.order.action != 'alert':
            details = {'reason': f'the broker is out of reach: {self._trouble}'}
            self._update(dialog, resp='pending', brokerd_msg=details)

    async def _relay(
        self,
        stream: tractor.MsgStream,
        on_synced: Callable[[], None],
    ) -> None:
        """
        Relay until the stream ends. Calls `on_synced` when all orders are known that
        were open at its start.

        A daemon tells of them first, but not when that was the last. So it is asked to
        cancel an order of no account, which reaches no venue, and whatever it answers
        comes after them.
        """
        probe = BrokerdCancel(oid=f'probe-{uuid4()}', time_ns=time_ns(), account='')
        synced = trio.Event()
        send_chan, requests = trio.open_memory_channel[BrokerdOrder | BrokerdCancel](
            float('inf')
        )

        async def send_requests() -> None:
            async for request in requests:
                await stream.send(to_builtins(request))

        async def wait_until_synced() -> None:
            with trio.move_on_after(_patience):
                await synced.wait()
            if not synced.is_set():
                log.error('%s: some open orders may be unknown', self.broker)
            on_synced()

        async with open_nursery() as tn:
            tn.start_soon(send_requests)
            tn.start_soon(wait_until_synced)
            send_chan.send_nowait(probe)
            self._to_brokerd = send_chan
            self._trouble = ''
            for dialog in self.dialogs.values():
                self._request(dialog)
            async for msg in stream:
                if msg.get('oid') == probe.oid:
                    synced.set()
                    continue
                try:
                    self.on_brokerd_msg(msg)
                except Exception as err:
                    raise BadBrokerdMsg(f'{err!r}: {msg}') from err
            tn.cancel_scope.cancel()

    def _on_connect(self, positions: Positions, accounts: list[str]) -> None:
        self.positions, self.accounts = positions, accounts
        for by_fqme in positions.values():
            for position in by_fqme.values():
                self._tell_all(position)

    def _request(self, dialog: Dialog) -> None:
        """
        Ask the broker's daemon for what the order is to be, if there is one to ask;
        the next one will be.
        """
        status, order = dialog.status, dialog.order
        if dialog.sent and not dialog.accepted:
            # a daemon that died may have given it to the broker; a change of it waits
            order = dialog.sent
        if status.resp == 'dark_open' or order.action == 'alert':
            return
        request: BrokerdOrder | BrokerdCancel
        if status.cancel_called:
            request = BrokerdCancel(
                oid=order.oid,
                time_ns=time_ns(),
                account=order.account,
                reqid=status.reqid,
            )
        else:
            dialog.sent = order
            request = BrokerdOrder(
                oid=order.oid,
                account=order.account,
                # not now: what is older than a daemon may be known to the broker
                time_ns=dialog.time_ns,
                symbol=order.symbol.removesuffix(f'.{self.broker}'),
                price=order.price,
                size=order.size,
                action=order.action,
                # only of one that the broker has, and may have forgotten
                reqid=status.reqid if dialog.accepted else None,
            )
        if self._to_brokerd:
            self._to_brokerd.send_nowait(request)

    def _accept(self, dialog: Dialog, details: dict[str, Any]) -> None:
        """
        Take note that the broker has the order: as it was asked for last, unless
        `details` say otherwise.
        """
        before, sent = dialog.accepted, dialog.sent or dialog.order
        said = {it: details[it] for it in ('price', 'size') if details.get(it)}
        dialog.accepted = replace(sent, **said)
        if before is None and dialog.order != sent:
            if not dialog.status.cancel_called:
                self._request(dialog)  # a change that had to wait
        elif dialog.order == before:
            # nobody here wants another one: whoever made it that, that is what it is
            dialog.order = dialog.accepted

    def _tell_all(self, msg: BrokerdPosition) -> None:
        for client in self.clients:
            client.push(msg)

    def _update(self, dialog: Dialog, **changes: Any) -> None:
        """
        Bring the dialog's status forward, and let clients know.
        """
        dialog.status = replace(dialog.status, time_ns=time_ns(), **changes)
        self._broadcast(dialog, dialog.status)

    def _broadcast(self, dialog: Dialog, status: Status) -> None:
        for client in self.clients:
            if client is dialog.client or client.fqme in (None, dialog.order.symbol):
                client.push(status)

    def _end(self, dialog: Dialog) -> None:
        del self.dialogs[dialog.status.oid]
        if dialog.status.reqid is not None:
            self._oids.pop(dialog.status.reqid, None)
            self._over.append(dialog.status.reqid)

    # what clients say

    async def on_client_msg(self, client: Client, msg: dict[str, Any]) -> None:
        oid = str(msg.get('oid', ''))
        try:
            match msg:
                case {'action': 'cancel'}:
                    self._cancel(oid)
                case {'exec_mode': 'dark'} | {'action': 'alert'}:
                    order = _check(convert(msg, Order))
                    market = await self._router.get_market(order.symbol)
                    self._arm(client, self._router.name_in_full(order), market)
                case _:
                    order = _check(convert(msg, Order))
                    self._submit(client, self._router.name_in_full(order))
        except (ValueError, msgspec.ValidationError, tractor.RemoteActorError) as err:
            client.push(Error(time_ns(), oid, brokerd_msg={'reason': error_text(err)}))

    def _submit(self, client: Client, order: Order) -> None:
        if ended := self._ended.get(order.oid):
            if ended.status.time_ns >= client.since:
                raise ValueError('the order is over')
            self._catch_up(client, ended)
            return
        if dialog := self.dialogs.get(order.oid):
            if dialog.status.resp == 'dark_open':
                raise ValueError('an order keeps its kind')
            self._check_change(dialog, order)
            self._catch_up(client, dialog)
            dialog.order = order
            if dialog.sent and not dialog.accepted:
                return  # what was refused must not come to life by a change of it
        else:
            status = Status(time_ns(), order.oid, 'pending', req=order)
            dialog = self.dialogs[order.oid] = Dialog(status, order, client)
        self._request(dialog)
        if self._trouble:
            self._tell_trouble(dialog)

    @staticmethod
    def _check_change(dialog: Dialog, order: Order) -> None:
        for name in ('symbol', 'account', 'action'):
            if getattr(order, name) != getattr(dialog.order, name):
                raise ValueError(f'an order keeps its {name}')

    @staticmethod
    def _catch_up(client: Client, dialog: Dialog) -> None:
        """
        Tell a client, which was restarted and asks for its order again, what was said
        of it before.
        """
        statuses = list(dialog.fills.values())
        if dialog.status.resp != 'fill':
            statuses.append(dialog.status)
        for status in statuses:
            if status.time_ns < client.since:
                client.push(status)

    def _cancel(self, oid: str) -> None:
        if not (dialog := self.dialogs.get(oid)):
            raise ValueError('no such order is open')
        if dialog.status.resp == 'dark_open':
            self._router.markets[dialog.order.symbol].triggers.pop(oid)
            self._update(dialog, resp='canceled')
            self._end(dialog)
        elif not dialog.status.cancel_called:
            dialog.status = replace(dialog.status, cancel_called=True)
            # what the broker has not acknowledged cannot be canceled there yet
            if dialog.status.reqid is not None:
                self._request(dialog)

    # dark orders and alerts

    def _arm(self, client: Client, order: Order, market: Market) -> None:
        if dialog := self.dialogs.get(order.oid):
            if dialog.status.resp != 'dark_open':
                raise ValueError('an order keeps its kind')
            self._check_change(dialog, order)
        else:
            status = Status(time_ns(), order.oid, 'dark_open', req=order, src='dark')
            dialog = self.dialogs[order.oid] = Dialog(status, order, client)

        reached = mk_check(order.price, market.last)
        tick_types = {
            'buy': ('ask', 'last', 'trade'),
            'sell': ('bid', 'last', 'trade'),
            'alert': ('trade', 'utrade', 'last'),
        }[order.action]

        def trigger(tick: dict[str, Any]) -> bool:
            if tick['type'] not in tick_types or not reached(tick['price']):
                return False
            self._trigger(order.oid, market.mkt, tick['price'])
            return True

        market.triggers[order.oid] = trigger
        dialog.order = order
        self._update(dialog, req=order)

    def _trigger(self, oid: str, mkt: MktPair, price: float) -> None:
        dialog = self.dialogs[oid]
        order = dialog.order
        if order.action == 'alert':
            self._update(dialog, resp='triggered')
            self._end(dialog)
            return
        side = 1 if order.action == 'buy' else -1
        limit = price + side * _spread_slap * float(mkt.price_tick)
        dialog.order = replace(order, price=float(mkt.quantize(limit, 'price')))
        self._update(dialog, resp='triggered', req=dialog.order)
        self._request(dialog)

    # what the broker's daemon says

    def on_brokerd_msg(self, msg: dict[str, Any]) -> None:
        match msg:
            case {'name': 'position'}:
                position = check_position(msg, self.accounts)
                key = position.broker, position.account
                self.positions.setdefault(key, {})[position.symbol] = position
                self._tell_all(position)
            case {'name': 'ack', 'reqid': reqid, 'oid': oid}:
                self._on_ack(oid, reqid)
            case {'name': 'error'}:
                self._on_error(convert(msg, BrokerdError))
            case {'name': 'fill'}:
                self._on_fill(convert(msg, BrokerdFill))
            case {'name': 'status', 'resp': 'open'}:
                self._on_open_order(convert(msg, Status))
            case {'name': 'status', 'status': _}:
                self._on_status(convert(msg, BrokerdStatus))
            case _:
                raise BadBrokerdMsg(f'not a message of brokerd: {msg}')

    def _find(self, msg: BrokerdStatus | BrokerdFill) -> Dialog | None:
        """
        The dialog that a message is of, or None if that is over.
        """
        if oid := self._oids.get(msg.reqid):
            return self.dialogs.get(oid)
        if msg.reqid not in self._over:
            raise BadBrokerdMsg(f'no order was acknowledged by this reqid: {msg}')
        return None

    def _on_ack(self, oid: str, reqid: int | str) -> None:
        if not (dialog := self.dialogs.get(oid)):
            self._over.append(reqid)
            return  # it was over before
        self._oids[reqid] = oid
        if dialog.status.reqid == reqid:
            return  # acknowledged by an earlier daemon, or an edit
        self._update(dialog, reqid=reqid)
        if dialog.status.cancel_called:
            self._request(dialog)

    def _on_error(self, error: BrokerdError) -> None:
        oid = error.oid or self._oids.get(error.reqid or '')
        dialog = self.dialogs.get(oid or '')
        if oid is None or dialog is None:
            if not (error.symbol or 'flow' in error.broker_details):
                raise BadBrokerdMsg(
                    'an error of no open order has a symbol, or what was requested as '
                    f'broker_details["flow"]: {error}'
                )
            log.error('%s: %s', self.broker, error)
            return
        refusal = Error(
            time_ns(),
            oid,
            reqid=dialog.status.reqid,
            req=dialog.order,
            brokerd_msg=to_builtins(error),
        )
        if dialog.accepted is None and dialog.status.cancel_called:
            # the broker does not have it, and never will
            self._update(dialog, resp='canceled', brokerd_msg=refusal.brokerd_msg)
            self._end(dialog)
        elif dialog.accepted is None:
            self._broadcast(dialog, refusal)
            self._end(dialog)
        else:  # an edit or a cancel was refused, the order stands as it was
            dialog.order = dialog.accepted
            dialog.status = replace(dialog.status, cancel_called=False)
            self._broadcast(dialog, refusal)

    def _on_status(self, msg: BrokerdStatus) -> None:
        if 'name' not in msg.broker_details:
            raise BadBrokerdMsg(f'broker_details must have a name: {msg}')
        dialog = self._find(msg)
        if dialog is None:
            return
        if msg.status == 'pending':
            if msg.reason:  # why it is not known how the order stands
                self._update(dialog, resp='pending', brokerd_msg=to_builtins(msg))
            return
        if msg.status == 'open':
            self._accept(dialog, msg.broker_details)
        self._update(
            dialog,
            resp=msg.status,
            reqid=msg.reqid,
            req=dialog.accepted or dialog.order,
            src=msg.broker_details['name'],
            brokerd_msg=to_builtins(msg),
        )
        if msg.status != 'open':
            self._end(dialog)
            self._ended[dialog.status.oid] = dialog
            if len(self._ended) > _max_ended:
                del self._ended[next(iter(self._ended))]

    def _on_fill(self, msg: BrokerdFill) -> None:
        if (dialog := self._find(msg)) is None:
            log.warning('%s: a fill of an order that is not open: %s', self.broker, msg)
            return
        tid = str(msg.broker_details.get('tid', f'{msg.broker_time}/{msg.time_ns}'))
        if tid not in dialog.fills:  # not told before by an earlier daemon
            if dialog.accepted is None:
                self._accept(dialog, {})
            self._update(
                dialog,
                resp='fill',
                req=dialog.accepted,
                brokerd_msg=to_builtins(msg),
            )
            dialog.fills[tid] = dialog.status

    def _on_open_order(self, msg: Status) -> None:
        """
        An order that the daemon found open when it started, or that was opened by
        somebody else.
        """
        if msg.reqid is None or not (msg.req and msg.req.price and msg.req.size):
            raise BadBrokerdMsg(f'an open order has a reqid, a price and a size: {msg}')
        if not msg.src:
            raise BadBrokerdMsg(f'an open order has a `src`, the broker: {msg}')
        if msg.req.symbol.endswith(f'.{self.broker}'):
            raise BadBrokerdMsg(f'the symbol of an open order names no broker: {msg}')
        oid = self._oids.setdefault(msg.reqid, msg.oid or str(msg.reqid))
        if dialog := self.dialogs.get(oid):
            # a daemon that died may have been about to say so
            dialog.status = replace(dialog.status, reqid=msg.reqid)
            self._accept(dialog, to_builtins(msg.req))
            self._update(dialog, resp='open', req=dialog.accepted, src=msg.src)
            return
        order = replace(msg.req, symbol=f'{msg.req.symbol}.{self.broker}')
        # if a client asks for it, its fills of the time before are to be told as well
        status = replace(msg, oid=oid, req=order)
        dialog = Dialog(status, order, time_ns=0, accepted=order)
        self.dialogs[oid] = dialog
        self._broadcast(dialog, dialog.status)


def _check(order: Order) -> Order:
    if not (order.oid and isfinite(order.price) and 0 < order.size < float('inf')):
        raise ValueError('an order has an oid, a price, and a size above 0')
    return order


def mk_check(trigger_price: float, known_last: float) -> Callable[[float], bool]:
    """
    Whether a price has got to `trigger_price`, from the side where the market was.
    """
    if trigger_price >= known_last:
        return lambda price: price >= trigger_price
    return lambda price: price <= trigger_price


class Router:
    """
    The relays and watched markets of this `emsd`, which is the only one.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._locks: defaultdict[object, trio.Lock] = defaultdict(trio.Lock)
        self._relays: dict[tuple[str, ExecMode], TradesRelay] = {}
        self.markets: dict[str, Market] = {}
        """By fqme, the short forms that clients used among them."""

    async def get_relay(
        self,
        broker: str,
        exec_mode: ExecMode,
        loglevel: str | None,
    ) -> TradesRelay:
        key = broker, exec_mode
        async with self._locks[key]:
            if key not in self._relays:
                relay = TradesRelay(self, broker, exec_mode)

                async def run(task_status: TaskStatus[None]) -> None:
                    try:
                        await relay.run(loglevel, task_status)
                    except Exception as err:
                        if self._relays.pop(key, None) is not relay:
                            raise  # it has not even begun
                        log.error('%s: the order dialog broke: %r', broker, err)
                        for client in relay.clients:
                            client.fail(err)

                await self._nursery.start(run)
                self._relays[key] = relay
            return self._relays[key]

    async def get_market(self, fqme: str) -> Market:
        """
        The market that `fqme` names in whatever form, watched from now on.
        """
        async with self._locks[fqme]:
            if fqme not in self.markets:
                market = await self._nursery.start(self._watch, fqme)
                self.markets[fqme] = self.markets.setdefault(market.mkt.fqme, market)
            return self.markets[fqme]

    def name_in_full(self, order: Order) -> Order:
        """
        `order` with the full fqme of its market, by which others who watch that know
        it; as it is where nobody has opened the market.
        """
        if market := self.markets.get(order.symbol):
            return replace(order, symbol=market.mkt.fqme)
        return order

    async def _watch(self, fqme: str, task_status: TaskStatus[Market]) -> None:
        market: Market | None = None
        while True:
            try:
                async with open_feed([fqme]) as feed:
                    ((full_fqme, mkt),) = feed.mkts.items()
                    if market is None:
                        last = feed.quotes[full_fqme]['last']
                        market = Market(mkt, last)
                        task_status.started(market)
                    _scan(market, feed.quotes[full_fqme])
                    async for quotes in feed:
                        _scan(market, quotes[full_fqme])
            except Exception as err:
                cause = collapse(err)
                if market is None:
                    raise cause from cause.__cause__
                log.error('%s: feed lost, opening another: %s', fqme, error_text(cause))
                await trio.sleep(0.1)


def _scan(market: Market, quote: Quote) -> None:
    ticks = quote['ticks']
    if 'last' in quote:
        ticks = [{'type': 'last', 'price': quote['last']}, *ticks]
    for tick in ticks:
        if tick['type'] in ('trade', 'last'):
            market.last = tick['price']
        for oid, trigger in list(market.triggers.items()):
            if trigger(tick):
                market.triggers.pop(oid, None)


_router: Router | None = None


def get_router(nursery: trio.Nursery | None = None) -> Router:
    """
    This actor's router, which `_setup_persistent_emsd()` allocates by passing the
    nursery that relays and markets are to run in.
    """
    global _router
    if _router is None:
        if nursery is None:
            raise RuntimeError('there is no router in this actor, only in emsd')
        _router = Router(nursery)
    return _router


@context
async def _emsd_main(
    ctx: tractor.Context,
    fqme: str,
    exec_mode: ExecMode,
    loglevel: str | None = None,
) -> None:
    """
    RPC endpoint of `emsd`: the orders of one client. `fqme` may also be the name of
    a broker, for all of its markets.

    Starts with the positions, the accounts and the dialogs that are open, all in
    lists; streams `Order` and `Cancel` one way, `Status` and `BrokerdPosition` the
    other. The dialogs outlast it.
    """
    router = get_router()
    client = Client(None)
    broker = fqme
    if '.' in fqme:
        market = await router.get_market(fqme)
        client.fqme = market.mkt.fqme
        broker = unpack_fqme(client.fqme)[0]
    relay = await router.get_relay(broker, exec_mode, loglevel)
    relay.clients.add(client)
    try:
        positions = [pp for pps in relay.positions.values() for pp in pps.values()]
        dialogs = [dialog.status for dialog in relay.dialogs.values()]
        await ctx.started(
            [to_builtins(positions), relay.accounts, to_builtins(dialogs)]
        )
        async with open_duplex(ctx) as stream, open_nursery() as tn:

            async def push() -> None:
                async for msg in client.unsent:
                    await stream.send(msg)
                assert client.error
                raise client.error

            tn.start_soon(push)
            async for msg in stream:
                await relay.on_client_msg(client, msg)
            tn.cancel_scope.cancel()
    finally:
        relay.clients.discard(client)
