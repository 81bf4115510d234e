"""
The lifecycle of `brokerd`, which controls orders at a broker, with credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any

import tractor
import trio

from ..log import get_console_log
from . import BrokerError, get_brokermod, mk_start_actor_kwargs

# `minipiker.service` re-exports what is here, so functions import from there.

_brokerd_service_mods: list[str] = ['minipiker.service._liveness']
"""What the host itself RPC-enables in every `brokerd`: nothing of the data path."""


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


def brokerd_init(
    brokername: str,
    loglevel: str | None = None,
    **start_actor_kwargs: Any,
) -> tuple[ModuleType, dict[str, Any], Callable[..., Any]]:
    """
    What it takes to run a `brokerd`: the backend, the arguments of `start_actor()`
    and the lifetime fixture. Also for a backend that cannot trade.
    """
    mod = get_brokermod(brokername)
    kwargs = mk_start_actor_kwargs('brokerd', mod, __name__)
    return mod, start_actor_kwargs | kwargs, _setup_persistent_brokerd


broker_init = brokerd_init
"""piker's own name of it."""


async def spawn_brokerd(brokername: str, loglevel: str | None = None) -> bool:
    """
    Start `brokerd.<brokername>`. Runs in `pikerd`.

    Raises `BrokerError` for a backend that has no order control.
    """
    from ..service import Services

    mod, kwargs, fixture = brokerd_init(brokername, loglevel)
    try:
        mod.open_trade_dialog  # noqa: B018
    except AttributeError as err:
        raise BrokerError(f'{brokername} cannot trade: {err}') from None
    return await Services.start_service(
        kwargs, _brokerd_service_mods, fixture, brokername=brokername, loglevel=loglevel
    )


def maybe_spawn_brokerd(
    brokername: str,
    loglevel: str | None = None,
) -> AbstractAsyncContextManager[tractor.Portal]:
    """
    A portal to `brokerd.<brokername>`, spawned if there is none yet. For
    `open_brokerd_dialog()` alone.
    """
    from ..service import maybe_spawn_daemon

    return maybe_spawn_daemon(
        f'brokerd.{brokername}', spawn_brokerd, {'brokername': brokername}, loglevel
    )
