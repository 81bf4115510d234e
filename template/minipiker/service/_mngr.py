"""
The service manager: `pikerd`'s daemon-actors, their start, their end and what is
done when one just dies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import tractor
import trio
from msgspec import Struct

from .._spawn import tell_of_spawns
from .._tractor import (
    actor_process,
    actor_uid,
    collapse,
    open_nursery,
    unregister_actor,
    wait_for_actor,
    wait_for_result,
)
from ..log import get_logger
from ._liveness import ServiceDied

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = get_logger('service')

_grace: float = 3.0
"""Seconds that a daemon has to end when it is told to."""


class Service(Struct, kw_only=True):
    """
    A running daemon-actor, as its manager sees it.
    """

    portal: tractor.Portal
    process: trio.Process
    cancel_scope: trio.CancelScope
    complete: trio.Event
    """Set when the process is gone and its name free again."""


class Actors:
    """
    The actors that `pikerd` starts, in the place of a `tractor.ActorNursery`: that one
    keeps a task for each of its children until they have all ended, and daemons come
    and go. So each gets one of its own.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._processes: dict[tuple[str, str], trio.Process] = {}

    async def start_actor(self, name: str, **kwargs: Any) -> tractor.Portal:
        """
        As `tractor.ActorNursery.start_actor()`.
        """
        portal: tractor.Portal = await self._nursery.start(self._hold, name, kwargs)
        return portal

    def take_process(self, portal: tractor.Portal) -> trio.Process:
        """
        The process of an actor that was just started.
        """
        return self._processes.pop(actor_uid(portal))

    async def _hold(
        self,
        name: str,
        kwargs: dict[str, Any],
        task_status: TaskStatus[tractor.Portal],
    ) -> None:
        async with tractor.open_nursery() as actor_n:
            portal = await actor_n.start_actor(name, **kwargs)
            process = actor_process(actor_n, portal)
            self._processes[actor_uid(portal)] = process
            task_status.started(portal)
            await process.wait()


