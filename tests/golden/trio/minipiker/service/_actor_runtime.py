"""
The root of the actor tree.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from typing import Any

import tractor

from .._tractor import (
    Addr,
    find_actor,
    has_living_child,
    open_nursery,
    root_kwargs,
    runtime_vars,
)
from ..brokers import __brokers__, get_brokermod
from ..log import get_console_log
from ._liveness import watch_actor
from ._mngr import Services
from ._registry import free_addr, publish_registry

_root_dname: str = 'pikerd'

_root_modules: list[str] = [
    'minipiker.clearing._daemon',
    'minipiker.data._sampling',
    'minipiker.service._daemon',
    'minipiker.service._liveness',
]


@acm
async def open_piker_runtime(
    name: str,
    registry_addr: Addr,
    enable_modules: list[str] | None = None,
    loglevel: str | None = None,
    tractor_runtime_overrides: dict[str, Any] | None = None,
) -> AsyncIterator[tractor.Actor]:
    """
    Make this process an actor: of the tree whose registry is at `registry_addr`,
    or the root of a new one.

    `tractor_runtime_overrides` become the runtime variables `piker_vars`, which all
    actors below inherit.
    """
    runtime_vars()['piker_vars'] = tractor_runtime_overrides or {}
    try:
        async with tractor.open_root_actor(
            name=name,
            enable_modules=enable_modules or [],
            loglevel='critical',
            **root_kwargs(registry_addr),
        ) as actor:
            get_console_log(loglevel)
            yield actor
    finally:
        del runtime_vars()['piker_vars']


@acm
async def open_pikerd(
    registry_addr: Addr | None = None,
    loglevel: str | None = None,
    tractor_runtime_overrides: dict[str, Any] | None = None,
) -> AsyncIterator[type[Services]]:
    """
    Become `pikerd`: registry and supervisor of all daemons, which end with the block.

    `registry_addr` is any free port of the loopback interface by default.
    """
    daemon_modules = [f'{get_brokermod(name).__name__}._daemon' for name in __brokers__]
    addr = registry_addr or free_addr()
    async with (
        open_piker_runtime(
            _root_dname,
            addr,
            enable_modules=_root_modules + daemon_modules,
            loglevel=loglevel,
            tractor_runtime_overrides=tractor_runtime_overrides,
        ),
        tractor.open_nursery() as Services.actor_n,
    ):
        async with open_nursery() as Services.service_n:
            with publish_registry(addr):
                yield Services
            await Services.wait_for_spawns()
            Services.service_n.cancel_scope.cancel()
        if has_living_child(Services.actor_n):
            # it was being started just then, and is in nobody's care
            await Services.actor_n.cancel()


@acm
async def maybe_open_pikerd(
    registry_addr: Addr | None = None,
    loglevel: str | None = None,
    tractor_runtime_overrides: dict[str, Any] | None = None,
) -> AsyncIterator[tractor.Portal | None]:
    """
    A portal to the `pikerd` of the tree that this process is an actor of, or else
    of the tree at `registry_addr`. `None` means that this process is `pikerd`, and
    is made it where there is no such tree.
    """
    actor = tractor.current_actor(err_on_no_runtime=False)
    if actor is None and registry_addr is None:
        async with open_pikerd(None, loglevel, tractor_runtime_overrides):
            yield None
    elif actor is None and registry_addr is not None:
        async with (
            open_piker_runtime(
                f'client.{os.getpid()}',
                registry_addr,
                loglevel=loglevel,
                tractor_runtime_overrides=tractor_runtime_overrides,
            ),
            maybe_open_pikerd() as pikerd,
        ):
            yield pikerd
    elif actor.name == _root_dname:
        yield None
    else:
        async with find_actor(_root_dname) as pikerd:
            if pikerd is None:
                raise ConnectionError('there is no pikerd in this actor tree')
            async with watch_actor(pikerd):
                yield pikerd
