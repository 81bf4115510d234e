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

from .._tractor import enabled_modules
from ._actor_runtime import maybe_open_pikerd
from ._liveness import ServiceDied, watch_actor
from ._mngr import Services
from ._registry import find_service


async def spawn_service(
    service_name: str,
    target: str,
    spawn_args: dict[str, Any],
) -> int:
    """
    RPC endpoint of `pikerd`: see to it that the daemon `service_name` runs, by
    `target` (the `module:function` of its `spawn_<kind>()`) unless it does already.
    Returns the pid of its process.
    """
    module, _, function = target.partition(':')
    if module not in enabled_modules():
        raise PermissionError(f'pikerd does not spawn by {target}')
    spawn = getattr(import_module(module), function)
    service = await Services.start_once(service_name, partial(spawn, **spawn_args))
    return service.process.pid


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

    If the daemon dies the block is cancelled and `ServiceDied` raised; the next
    call gets a fresh one.
    """
    target = f'{service_task_target.__module__}:{service_task_target.__name__}'
    args = {'loglevel': loglevel, **spawn_args}

    async with maybe_open_pikerd(loglevel=loglevel) as pikerd:
        if pikerd is None:  # that is us
            await spawn_service(service_name, target, args)
        else:
            await pikerd.run(
                spawn_service,
                service_name=service_name,
                target=target,
                spawn_args=args,
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
