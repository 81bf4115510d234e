"""
The actor runtime's seam: what tractor's release (0.1.0a5) and its git main
(0.1.0a6) name or return differently, under one name each.

Nothing else in this project, but for the gate, asks which of the two is installed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from contextlib import asynccontextmanager as acm
from functools import wraps
from typing import Any, TypeVar, cast

import tractor
import trio
from tractor._exceptions import TransportClosed
from tractor.log import StackLevelAdapter

_is_main: bool = hasattr(tractor, 'get_registry')

disconnects: tuple[type[Exception], ...] = (
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    TransportClosed,
)

_farewell: float = 1.0
"""Seconds that a client has to take its leave when the stream has ended."""

_raised: re.Pattern[str] = re.compile(r'^\W*(?:\w+\.)*([A-Z]\w*: .+)$', re.MULTILINE)
"""The line of a traceback that says what was raised."""

_named: re.Pattern[str] = re.compile(
    r"^\w+\[(?P<title>.+)@\d+\]|_child .*--uid \('(?P<uid>[^']+)"
)
"""The command line of an actor's process."""

Addr = tuple[str, int]
F = TypeVar('F', bound=Callable[..., Any])


def root_kwargs(registry_addr: Addr) -> dict[str, Any]:
    """
    Arguments of `tractor.open_root_actor()` that name the registry's address.
    """
    return (
        {'registry_addrs': [registry_addr]}
        if _is_main
        else {'arbiter_addr': registry_addr}
    )


def runtime_vars() -> dict[str, Any]:
    """
    This process's runtime variables. A key that is set before `start_actor()` is
    inherited by that child; later changes reach no living one.
    """
    if _is_main:
        from tractor.runtime import _state
    else:
        from tractor import _state
    variables: dict[str, Any] = _state._runtime_vars
    return variables


def registry_addr() -> Addr:
    """
    The address of the registry that this actor belongs to.
    """
    actor = tractor.current_actor()
    return unwrap_address(actor.reg_addrs[0] if _is_main else actor._arb_addr)


def unwrap_address(addr: Any) -> Addr:
    """
    Any form of address (tuple, list off the wire, the runtime's own `Address`) as
    a `(host, port)` tuple, fit for comparison. Some runtimes put the name of the
    transport before those two.
    """
    if _is_main:
        from tractor.discovery._addr import wrap_address

        if isinstance(addr, (list, tuple)):
            addr = tuple(addr[-2:])
        addr = wrap_address(addr).unwrap()
    *_, host, port = addr
    return host, port


@acm
async def find_actor(
    name: str,
    addr: Addr | None = None,
) -> AsyncIterator[tractor.Portal | None]:
    """
    A portal to the actor registered under `name`; `None` where there is none, and
    also where the registry knows only one that is dead.
    """
    addr = addr or registry_addr()
    async with AsyncExitStack() as stack:
        portal: tractor.Portal | None
        try:
            portal = await stack.enter_async_context(
                tractor.find_actor(name, registry_addrs=[addr])
                if _is_main
                else tractor.find_actor(name, arbiter_sockaddr=addr)
            )
        except OSError:  # the release dials the dead one's address
            portal = None
        yield portal


def wait_for_actor(name: str) -> AbstractAsyncContextManager[tractor.Portal]:
    """
    A portal to the actor `name`, as soon as it is in the registry.
    """
    addr = registry_addr()
    waiter: AbstractAsyncContextManager[tractor.Portal] = (
        tractor.wait_for_actor(name, registry_addr=addr)
        if _is_main
        else tractor.wait_for_actor(name, arbiter_sockaddr=addr)
    )
    return waiter


def actor_uid(portal: tractor.Portal) -> tuple[str, str]:
    """
    The name and uuid of the actor behind `portal`.
    """
    name, uuid = portal.channel.aid.uid if _is_main else portal.channel.uid
    return name, uuid


def actor_name(command: list[str]) -> str | None:
    """
    The name of the actor whose process has that command line, of which main makes a
    title; None if it is no child of another actor.
    """
    found = _named.search(' '.join(command))
    return found and (found['title'] or found['uid'])


async def unregister_actor(uid: tuple[str, str]) -> None:
    """
    Drop a dead actor from the registry, or the next lookup dials its old address.
    """
    addr = registry_addr()
    async with (
        tractor.get_registry(addr) if _is_main else tractor.get_arbiter(*addr)
    ) as registry:
        # it may not be there (any more)
        with suppress(KeyError, tractor.RemoteActorError):
            await registry.run_from_ns('self', 'unregister_actor', uid=uid)


def actor_process(nursery: Any, portal: tractor.Portal) -> trio.Process:
    """
    The process of a child that `nursery` (a `tractor.ActorNursery`) started.
    """
    proc: trio.Process = nursery._children[actor_uid(portal)][1]
    return proc


