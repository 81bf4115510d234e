"""
The lifecycle of `paperboi`, which plays the broker in paper mode, a child of `emsd`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
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
from ..service import Services, find_service
from ..service._daemon import open_service
from ..service._liveness import wait_for_end
from ._paper_engine import get_engine

_paperboi_service_mods: list[str] = ['minipiker.service._liveness']
"""What the host RPC-enables beside the engine."""


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
    What it takes to run a `paperboi`: the backend, the arguments of `start_actor()`
    and the lifetime fixture.
    """
    mod = get_brokermod(brokername)
    kwargs = {
        'name': f'paperboi.{brokername}',
        'enable_modules': [__name__, 'minipiker.clearing._paper_engine'],
        **getattr(mod, '_spawn_kwargs', {}),
    }
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
        kwargs,
        _paperboi_service_mods,
        fixture,
        brokername=brokername,
        loglevel=loglevel,
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
