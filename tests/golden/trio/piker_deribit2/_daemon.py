"""
The lifecycles of this backend's daemons: `datad`, which serves market data, and
`brokerd`, which controls orders.

What piker has of these functions is piker's own (`prefer_host`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any

import tractor
import trio

from ._piker import (
    Services,
    _brokerd_modules,
    _datad_modules,
    get_brokermod,
    get_console_log,
    get_feed_bus,
    maybe_spawn_daemon,
    prefer_host,
)


@prefer_host
@tractor.context
async def _setup_persistent_datad(
    ctx: tractor.Context,
    brokername: str,
    loglevel: str | None = None,
) -> None:
    """
    The lifetime of a `datad`: its console log, and the nursery in which live feeds
    outlast the clients that asked for them.
    """
    get_console_log(loglevel, name=f'datad.{brokername}')
    async with trio.open_nursery() as service_nursery:
        get_feed_bus(brokername, service_nursery)
        await ctx.started()
        await trio.sleep_forever()


@prefer_host
def datad_init(
    brokername: str,
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> tuple[ModuleType, dict[str, Any], Callable[..., Any]]:
    """
    What it takes to run a `datad`: the backend, the arguments of `start_actor()` and
    the lifetime fixture.
    """
    mod = get_brokermod(brokername)
    return (
        mod,
        _start_actor_kwargs('datad', mod, _datad_modules, mod._datad_mods)
        | start_actor_kwargs,
        _setup_persistent_datad,
    )


@prefer_host
async def spawn_datad(
    brokername: str,
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> bool:
    """
    Start `datad.<brokername>`. Runs in `pikerd`.
    """
    _, kwargs, fixture = datad_init(brokername, loglevel, **start_actor_kwargs)
    portal = await Services.actor_n.start_actor(**kwargs)
    await Services.start_service_task(
        kwargs['name'], portal, fixture, brokername=brokername, loglevel=loglevel
    )
    return True


@prefer_host
def maybe_spawn_datad(
    brokername: str,
    loglevel: str | None = None,
) -> AbstractAsyncContextManager[tractor.Portal]:
    """
    A portal to `datad.<brokername>`, spawned if there is none yet.
    """
    return maybe_spawn_daemon(
        f'datad.{brokername}', spawn_datad, {'brokername': brokername}, loglevel
    )


@prefer_host
@tractor.context
async def _setup_persistent_brokerd(
    ctx: tractor.Context,
    brokername: str,
    loglevel: str | None = None,
) -> None:
    """
    The lifetime of a `brokerd`: its console log. It shares no state with a `datad`.
    """
    get_console_log(loglevel, name=f'brokerd.{brokername}')
    await ctx.started()
    await trio.sleep_forever()


@prefer_host
def brokerd_init(
    brokername: str,
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> tuple[ModuleType, dict[str, Any], Callable[..., Any]]:
    """
    As `datad_init()`, for a `brokerd`: it holds credentials, and RPC-enables no
    module of the data path.
    """
    mod = get_brokermod(brokername)
    return (
        mod,
        _start_actor_kwargs('brokerd', mod, _brokerd_modules, mod._brokerd_mods)
        | start_actor_kwargs,
        _setup_persistent_brokerd,
    )


@prefer_host
async def spawn_brokerd(
    brokername: str,
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> bool:
    """
    Start `brokerd.<brokername>`. Runs in `pikerd`.
    """
    _, kwargs, fixture = brokerd_init(brokername, loglevel, **start_actor_kwargs)
    portal = await Services.actor_n.start_actor(**kwargs)
    await Services.start_service_task(
        kwargs['name'], portal, fixture, brokername=brokername, loglevel=loglevel
    )
    return True


@prefer_host
def maybe_spawn_brokerd(
    brokername: str,
    loglevel: str | None = None,
) -> AbstractAsyncContextManager[tractor.Portal]:
    """
    A portal to `brokerd.<brokername>`, spawned if there is none yet. For
    `open_brokerd_dialog()` alone.
    """
    return maybe_spawn_daemon(
        f'brokerd.{brokername}', spawn_brokerd, {'brokername': brokername}, loglevel
    )


def _start_actor_kwargs(
    kind: str,
    mod: ModuleType,
    host_modules: list[str],
    submods: list[str],
) -> dict[str, Any]:
    return {
        'name': f'{kind}.{mod.name}',
        'enable_modules': [
            *host_modules,  # they tell the seam which host this is
            __name__,
            *(f'{mod.__name__}.{name}' for name in submods),
        ],
        **mod._spawn_kwargs,
    }
