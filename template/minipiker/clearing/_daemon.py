"""
The lifecycles of the daemons that clear orders: `emsd`, the one execution management
system, and `paperboi.<broker>`, which plays the broker in paper mode.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import tractor
import trio

from .._tractor import open_nursery
from ..accounting._pos import open_account
from ..brokers import get_brokermod
from ..log import get_console_log
from ..service import Services, maybe_spawn_daemon

_brokerd_modules: list[str] = ['minipiker.service._liveness']
"""What the host itself RPC-enables in every `brokerd`: nothing of the data path."""


@tractor.context
async def _setup_persistent_emsd(
    ctx: tractor.Context,
    loglevel: str | None = None,
) -> None:
    """
    The lifetime of `emsd`: its console log, and the router with a nursery for what
    outlasts the clients: order dialogs, dark orders, alerts.
    """
    # not in pikerd, which imports this module to spawn by it
    from ._ems import get_router

    get_console_log(loglevel, name='emsd')
    async with open_nursery() as service_nursery:
        get_router(service_nursery)
        await ctx.started()
        await trio.sleep_forever()


def emsd_init(
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> tuple[dict[str, Any], Callable[..., Any]]:
    """
    What it takes to run `emsd`: the arguments of `start_actor()` and the lifetime
    fixture.
    """
    kwargs = {
        'name': 'emsd',
        'enable_modules': [
            __name__,
            'minipiker.clearing._ems',
            'minipiker.service._liveness',
        ],
    }
    return kwargs | start_actor_kwargs, _setup_persistent_emsd


async def spawn_emsd(
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> bool:
    """
    Start `emsd`. Runs in `pikerd`.
    """
    kwargs, fixture = emsd_init(loglevel, **start_actor_kwargs)
    portal = await Services.actor_n.start_actor(**kwargs)
    await Services.start_service_task(
        kwargs['name'], portal, fixture, loglevel=loglevel
    )
    return True


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
    and the engine with its open orders, which outlasts the `emsd` that sent them.
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
) -> tuple[dict[str, Any], Callable[..., Any]]:
    """
    As `emsd_init()`, for a `paperboi`.
    """
    kwargs = {
        'name': f'paperboi.{brokername}',
        'enable_modules': [
            __name__,
            'minipiker.clearing._paper_engine',
            'minipiker.service._liveness',
        ],
    }
    return kwargs | start_actor_kwargs, _setup_persistent_paperboi


async def spawn_paperboi(
    brokername: str,
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> bool:
    """
    Start `paperboi.<brokername>`. Runs in `pikerd`.
    """
    kwargs, fixture = paperboi_init(brokername, loglevel, **start_actor_kwargs)
    portal = await Services.actor_n.start_actor(**kwargs)
    await Services.start_service_task(
        kwargs['name'], portal, fixture, brokername=brokername, loglevel=loglevel
    )
    return True


def maybe_spawn_paperboi(
    brokername: str,
    loglevel: str | None = None,
) -> AbstractAsyncContextManager[tractor.Portal]:
    """
    A portal to `paperboi.<brokername>`, spawned if there is none yet.
    """
    return maybe_spawn_daemon(
        f'paperboi.{brokername}', spawn_paperboi, {'brokername': brokername}, loglevel
    )
