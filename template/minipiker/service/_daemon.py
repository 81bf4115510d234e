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
import trio

from .._gate import endpoint
from ..brokers import __brokers__, get_brokermod
from ..log import get_logger
from ._actor_runtime import _per_broker, _singletons, maybe_open_pikerd
from ._liveness import ServiceDied, watch_actor
from ._mngr import Services
from ._registry import find_service

log = get_logger('service')


Spawn = Callable[[], Awaitable[bool]]


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
        backend = get_brokermod(brokername).__name__
        module = import_module(_per_broker[kind], backend)
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
    return await _spawn_service(service_name, partial(spawn, loglevel=loglevel, **args))


async def _spawn_service(service_name: str, spawn: Spawn) -> int:
    """
    Goes on if whoever asked for it dies meanwhile, or a daemon that was started by
    then would be in nobody's care.
    """
    pid: int | None = None
    failure: Exception | None = None
    done = trio.Event()

    async def see_to_it() -> None:
        nonlocal pid, failure
        try:
            pid = await _spawn_once(service_name, spawn)
        except Exception as err:
            failure = err
        finally:
            done.set()

    Services.service_n.start_soon(see_to_it)
    await done.wait()
    if failure:
        raise failure
    if pid is None:
        raise ConnectionError(f'pikerd ended before it had spawned {service_name}')
    return pid


async def _spawn_once(service_name: str, spawn: Spawn) -> int:
    # held until the daemon is in the registry, so that any number of racing clients
    # get one process
    async with Services.locks[service_name]:
        if (service := Services.service_tasks.get(service_name)) and (
            service.process.poll() is not None
        ):
            await service.complete.wait()  # died just now; let the name go first

        if service_name not in Services.service_tasks:
            log.info('spawning %s', service_name)
            async with Services.watch_spawn(service_name):
                await spawn()

        return Services.service_tasks[service_name].process.pid


@endpoint
async def cancel_service(service_name: str) -> None:
    """
    RPC endpoint of `pikerd`: end a daemon. Only its parent can.
    """
    await Services.cancel_service(service_name)


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
            await _spawn_service(
                service_name,
                partial(service_task_target, loglevel=loglevel, **spawn_args),
            )
        else:
            await pikerd.run(
                spawn_service, service_name=service_name, loglevel=loglevel
            )
        async with find_service(service_name) as portal:
            if portal is None:
                raise ServiceDied(f'{service_name} died just now; try again')
            async with watch_actor(portal):
                yield portal
