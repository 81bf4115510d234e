"""
The orders with one broker: what clients ask for, what the broker's daemon says, and
what everybody is told of it.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from math import isfinite
from time import time_ns
from typing import Any

import msgspec
import tractor
import trio
from msgspec import convert, to_builtins
from msgspec.structs import replace

from .._tractor import error_text
from ..accounting import MktPair
from ..log import get_logger
from ._dark import Market, Markets, mk_limit, mk_trigger
from ._dialog import Client, Dialog
from ._messages import (
    BadBrokerdMsg,
    BrokerdCancel,
    BrokerdError,
    BrokerdFill,
    BrokerdOrder,
    BrokerdPosition,
    BrokerdStatus,
    Error,
    ExecMode,
    Order,
    Positions,
    Status,
    check_position,
)

log = get_logger('clearing.ems')

_max_over: int = 1024
"""Orders that are remembered when they are over."""


class TradesRelay:
    """
    All orders with one broker, live or on paper.

    Its handlers are plain functions: a state changes within one step of the event
    loop, and what is to be said of it waits in a queue for each listener.
    """

    def __init__(self, markets: Markets, broker: str, exec_mode: ExecMode) -> None:
        self._markets = markets
        self.broker = broker
        self.exec_mode: ExecMode = exec_mode
        self.clients: set[Client] = set()
        self.dialogs: dict[str, Dialog] = {}
        """Those that are open, by oid."""
        self._over: dict[str, Dialog] = {}
        """The last ones that the broker has ended, by oid."""
        self._old_reqids: deque[int | str] = deque(maxlen=_max_over)
        """The last reqids of orders that are over."""
        self.positions: Positions = {}
        self.accounts: list[str] = []
        self._oids: dict[int | str, str] = {}
        self.to_brokerd: trio.MemorySendChannel[BrokerdOrder | BrokerdCancel] | None
        self.to_brokerd = None
        """The broker's daemon, while there is a dialog with it."""
        self._trouble = ''
        """Why there is none."""

    # the dialog with the broker's daemon

    def on_connect(
        self,
        to_brokerd: trio.MemorySendChannel[BrokerdOrder | BrokerdCancel],
        positions: Positions,
        accounts: list[str],
    ) -> None:
        """
        Tell a daemon of all that is open, and clients what it says at its start.
        """
        self.to_brokerd, self._trouble = to_brokerd, ''
        self.positions, self.accounts = positions, accounts
        for by_fqme in positions.values():
            for position in by_fqme.values():
                self._tell_all(position)
        for dialog in self.dialogs.values():
            self.request(dialog)

    def on_disconnect(self, reason: str) -> None:
        """
        Tell clients why their orders have to wait.
        """
        log.error('%s: order dialog lost: %s', self.broker, reason)
        self.to_brokerd = None
        if reason != self._trouble:
            self._trouble = reason
            for dialog in self.dialogs.values():
                self._tell_trouble(dialog)

    def _tell_trouble(self, dialog: Dialog) -> None:
        if not dialog.is_dark:
            details = {'reason': f'the broker is out of reach: {self._trouble}'}
            self._update(dialog, resp='pending', brokerd_msg=details)

    def request(self, dialog: Dialog) -> None:
        """
        Ask the broker's daemon for what the order is to be, if there is one to ask;
        the next one will be.
        """
        status, order = dialog.status, dialog.order
        if dialog.sent and not dialog.accepted:
            # a daemon that died may have given it to the broker; a change has to wait
            order = dialog.sent
        if dialog.is_dark:
            return
        assert order.action != 'alert'  # which is dark
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
        if self.to_brokerd:
            self.to_brokerd.send_nowait(request)

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
                self.request(dialog)  # a change that had to wait
        elif dialog.order == before:
            # no client asked for another change: this one was made at the broker
            dialog.order = dialog.accepted

    def _tell_all(self, msg: BrokerdPosition) -> None:
        for client in self.clients:
            client.push(msg)

    def _update(self, dialog: Dialog, **changes: Any) -> None:
        """
        Bring the dialog's status forward, and let clients know.
        """
        dialog.advance(replace(dialog.status, time_ns=time_ns(), **changes))
        self._broadcast(dialog, dialog.status)
        if dialog.is_over:
            self._forget(dialog)

    def _broadcast(self, dialog: Dialog, status: Status) -> None:
        for client in self.clients:
            if client is dialog.client or client.fqme in (None, dialog.order.symbol):
                if dialog.is_over:
                    client.catch_up(dialog)  # nobody can ask for it any more
                client.push(status)

    def _forget(self, dialog: Dialog) -> None:
        del self.dialogs[dialog.status.oid]
        if dialog.status.reqid is not None:
            self._oids.pop(dialog.status.reqid, None)
            self._old_reqids.append(dialog.status.reqid)

    # what clients say

    async def on_client_msg(self, client: Client, msg: dict[str, Any]) -> None:
        oid = str(msg.get('oid', ''))
        try:
            match msg:
                case {'action': 'cancel'}:
                    self._cancel(oid)
                case {'exec_mode': 'dark'} | {'action': 'alert'}:
                    order = _check(convert(msg, Order))
                    market = await self._markets.get(order.symbol)
                    self._arm(client, self._markets.name_in_full(order), market)
                case _:
                    order = _check(convert(msg, Order))
                    self._submit(client, self._markets.name_in_full(order))
        except (ValueError, msgspec.ValidationError, tractor.RemoteActorError) as err:
            client.push(Error(time_ns(), oid, brokerd_msg={'reason': error_text(err)}))

    def _submit(self, client: Client, order: Order) -> None:
        if ended := self._over.get(order.oid):
            if ended.status.time_ns >= client.since or not client.catch_up(ended):
                raise ValueError('the order is over')
            return
        if dialog := self.dialogs.get(order.oid):
            if dialog.status.resp == 'dark_open':
                raise ValueError(
                    'cannot turn a dark order or an alert into a live order; '
                    'cancel it and place another'
                )
            dialog.change(order)
            client.catch_up(dialog)
            if dialog.sent and not dialog.accepted:
                return  # a change of an order that is refused must not place it again
        else:
            status = Status(time_ns(), order.oid, 'pending', req=order)
            dialog = self.dialogs[order.oid] = Dialog(status, order, client)
        self.request(dialog)
        if self._trouble:
            self._tell_trouble(dialog)

    def _cancel(self, oid: str) -> None:
        if not (dialog := self.dialogs.get(oid)):
            raise ValueError('no such order is open')
        if dialog.status.resp == 'dark_open':
            self._markets.disarm(dialog.order)
            self._update(dialog, resp='canceled')
        elif not dialog.status.cancel_called:
            dialog.status = replace(dialog.status, cancel_called=True)
            # what the broker has not acknowledged cannot be canceled there yet
            if dialog.status.reqid is not None:
                self.request(dialog)

    # dark orders and alerts

    def _arm(self, client: Client, order: Order, market: Market) -> None:
        if dialog := self.dialogs.get(order.oid):
            if dialog.status.resp != 'dark_open':
                kind = 'an alert' if order.action == 'alert' else 'a dark one'
                raise ValueError(
                    f'cannot turn a live order into {kind}; cancel it and place another'
                )
            dialog.change(order)
        else:
            status = Status(time_ns(), order.oid, 'dark_open', req=order, src='dark')
            dialog = self.dialogs[order.oid] = Dialog(status, order, client)
        trigger = partial(self._trigger, order.oid, market.mkt)
        market.triggers[order.oid] = mk_trigger(order, market.last, trigger)
        self._update(dialog, req=order)

    def _trigger(self, oid: str, mkt: MktPair, price: float) -> None:
        dialog = self.dialogs[oid]
        if dialog.order.action == 'alert':
            self._update(dialog, resp='triggered')
            return
        dialog.order = mk_limit(dialog.order, mkt, price)
        self._update(dialog, resp='triggered', req=dialog.order)
        self.request(dialog)

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
        The dialog that a message belongs to, or None where the order is over.
        """
        if oid := self._oids.get(msg.reqid):
            return self.dialogs.get(oid)
        if msg.reqid not in self._old_reqids:
            raise BadBrokerdMsg(f'no order was acknowledged with this reqid: {msg}')
        return None

    def _on_ack(self, oid: str, reqid: int | str) -> None:
        if not (dialog := self.dialogs.get(oid)):
            self._old_reqids.append(reqid)
            return  # it was over before
        dialog.check('pending')
        self._oids[reqid] = oid
        if dialog.status.reqid == reqid:
            return  # by an earlier daemon, or of a change
        self._update(dialog, reqid=reqid)
        if dialog.status.cancel_called:
            self.request(dialog)

    def _on_error(self, error: BrokerdError) -> None:
        oid = error.oid or self._oids.get(error.reqid or '')
        dialog = self.dialogs.get(oid or '')
        if oid is None or dialog is None:
            if not (error.symbol or 'flow' in error.broker_details):
                raise BadBrokerdMsg(
                    'an error of an order that is not open must name its symbol, or '
                    f'have the request as broker_details["flow"]: {error}'
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
        elif dialog.accepted is None:
            dialog.advance(refusal)
            self._broadcast(dialog, refusal)
            self._forget(dialog)
        else:  # an edit or a cancel was refused, the order stands as it was
            dialog.order = dialog.accepted
            dialog.status = replace(dialog.status, cancel_called=False)
            self._broadcast(dialog, refusal)

    def _on_status(self, msg: BrokerdStatus) -> None:
        if 'name' not in msg.broker_details:
            raise BadBrokerdMsg(f'broker_details must name the broker: {msg}')
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
        if dialog.is_over:
            self._over[dialog.status.oid] = dialog
            if len(self._over) > _max_over:
                del self._over[next(iter(self._over))]

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
        oid = self._oids.get(msg.reqid) or msg.oid or str(msg.reqid)
        dialog = self.dialogs.get(oid)
        if dialog:
            dialog.check('open')
        self._oids[msg.reqid] = oid
        if dialog:
            # the last daemon may have died before it said so
            dialog.status = replace(dialog.status, reqid=msg.reqid)
            self._accept(dialog, to_builtins(msg.req))
            self._update(dialog, resp='open', req=dialog.accepted, src=msg.src)
            return
        order = replace(msg.req, symbol=f'{msg.req.symbol}.{self.broker}')
        # a client who asks for it is to be told of its earlier fills as well
        status = replace(msg, oid=oid, req=order)
        dialog = Dialog(status, order, time_ns=0, accepted=order)
        self.dialogs[oid] = dialog
        self._broadcast(dialog, dialog.status)


def _check(order: Order) -> Order:
    if not (order.oid and isfinite(order.price) and 0 < order.size < float('inf')):
        raise ValueError('an order must have an oid, a price, and a size above 0')
    return order
