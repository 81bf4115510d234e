"""
The lifecycle of `datad`, which serves a broker's market data.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any

import tractor
import trio

from ..brokers import get_brokermod, mk_start_actor_kwargs
from ..log import get_console_log

# `minipiker.service` re-exports what is here, so functions import from there.

_datad_service_mods: list[str] = [
    'minipiker.data.feed',
    'minipiker.data.tsp',
    'minipiker.service._liveness',
]
"""What the host itself RPC-enables in every `datad`. As little as can be."""


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
    from .feed import get_feed_bus

    get_console_log(loglevel, name=f'datad.{brokername}')
    async with trio.open_nursery() as service_nursery:
        get_feed_bus(brokername, service_nursery)
        await ctx.started()
        await trio.sleep_forever()


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
    kwargs = mk_start_actor_kwargs('datad', mod, __name__)
    return mod, start_actor_kwargs | kwargs, _setup_persistent_datad


async def spawn_datad(brokername: str, loglevel: str | None = None) -> bool:
    """
    Start `datad.<brokername>`. Runs in `pikerd`.
    """
    from ..service import Services

    _, kwargs, fixture = datad_init(brokername, loglevel)
    return await Services.start_service(
        kwargs, _datad_service_mods, fixture, brokername=brokername, loglevel=loglevel
    )


def maybe_spawn_datad(
    brokername: str,
    loglevel: str | None = None,
) -> AbstractAsyncContextManager[tractor.Portal]:
    """
    A portal to `datad.<brokername>`, spawned if there is none yet.
    """
    from ..service import maybe_spawn_daemon

    return maybe_spawn_daemon(
        f'datad.{brokername}', spawn_datad, {'brokername': brokername}, loglevel
    )
