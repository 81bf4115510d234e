"""
The lifecycle of `emsd`, the one execution management system.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import tractor
import trio

from .._tractor import open_nursery
from ..log import get_console_log
from ..service import Services, maybe_spawn_daemon
from ._ems import get_router

_ems_service_mods: list[str] = ['minipiker.service._liveness']
"""What the host RPC-enables beside the router."""


@tractor.context
async def _setup_persistent_emsd(
    ctx: tractor.Context,
    loglevel: str | None = None,
) -> None:
    """
    The lifetime of `emsd`: its console log, its children, and the router with a
    nursery for what outlasts the clients: order dialogs, dark orders, alerts.
    """
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
