"""
The gate of an actor: who may connect to it, what he may call, and how far his
mistakes reach.

Whoever is on this machine can connect to a port of the loopback interface, and neither
runtime asks who it is. So before it gets to see a connection, both ends prove that
they know the tree's key. `pikerd` makes it up; it is in a file and in the environment
of its children, where nobody but their owner can read it. Unlike the kernel's word on
who the peer is, this is the same on every system, and a web page that has a browser
send something to the port is a stranger, too.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager as acm
from contextlib import contextmanager as cm
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import trio
from tractor import current_actor
from tractor._exceptions import ModuleNotExposed

from ._tractor import _is_main, is_context
from .log import get_logger

log = get_logger('gate')

F = TypeVar('F', bound=Callable[..., Any])

_size: int = 32
_patience: float = 10.0
"""Seconds that a new peer has to prove himself."""

_methods: frozenset[str] = frozenset(
    {
        '_cancel_task',
        'cancel',
        'delete_addr',
        'find_actor',
        'get_registry',
        'register_actor',
        'unregister_actor',
        'wait_for_actor',
    }
)
"""The methods of an actor that the runtimes call from others."""

_key: bytes = secrets.token_bytes(_size)

_serves_peer: ContextVar[bool] = ContextVar('_serves_peer', default=False)
"""Whether this task serves a connection that another actor made."""


def get_key() -> bytes:
    """
    What the actors of this process's tree know each other by.
    """
    return _key


@cm
def use_key(key: bytes) -> Iterator[None]:
    """
    Be of another's tree while the block runs.
    """
    global _key
    _key, before = key, _key
    try:
        yield
    finally:
        _key = before


def endpoint(function: F) -> F:
    """
    Let other actors run this async function by `portal.run()`. A `@tractor.context`
    is an endpoint as it is; nothing else can be reached from outside.
    """
    function._is_endpoint = True  # type: ignore[attr-defined]
    return function


async def greet(stream: trio.SocketStream, *, dials: bool) -> None:
    """
    Prove to the other end of a new connection that we know the key, and have it prove
    that. Neither tells it.

    Raises `ConnectionError` where it does not know it.
    """
    try:
        here, there = stream.socket.getsockname(), stream.socket.getpeername()
        # by its ends, or whoever got a dead actor's port could pass on, to another
        # actor, what is proven to him
        link = (here, there) if dials else (there, here)

        def proof(dialer: bool, *nonces: bytes) -> bytes:
            return hmac.digest(_key, repr((dialer, link, nonces)).encode(), 'sha256')

        ours = secrets.token_bytes(_size)
        await stream.send_all(ours)
        theirs = await _receive(stream)
        await stream.send_all(proof(dials, theirs, ours))
        answer = await _receive(stream)
    except trio.BrokenResourceError as err:
        raise ConnectionError('the peer hung up') from err
    if not hmac.compare_digest(answer, proof(not dials, ours, theirs)):
        raise ConnectionError('the peer is none of this actor tree')


async def _receive(stream: trio.SocketStream) -> bytes:
    data = b''
    while len(data) < _size:
        if not (more := await stream.receive_some(_size - len(data))):
            raise ConnectionError('the peer hung up')
        data += more
    return data


def _serve(handler: F) -> F:
    """
    What the runtime does with a new connection, once the peer has proven himself. An
    error ends the connection that it came from, and nothing else.
    """

    @wraps(handler)
    async def serve(*args: Any, **kwargs: Any) -> None:
        stream: trio.SocketStream = args[-1]
        _serves_peer.set(True)
        try:
            with trio.fail_after(_patience):
                await greet(stream, dials=False)
            await handler(*args, **kwargs)
        except* Exception as errors:
            log.debug('a connection ended: %r', errors.exceptions)
        finally:
            # the release leaves that to the garbage collector
            stream.socket.close()

    return cast(F, serve)


def _invoke(invoke: F) -> F:
    """
    What the runtime does with a call. Whatever goes wrong is told to the caller, or
    to nobody if he is gone: that is no error of this actor.
    """

    @wraps(invoke)
    async def run(
        actor: Any,
        cid: str,
        chan: Any,
        func: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if getattr(func, '__self__', None) is actor and func.__name__ not in _methods:
            func = _refuse
        try:
            await invoke(actor, cid, chan, func, *args, **kwargs)
        except* Exception as errors:
            log.debug('a call of %s ended: %r', func.__name__, errors.exceptions)

    return cast(F, run)


async def _refuse(**_: object) -> None:
    raise PermissionError('that method is for the actor itself')


def _ship(ship_error: F) -> F:
    """
    How the runtime tells of an error. What a peer sent is none of ours: the parent
    would drop us for it.
    """

    @wraps(ship_error)
    async def ship(channel: Any, *args: Any, **kwargs: Any) -> None:
        parent: Any = current_actor()._parent_chan
        if not (_serves_peer.get() and channel is parent):
            await ship_error(channel, *args, **kwargs)

    return cast(F, ship)


def _get_endpoint(get_rpc_func: F) -> F:
    """
    The function that another actor asks for by its module's name and its own. Not all
    that can be found in a module is there to be called from outside.
    """

    @wraps(get_rpc_func)
    def get_endpoint(actor: Any, module: str, name: str) -> Callable[..., Any]:
        function: Callable[..., Any] = get_rpc_func(actor, module, name)
        # of the very module, which in a child is not called `__main__` where that is it
        if function.__module__ != actor._mods[module].__name__ or not (
            is_context(function) or hasattr(function, '_is_endpoint')
        ):
            raise ModuleNotExposed(f'{module}:{name} is no endpoint')
        return function

    return cast(F, get_endpoint)


def _init(init: F) -> F:
    """
    An actor exposes the modules that it was told to, and not its debugger. It knows a
    call for as long as somebody is at work on it: the runtimes' own remember both ends
    of each `portal.run()`, with its connection, and each child, until the actor ends.
    """

    @wraps(init)
    def init_actor(actor: Any, *args: Any, **kwargs: Any) -> None:
        init(actor, *args, **kwargs)
        actor.enable_modules = {
            name: path
            for name, path in actor.enable_modules.items()
            if not name.startswith('tractor.')
        }
        actor._contexts = WeakValueDictionary()
        actor._actoruid2nursery = WeakValueDictionary()

    return cast(F, init_actor)


def _guard(actor_type: Any, rpc: Any) -> None:
    actor_type.__init__ = _init(actor_type.__init__)
    actor_type._get_rpc_func = _get_endpoint(actor_type._get_rpc_func)
    rpc._invoke = _invoke(rpc._invoke)


def _guard_main() -> None:
    from tractor.discovery import _api
    from tractor.ipc import _server
    from tractor.ipc._chan import Channel
    from tractor.runtime import _rpc, _runtime

    _guard(_runtime.Actor, _rpc)
    _rpc.try_ship_error_to_remote = _ship(_rpc.try_ship_error_to_remote)
    _server.handle_stream_from_peer = _serve(_server.handle_stream_from_peer)
    from_addr = Channel.from_addr

    async def connect(addr: Any, **kwargs: Any) -> Channel:
        channel = await from_addr(addr, **kwargs)
        await _greet_or_close(channel.stream)
        return channel

    Channel.from_addr = staticmethod(connect)
    _api._connect_chan = _closing(_api._connect_chan)


def _guard_release() -> None:
    from tractor import _actor, _discovery, _root
    from tractor._ipc import Channel

    _guard(_actor.Actor, _actor)
    _actor.Actor._stream_handler = _serve(_actor.Actor._stream_handler)
    dial = Channel.connect

    async def connect(channel: Channel, *args: Any, **kwargs: Any) -> Any:
        transport = await dial(channel, *args, **kwargs)
        await _greet_or_close(transport.stream)
        return transport

    cancel_rpc_tasks = _actor.Actor.cancel_rpc_tasks

    async def cancel_tasks(actor: Any, only_chan: Channel | None = None) -> None:
        # the runtime's own then waits for those of all other peers as well
        if only_chan is None:
            await cancel_rpc_tasks(actor)
        for channel, cid in list(actor._rpc_tasks):
            if channel is only_chan:
                await actor._cancel_task(cid, channel)

    _actor.try_ship_error_to_parent = _ship(_actor.try_ship_error_to_parent)
    _actor.Actor.cancel_rpc_tasks = cancel_tasks
    Channel.connect = connect
    _discovery._connect_chan = _closing(_discovery._connect_chan)
    # it only looks if anybody is there, and gives him a second
    _root._connect_chan = _probe


def _closing(connect_chan: F) -> F:
    """
    How the runtime connects to another actor while a block runs. Not every version's
    own hangs up when the block ends by an error.
    """

    @acm
    async def connect(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with connect_chan(*args, **kwargs) as channel:
            try:
                yield channel
            finally:
                with trio.CancelScope(shield=True):
                    await channel.aclose()

    return cast(F, connect)


@acm
async def _probe(host: str, port: int) -> AsyncIterator[None]:
    async with await trio.open_tcp_stream(host, port):
        yield


async def _greet_or_close(stream: trio.SocketStream) -> None:
    try:
        await greet(stream, dials=True)
    except BaseException:
        stream.socket.close()
        raise


_guard_main() if _is_main else _guard_release()
