"""
The way to a broker's `datad`.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from importlib import import_module

import tractor

from ..brokers import get_brokermod

_datad_modules: list[str] = [
    'minipiker.data.feed',
    'minipiker.data.tsp',
    'minipiker.service._liveness',
]
"""What the host itself RPC-enables in every `datad`. As little as can be."""


def open_datad(
    brokername: str,
    loglevel: str | None = None,
) -> AbstractAsyncContextManager[tractor.Portal]:
    """
    A portal to `datad.<brokername>`, by the backend's own `maybe_spawn_datad()`.
    """
    daemon = import_module(f'{get_brokermod(brokername).__name__}._daemon')
    portal: AbstractAsyncContextManager[tractor.Portal] = daemon.maybe_spawn_datad(
        brokername, loglevel
    )
    return portal
