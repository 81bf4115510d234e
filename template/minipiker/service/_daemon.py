"""
Spawning daemons on demand, from whichever actor wants one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from importlib import import_module
from typing import Any

import tractor
import trio

from .._tractor import enabled_modules
from ..log import get_logger
from ._actor_runtime import maybe_open_pikerd
from ._liveness import ServiceDied, watch_actor
from ._mngr import Services
from ._registry import find_service

log = get_logger('service')


async def spawn_service(
    service_name: str,
    target: str,
    spawn_args: dict[str, Any],
) -> int:
    """
    RPC endpoint of `pikerd`: see to it that the daemon `service_name` runs, by
    `target` (the `module:function` of its `spawn_<kind>()`) unless it does already.
    Returns the pid of its process.

    Goes on if whoever asked for it dies meanwhile, or a daemon that was started by
    then would be in nobody's care.
    """
    pid: int | None = None
    failure: Exception | None = None
    done = trio.Event()

    async def spawn() -> None:
        nonlocal pid, failure
        try:
            pid = await _spawn_service(service_name, target, spawn_args)
        except Exception as err:
            failure = err
        finally:
            done.set()

    Services.service_n.start_soon(spawn)
    await done.wait()
    if failure:
        raise failure
    if pid is None:
        raise ConnectionError(f'pikerd ended before it had spawned {service_name}')
    return pid


async def _spawn_service(
    service_name: str,
    target: str,
    spawn_args: dict[str, Any],
) -> int:
    # held until the daemon is in the registry, so that any number of racing clients
    # get one process
    async with Services.locks[service_name]:
        if (service := Services.service_tasks.get(service_name)) and (
            service.process.poll() is not None
        ):
            await service.complete.wait()  # died just now; let the name go first

        if service_name not in Services.service_tasks:
            module, _, function = target.partition(':')
            if module not in enabled_modules():
                raise PermissionError(f'pikerd does not spawn by {target}')
            log.info('spawning %s', service_name)
            spawn = getattr(import_module(module), function)
            async with Services.watch_spawn(service_name):
                await spawn(**spawn_args)

        return Services.service_tasks[service_name].process.pid


async def cancel_service(service_name: str) -> None:
    """
    RPC endpoint of `pikerd`: end a daemon. Only its parent can.
    """
    await Services.cancel_service(service_name)


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
        async with find_service(service_name) as portal:
            if portal is None:
                raise ServiceDied(f'{service_name} died just now; try again')
            async with watch_actor(portal):
                yield portal
