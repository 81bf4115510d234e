"""
The lifecycles of the daemons that clear orders: `emsd`, the one execution management
system, and its children `paperboi.<broker>`, which play the broker in paper mode.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from contextlib import asynccontextmanager as acm
from functools import partial
from types import ModuleType
from typing import Any

import tractor
import trio

from .._tractor import open_nursery
from ..accounting._pos import open_account
from ..brokers import get_brokermod
from ..log import get_console_log
from ..service import Services, find_service, maybe_spawn_daemon
from ..service._daemon import open_service
from ..service._liveness import wait_for_end

_ems_service_mods: list[str] = ['minipiker.service._liveness']
"""What each of these daemons RPC-enables beside what is its own."""


@tractor.context
async def _setup_persistent_emsd(
    ctx: tractor.Context,
    loglevel: str | None = None,
) -> None:
    """
    The lifetime of `emsd`: its console log, its children, and the router with a
    nursery for what outlasts the clients: order dialogs, dark orders, alerts.
    """
    # not in pikerd, which imports this module to spawn by it
    from ._ems import get_router

    get_console_log(loglevel, name='emsd')
    async with Services.manage(), open_nursery() as service_nursery:
        get_router(service_nursery)
        await ctx.started()
        await trio.sleep_forever()


def emsd_init(
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> tuple[None, dict[str, Any], Callable[..., Any]]:
    """
    What it takes to run `emsd`: no backend, the arguments of `start_actor()` and the
    lifetime fixture.
    """
    kwargs = {
        'name': 'emsd',
        'enable_modules': [__name__, 'minipiker.clearing._ems'],
    }
    return None, start_actor_kwargs | kwargs, _setup_persistent_emsd


async def spawn_emsd(loglevel: str | None = None) -> bool:
    """
    Start `emsd`. Runs in `pikerd`.
    """
    _, kwargs, fixture = emsd_init(loglevel)
    return await Services.start_service(
        kwargs, _ems_service_mods, fixture, loglevel=loglevel
    )


def maybe_open_emsd(
    loglevel: str | None = None,
) -> AbstractAsyncContextManager[tractor.Portal]:
    """
    A portal to `emsd`, spawned if there is none yet.
    """
    return maybe_spawn_daemon('emsd', spawn_emsd, {}, loglevel)


@tractor.context
async def _setup_persistent_paperboi(
    ctx: tractor.Context,
    brokername: str,
    loglevel: str | None = None,
) -> None:
    """
    The lifetime of a `paperboi`: its console log, the books of the paper account,
    and the engine with its open orders.
    """
    from ._paper_engine import get_engine

    get_console_log(loglevel, name=f'paperboi.{brokername}')
    mod = get_brokermod(brokername)
    async with open_account(mod, 'paper') as account, open_nursery() as service_nursery:
        get_engine(mod, account, service_nursery)
        await ctx.started()
        await trio.sleep_forever()


def paperboi_init(
    brokername: str,
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> tuple[ModuleType, dict[str, Any], Callable[..., Any]]:
    """
    As `emsd_init()`, for a `paperboi`: with the backend.
    """
    kwargs = {
        'name': f'paperboi.{brokername}',
        'enable_modules': [__name__, 'minipiker.clearing._paper_engine'],
    }
    mod = get_brokermod(brokername)
    return mod, start_actor_kwargs | kwargs, _setup_persistent_paperboi


async def spawn_paperboi(brokername: str, loglevel: str | None = None) -> bool:
    """
    Start `paperboi.<brokername>`. Runs in `emsd`.
    """
    _, kwargs, fixture = paperboi_init(brokername, loglevel)
    async with find_service(kwargs['name']) as orphan:
        if orphan:  # of an emsd that was killed; it still has the books
            await wait_for_end(orphan)
    return await Services.start_service(
        kwargs, _ems_service_mods, fixture, brokername=brokername, loglevel=loglevel
    )


@acm
async def maybe_spawn_paperboi(
    brokername: str,
    loglevel: str | None = None,
) -> AsyncIterator[tractor.Portal]:
    """
    A portal to `paperboi.<brokername>`, which is spawned as a child of this actor,
    `emsd`, if there is none yet.
    """
    name = f'paperboi.{brokername}'
    await Services.start_once(name, partial(spawn_paperboi, brokername, loglevel))
    async with open_service(name) as portal:
        yield portal
