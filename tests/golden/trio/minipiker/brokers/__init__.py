"""
The backends, and how the host finds one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import trio
from msgspec import Struct

from .._tractor import service_nursery
from ..log import get_logger
from ._util import BrokerError, DataThrottle, DataUnavailable, NoData, SymbolNotFound

if TYPE_CHECKING:
    from trio_typing import TaskStatus

__all__ = [
    'BrokerError',
    'DataThrottle',
    'DataUnavailable',
    'NoData',
    'SymbolNotFound',
    'get_brokermod',
    'mk_start_actor_kwargs',
    'open_cached_client',
]

log = get_logger('brokers')

__brokers__: list[str] = ['deribit2']


def get_brokermod(brokername: str) -> ModuleType:
    """
    The backend's package, with the attribute `name` that a host sets on it.

    Raises `BrokerError` for a backend that this host does not know, or that cannot be
    imported.
    """
    if brokername not in __brokers__:
        raise BrokerError(
            f'no backend {brokername!r} here, only {", ".join(__brokers__)}'
        )
    name = f'piker_{brokername}'
    try:
        module = import_module(name)
    except Exception as err:
        raise BrokerError(
            f'{name} cannot be imported: {type(err).__name__}: {err}'
        ) from err
    module.name = brokername  # type: ignore[attr-defined]
    return module


def mk_start_actor_kwargs(
    kind: str,
    mod: ModuleType,
    host_module: str,
) -> dict[str, Any]:
    """
    The arguments of `start_actor()` for a daemon of the backend `mod`, whose lifecycle
    is in `host_module`.
    """
    submods: list[str] | None = getattr(mod, f'_{kind}_mods', None)
    if submods is None:  # an empty list is a list
        submods = getattr(mod, '__enable_modules__', [])
    return {
        'name': f'{kind}.{mod.name}',
        'enable_modules': [
            host_module,
            mod.__name__,
            *(f'{mod.__name__}.{name}' for name in submods),
        ],
        **getattr(mod, '_spawn_kwargs', {}),
    }


class _Cached(Struct):
    client: Any
    unused: trio.Event
    users: int = 0


_clients: dict[str, _Cached] = {}
_opening: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)


@acm
async def open_cached_client(brokername: str) -> AsyncIterator[Any]:
    """
    The actor's one client of `brokername`, shared by all tasks that have it open
    and closed when the last of them leaves.

    Not by `tractor.trionics.maybe_open_context()`: that hands a client which is just
    being closed to whoever comes in between.
    """
    async with _opening[brokername]:
        if brokername not in _clients:
            _clients[brokername] = await service_nursery().start(
                _hold_client, get_brokermod(brokername)
            )
        cached = _clients[brokername]
        cached.users += 1
    try:
        yield cached.client
    finally:
        cached.users -= 1
        if not cached.users:
            cached.unused.set()
            if _clients.get(brokername) is cached:
                del _clients[brokername]


async def _hold_client(
    brokermod: ModuleType,
    task_status: TaskStatus[_Cached],
) -> None:
    cached: _Cached | None = None
    try:
        async with brokermod.get_client() as client:
            cached = _Cached(client, trio.Event())
            task_status.started(cached)
            await cached.unused.wait()
    except Exception:
        if cached is None:
            raise
        # its users find out by their calls; the actor has others
        log.exception('the client of %s broke', brokermod.name)
        if _clients.get(brokermod.name) is cached:
            del _clients[brokermod.name]
