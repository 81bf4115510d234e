"""
The execution management system: routes orders to a live broker or the paper engine,
keeps dark orders and alerts, and tells all clients what happens.

Per broker and mode there is one relay, which knows all orders that are open, and one
dialog with the broker's daemon.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager as acm
from time import time_ns
from types import ModuleType
from typing import TYPE_CHECKING
from uuid import uuid4

import tractor
import trio
from msgspec import to_builtins

from .._streaming import CreditStream, open_endpoint, take_unread
from .._tractor import collapse, context, error_text, open_nursery
from ..accounting import unpack_fqme
from ..brokers import get_brokermod
from ..brokers._daemon import maybe_spawn_brokerd
from ..log import get_logger
from ..service._daemon import end_daemon
from ..service._liveness import watch_actor
from ._dark import Markets
from ._dialog import Client
from ._messages import (
    BadBrokerdMsg,
    BrokerdCancel,
    BrokerdOrder,
    ExecMode,
    Positions,
    check_positions,
)
from ._paper_engine import open_trade_dialog as open_paper_dialog
from ._paperboi import maybe_spawn_paperboi
from ._relay import TradesRelay

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = get_logger('clearing.ems')

_patience: float = 10.0
"""Seconds that a broker's daemon has to tell which orders are open."""
_max_mistakes: int = 5
"""How often in a row an order dialog may break by a bad message."""
_max_backoff: float = 5
"""The longest pause before another try to get an order dialog back, s."""
_stable: float = 10
"""After a dialog that has lasted this long the pauses begin anew, s."""


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

    async with open_endpoint(
        maybe_spawn_paperboi(brokermod.name, loglevel), open_paper_dialog
    ) as ((positions, accounts), stream):
        yield stream, check_positions(positions, accounts), accounts


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


async def keep_dialog(
    relay: TradesRelay,
    loglevel: str | None,
    task_status: TaskStatus[None],
) -> None:
    """
    Keep a relay's dialog with the broker's daemon. When it breaks off, be it that the
    daemon dies or that the venue is closed for an hour, another is begun, and told of
    all that is open; until then clients are told why not.

    Starts when all orders are known that are open. Raises `BadBrokerdMsg` where the
    dialog breaks by one again and again.
    """
    mod = get_brokermod(relay.broker)
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
                mod, exec_mode=relay.exec_mode, loglevel=loglevel
            ) as (stream, positions, accounts):
                await _talk(relay, stream, positions, accounts, on_synced)
                raise ConnectionError(f'{relay.broker}: the order dialog ended')
        except Exception as err:
            cause = collapse(err)
            if trio.current_time() - since > _stable:
                mistakes, pause = 0, 0.0
            mistakes += isinstance(cause, BadBrokerdMsg)
            if not started or mistakes == _max_mistakes:
                raise cause from cause.__cause__
            relay.on_disconnect(error_text(cause))
            await trio.sleep(pause)
            pause = min(2 * pause + 0.1, _max_backoff)


async def _talk(
    relay: TradesRelay,
    stream: tractor.MsgStream,
    positions: Positions,
    accounts: list[str],
    on_synced: Callable[[], None],
) -> None:
    """
    Relay until the stream ends. Calls `on_synced` when all orders are known that were
    open at its start.

    A daemon tells of them first, but does not say which was the last. So it is asked
    to cancel an order of no account, which reaches no venue: whatever it answers comes
    after them.
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
            log.error('%s: some open orders may be unknown', relay.broker)
        on_synced()

    async with open_nursery() as tn:
        tn.start_soon(send_requests)
        tn.start_soon(wait_until_synced)
        send_chan.send_nowait(probe)
        relay.on_connect(send_chan, positions, accounts)
        async for msg in stream:
            if msg.get('oid') == probe.oid:
                synced.set()
                continue
            try:
                relay.on_brokerd_msg(msg)
            except Exception as err:
                raise BadBrokerdMsg(f'{err!r}: {msg}') from err
        tn.cancel_scope.cancel()


class Router:
    """
    The relays and watched markets of this `emsd`, which is the only one.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.markets = Markets(nursery)
        self._nursery = nursery
        self._locks: defaultdict[tuple[str, ExecMode], trio.Lock]
        self._locks = defaultdict(trio.Lock)
        self._relays: dict[tuple[str, ExecMode], TradesRelay] = {}

    async def get_relay(
        self,
        broker: str,
        exec_mode: ExecMode,
        loglevel: str | None,
    ) -> TradesRelay:
        """
        The one relay of that broker and mode, which knows all orders that are open.
        """
        key = broker, exec_mode
        async with self._locks[key]:
            if key not in self._relays:
                relay = TradesRelay(self.markets, broker, exec_mode)

                async def run(task_status: TaskStatus[None]) -> None:
                    try:
                        await keep_dialog(relay, loglevel, task_status)
                    except Exception as err:
                        if self._relays.pop(key, None) is not relay:
                            raise  # it has not even begun
                        log.error('%s: the order dialog broke: %r', broker, err)
                        for client in relay.clients:
                            client.fail(err)

                await self._nursery.start(run)
                self._relays[key] = relay
            return self._relays[key]


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
    lists; streams `Order` and `Cancel` one way, lists of `Status` and `BrokerdPosition`
    the other, of what has come meanwhile. The dialogs outlast it.
    """
    router = get_router()
    broker, market = fqme, None
    if '.' in fqme:
        market = (await router.markets.get(fqme)).mkt.fqme
        broker = unpack_fqme(market)[0]
    relay = await router.get_relay(broker, exec_mode, loglevel)
    client = Client(market)  # now, from when on it is told
    relay.clients.add(client)
    try:
        positions = [pp for pps in relay.positions.values() for pp in pps.values()]
        dialogs = [dialog.status for dialog in relay.dialogs.values()]
        await ctx.started(
            [to_builtins(positions), relay.accounts, to_builtins(dialogs)]
        )
        async with ctx.open_stream() as raw, open_nursery() as tn:
            stream = CreditStream(raw)

            async def push() -> None:
                async for msg in client.unsent:
                    await stream.send([msg, *take_unread(client.unsent)])
                assert client.error
                raise client.error

            tn.start_soon(push)
            async for msg in stream:
                await relay.on_client_msg(client, msg)
            tn.cancel_scope.cancel()
    finally:
        relay.clients.discard(client)