def context(endpoint: F) -> F:
    """
    `tractor.context`, for an endpoint that any client may open: it ends quietly when
    that client is killed. A client that opens its stream ends it by `ctx.cancel()`.

    On git main it otherwise takes the whole actor along, whether it raises that its
    stream is broken or just returns: its last word finds nobody, which is an internal
    error there. What a cancelled one says may get lost.
    """

    @wraps(endpoint)
    async def until_peer_leaves(ctx: tractor.Context, **kwargs: Any) -> Any:
        result = None
        broken = False
        try:
            result = await endpoint(ctx, **kwargs)
            if ctx._stream_opened:
                # cut short as the client cancels us, or hangs up: with its stream at an
                # end it is about to, and that must not fall between here and our return
                await trio.sleep(_farewell)
        except* disconnects:
            broken = True
        if broken or not ctx.chan.connected():
            # not while an error is handled: main digs it out of the `Cancelled`
            if not _is_main:
                ctx._scope_nursery.cancel_scope.cancel()
                return result
            if ctx.canceller is None:
                # a client that is still there hears of it, and main cannot print a
                # cancellation by nobody
                ctx._canceller = ctx.chan.aid.uid
            ctx._scope.cancel()
        return result

    marked: F = tractor.context(until_peer_leaves)
    return marked


async def wait_for_result(ctx: tractor.Context) -> Any:
    """
    What the other side of a context returns, or raises.
    """
    return await (ctx.wait_for_result() if _is_main else ctx.result())


def is_context(function: Callable[..., Any]) -> bool:
    """
    Whether `function` is a `@tractor.context`.
    """
    mark = '_tractor_context_meta' if _is_main else '_tractor_context_function'
    return hasattr(function, mark)


def silence_runtime() -> None:
    """
    Keep the runtime's own log off this actor's console: it prints each error once at
    every hop, and what was under way at each cancellation. We report errors once.
    """
    for handler in logging.getLogger('tractor').handlers:
        handler.setLevel(logging.CRITICAL + 1)
    # It puts up to eight lines of each message into words all the same, and the release
    # asks the kernel who is at either end: a sixth of what an order takes to its ack.
    StackLevelAdapter.transport = StackLevelAdapter.runtime = lambda *_, **__: None
    if not _is_main:
        tractor.Channel.__repr__ = object.__repr__


def service_nursery() -> trio.Nursery:
    """
    The nursery of this actor's own lifetime.
    """
    actor = tractor.current_actor()
    nursery: trio.Nursery = actor._service_tn if _is_main else actor._service_n
    return nursery


def enabled_modules() -> list[str]:
    """
    The modules whose functions other actors may run in this one.
    """
    return sorted(tractor.current_actor()._mods)


def boxed_type_name(err: tractor.RemoteActorError) -> str:
    """
    The name of the type that was raised on the other side. A name, since a type of
    the application's own has no class on this side.
    """
    msgdata: dict[str, str] = err.msgdata or {}
    if _is_main:
        return msgdata['boxed_type_str']
    return msgdata['type_str']


def error_text(err: BaseException) -> str:
    """
    What an error says, in one line. Of one that was raised in another actor, however
    many others it came through, also the name of its type.
    """
    if isinstance(err, tractor.RemoteActorError):
        lines = _raised.findall(str(err))
        return lines[-1] if lines else boxed_type_name(err)
    *_, line = str(err).strip().splitlines() or [repr(err)]
    return line


def collapse(err: BaseException) -> BaseException:
    """
    The one error that a group holds, however often (the release reports the error
    of a child both from the context and from the nursery); otherwise `err`.
    """
    if not isinstance(err, BaseExceptionGroup):
        return err
    errors = [collapse(it) for it in err.exceptions]
    alike = len({(type(it), str(it)) for it in errors}) == 1
    return errors[0] if alike else err


def without_disconnects(err: BaseException) -> BaseException | None:
    """
    What is left of an error, or of a group, without lost connections.
    """
    if not isinstance(err, BaseExceptionGroup):
        return None if isinstance(err, disconnects) else err
    _, rest = err.split(disconnects)
    return rest and collapse(rest)


@acm
async def open_nursery() -> AsyncIterator[trio.Nursery]:
    """
    A trio nursery that raises a single error bare, as trio before 0.24 did and
    tractor's own nurseries do.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        if (err := collapse(group)) is group:
            raise
        # the traceback says where from; the group adds nothing
        raise err from err.__cause__


def _cancel_actor(cancel_actor: F) -> F:
    """
    How the runtime tells an actor to end. Where that one is gone there is nothing to
    do, in whatever way the connection says so; not every version takes a reset for it.
    """

    @wraps(cancel_actor)
    async def cancel(portal: tractor.Portal, *args: Any, **kwargs: Any) -> Any:
        try:
            return await cancel_actor(portal, *args, **kwargs)
        except disconnects:
            return False

    return cast(F, cancel)


def _wait_for_peer(wait_for_peer: F) -> F:
    """
    How the runtime waits for a child to connect. By itself it waits without end for one
    that was quicker than the task which has started it.
    """

    @wraps(wait_for_peer)
    async def wait(self: Any, uid: tuple[str, str]) -> Any:
        if channels := self._peers.get(uid):
            connected = trio.Event()
            connected.set()
            return connected, channels[-1]
        return await wait_for_peer(self, uid)

    return cast(F, wait)


def _mend() -> None:
    if _is_main:
        from tractor.ipc._server import Server
    else:
        from tractor._actor import Actor as Server
    Server.wait_for_peer = _wait_for_peer(Server.wait_for_peer)
    tractor.Portal.cancel_actor = _cancel_actor(tractor.Portal.cancel_actor)


_mend()
