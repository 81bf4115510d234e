"""
The root of the actor tree.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import nullcontext
from typing import Any

import tractor

from .._gate import use_key
from .._tractor import (
    Addr,
    find_actor,
    root_kwargs,
    runtime_vars,
    without_disconnects,
)
from ..log import get_console_log
from ._liveness import watch_actor
from ._mngr import Services
from ._registry import find_key, free_addr, publish_registry
from ._report import reporting

_root_dname: str = 'pikerd'

_root_modules: list[str] = ['minipiker.service._daemon', 'minipiker.service._liveness']

# The daemons that there can be, each with the module of its `spawn_<kind>()`; for one
# that begins with a dot that is the backend's.
_singletons: dict[str, str] = {
    'emsd': 'minipiker.clearing._daemon',
    'samplerd': 'minipiker.data._sampling',
}
_per_broker: dict[str, str] = {
    'brokerd': 'minipiker.brokers._daemon',
    'datad': 'minipiker.data._daemon',
}


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
    left = False
    failure: BaseException | None = None
    try:
        async with tractor.open_root_actor(
            name=name,
            enable_modules=enable_modules or [],
            loglevel='critical',
            **root_kwargs(registry_addr),
        ) as actor:
            get_console_log(loglevel)
            try:
                yield actor
            except BaseException as err:
                failure = err
                raise
            finally:
                left = True
    except BaseException as err:
        rest = without_disconnects(err)
        if not left or (rest is None and failure is not None):
            raise
        # the registry may be gone when the runtime takes its leave of it
        if rest is not None:
            raise rest from rest.__cause__
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
    with nullcontext(registry_addr) if registry_addr else free_addr() as addr:
        async with (
            open_piker_runtime(
                _root_dname,
                addr,
                enable_modules=_root_modules,
                loglevel=loglevel,
                tractor_runtime_overrides=tractor_runtime_overrides,
            ),
            Services.manage(),
        ):
            with reporting(), publish_registry(addr):
                yield Services


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
        with use_key(find_key(registry_addr)):
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