class Services:
    """
    The services of this process. State of the actor `pikerd` alone, hence on the
    class: everywhere else `actor_n` does not exist.
    """

    actor_n: ClassVar[Actors]
    service_n: ClassVar[trio.Nursery]
    service_tasks: ClassVar[dict[str, Service]] = {}
    locks: ClassVar[defaultdict[str, trio.Lock]] = defaultdict(trio.Lock)
    """Held, by a service's name, while it is spawned."""

    @classmethod
    @acm
    async def manage(cls) -> AsyncIterator[None]:
        """
        Let this actor have daemons of its own, which end with the block.
        """
        async with open_nursery() as actor_tn:
            cls.actor_n = Actors(actor_tn)
            async with open_nursery() as cls.service_n:
                yield
                await cls.wait_for_spawns()
                cls.service_n.cancel_scope.cancel()
            # what was being started just then is in nobody's care
            actor_tn.cancel_scope.cancel()

    @classmethod
    async def start_once(
        cls,
        name: str,
        spawn: Callable[[], Awaitable[object]],
    ) -> Service:
        """
        See to it that the daemon `name` runs, by `spawn()` unless it does already.

        Goes on if whoever asked for it dies meanwhile, or a daemon that was started by
        then would be in nobody's care.
        """
        service: Service | None = None
        failure: Exception | None = None
        done = trio.Event()

        async def start() -> None:
            nonlocal service, failure
            try:
                # held until the daemon is in the registry, so that any number of
                # racing clients get one process
                async with cls.locks[name]:
                    dead = cls.service_tasks.get(name)
                    if dead and dead.process.poll() is not None:
                        await dead.complete.wait()  # let the name go first
                    if name not in cls.service_tasks:
                        log.info('spawning %s', name)
                        async with cls.watch_spawn(name):
                            await spawn()
                    service = cls.service_tasks[name]
            except Exception as err:
                failure = err
            finally:
                done.set()

        cls.service_n.start_soon(start)
        await done.wait()
        if failure:
            raise failure
        if service is None:
            raise ConnectionError(f'pikerd ended before it had spawned {name}')
        return service

    @classmethod
    async def start_service(
        cls,
        kwargs: dict[str, Any],
        service_mods: list[str],
        fixture: Callable[..., Any],
        **ctx_kwargs: Any,
    ) -> bool:
        """
        Start a daemon: the actor that `<kind>_init()` describes by `kwargs`, which also
        RPC-enables the host's `service_mods`, and its lifetime `fixture`.
        """
        # the host's own first: they tell a backend's seam which host this is
        mods = dict.fromkeys([*service_mods, *kwargs['enable_modules']])
        portal = await cls.actor_n.start_actor(**{**kwargs, 'enable_modules': [*mods]})
        await cls.start_service_task(kwargs['name'], portal, fixture, **ctx_kwargs)
        return True

    @classmethod
    async def start_service_task(
        cls,
        name: str,
        portal: tractor.Portal,
        target: Callable[..., Any],
        **ctx_kwargs: Any,
    ) -> Any:
        """
        Run `target`, the lifetime fixture of the daemon behind `portal`, until
        `cancel_service(name)`, until it ends by itself, or `pikerd` does.

        Returns the value that `target` started with, once the daemon is in the
        registry. An error before that is raised here; a later end is logged and
        leaves the other services alone.
        """
        return await cls.service_n.start(
            cls._supervise, name, portal, target, ctx_kwargs
        )

    @classmethod
    async def cancel_service(cls, name: str) -> None:
        """
        End the service and its actor. Returns when the process is gone.
        """
        if service := cls.service_tasks.get(name):
            service.cancel_scope.cancel()
            await service.complete.wait()

    @classmethod
    @acm
    async def watch_spawn(cls, name: str) -> AsyncIterator[None]:
        """
        Run a block that starts the daemon `name`. If that dies as it boots the block
        is cancelled and `ServiceDied` raised.
        """
        async with open_nursery() as tn:
            with tell_of_spawns(partial(tn.start_soon, cls._raise_on_exit, name)):
                yield
            tn.cancel_scope.cancel()

    @classmethod
    async def wait_for_spawns(cls) -> None:
        """
        Let what is being spawned just now come up: the runtime takes longer to do away
        with an actor that is still booting.
        """
        with trio.move_on_after(_grace):
            for lock in list(cls.locks.values()):
                async with lock:
                    pass

    @classmethod
    async def _supervise(
        cls,
        name: str,
        portal: tractor.Portal,
        target: Callable[..., Any],
        ctx_kwargs: dict[str, Any],
        task_status: TaskStatus[Any],
    ) -> None:
        service = Service(
            portal=portal,
            process=cls.actor_n.take_process(portal),
            cancel_scope=trio.CancelScope(),
            complete=trio.Event(),
        )
        started = False
        failure: BaseException | None = None
        try:
            with service.cancel_scope:
                async with open_nursery() as tn:
                    tn.start_soon(cls._raise_on_exit, name, service.process)
                    # `start_actor()` returned before the actor registered; until
                    # then a second client would find none, and ask for another
                    async with wait_for_actor(name):
                        pass
                    async with portal.open_context(target, **ctx_kwargs) as (
                        ctx,
                        first,
                    ):
                        cls.service_tasks[name] = service
                        task_status.started(first)
                        started = True
                        log.info('service %s started', name)
                        await wait_for_result(ctx)
                    tn.cancel_scope.cancel()
        except* Exception as errors:
            # beside a cancellation, where a death meets the end of pikerd
            failure = collapse(errors)
        finally:
            await cls._reap(service)
            if cls.service_tasks.get(name) is service:
                del cls.service_tasks[name]
            service.complete.set()

        if failure and not started:
            raise failure from failure.__cause__
        if failure:
            log.error('service %s ended: %s', name, failure)

    @staticmethod
    async def _raise_on_exit(name: str, process: trio.Process) -> None:
        status = await process.wait()
        raise ServiceDied(f'{name} (pid {process.pid}) died: exit status {status}')

    @staticmethod
    async def _reap(service: Service) -> None:
        """
        See the process out, and its registry entry: a dead actor cannot drop it.
        """
        process = service.process
        with trio.CancelScope(shield=True):
            with trio.move_on_after(_grace):
                if process.returncode is None:
                    await service.portal.cancel_actor()
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            if process.returncode != 0:
                await unregister_actor(actor_uid(service.portal))
