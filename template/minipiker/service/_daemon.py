"""
Spawning daemons on demand, from whichever actor wants one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from functools import partial
from importlib import import_module
from typing import Any

import tractor

from .._gate import endpoint
from ..brokers import __brokers__
from ._actor_runtime import _per_broker, _singletons, maybe_open_pikerd
from ._liveness import ServiceDied, watch_actor
from ._mngr import Services
from ._registry import find_service


def get_spawner(service_name: str) -> tuple[Callable[..., Awaitable[bool]], str | None]:
    """
    The `spawn_<kind>()` of the daemon `service_name`, and the broker that it is for,
    if it is for one.

    Raises `PermissionError` for what is none of this tree's daemons.
    """
    kind, _, brokername = service_name.partition('.')
    if service_name in _singletons:
        return getattr(import_module(_singletons[kind]), f'spawn_{kind}'), None
    if brokername in __brokers__ and kind in _per_broker:
        module = import_module(_per_broker[kind])
        return getattr(module, f'spawn_{kind}'), brokername
    raise PermissionError(f'pikerd spawns no {service_name!r}')


@endpoint
async def spawn_service(service_name: str, loglevel: str | None) -> int:
    """
    RPC endpoint of `pikerd`: see to it that the daemon `service_name` runs. Returns
    the pid of its process.
    """
    spawn, brokername = get_spawner(service_name)
    args = {'brokername': brokername} if brokername else {}
    service = await Services.start_once(
        service_name, partial(spawn, loglevel=loglevel, **args)
    )
    return service.process.pid


@endpoint
async def cancel_service(service_name: str) -> None:
    """
    RPC endpoint of `pikerd`: end a daemon. Only its parent can.
    """
    await Services.cancel_service(service_name)


@acm
async def open_service(service_name: str) -> AsyncIterator[tractor.Portal]:
    """
    A portal to a daemon that runs. If it dies the block is cancelled and `ServiceDied`
    raised.
    """
    async with find_service(service_name) as portal:
        if portal is None:
            raise ServiceDied(f'{service_name} died just now; try again')
        async with watch_actor(portal):
            yield portal


@endpoint
async def list_services() -> list[str]:
    """
    RPC endpoint of `pikerd`: the names of the daemons that run.
    """
    return sorted(Services.service_tasks)


@acm
async def maybe_spawn_daemon(
    service_name: str,
    service_task_target: Callable[..., Awaitable[bool]],
    spawn_args: dict[str, Any],
    loglevel: str | None = None,
) -> AsyncIterator[tractor.Portal]:
    """
    A portal to the daemon-actor `service_name`, which is spawned by
    `service_task_target(loglevel=loglevel, **spawn_args)` in `pikerd` if there is
    none. It lives on when the block is left, as long as `pikerd` does.

    Outside of `pikerd` those two say nothing that it does not know by the name, and
    are not sent to it: what it runs is nobody else's choice.

    If the daemon dies the block is cancelled and `ServiceDied` raised; the next
    call gets a fresh one.
    """
    async with maybe_open_pikerd(loglevel=loglevel) as pikerd:
        if pikerd is None:  # that is us
            await Services.start_once(
                service_name,
                partial(service_task_target, loglevel=loglevel, **spawn_args),
            )
        else:
            await pikerd.run(
                spawn_service, service_name=service_name, loglevel=loglevel
            )
        async with open_service(service_name) as portal:
            yield portal


async def end_daemon(service_name: str) -> None:
    """
    End a daemon, from whichever actor.
    """
    async with maybe_open_pikerd() as pikerd:
        if pikerd is None:  # that is us
            await cancel_service(service_name)
        else:
            await pikerd.run(cancel_service, service_name=service_name)
