"""
The one seam to the host: every name that this backend takes from piker.

With piker installed these are piker's own objects, so that its `isinstance` and
`match` accept what this backend makes; without it, and on minipiker itself, they are
minipiker's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import trio

F = TypeVar('F', bound=Callable[..., Any])

_on_piker: bool = __name__.startswith('piker.') or (
    'minipiker' not in sys.modules and find_spec('piker') is not None
)

if TYPE_CHECKING or not _on_piker:
    from msgspec import Struct

    from minipiker import config
    from minipiker._cacheables import async_lifo_cache
    from minipiker._tractor import open_nursery
    from minipiker.accounting import Asset, MktPair, unpack_fqme
    from minipiker.brokers import (
        BrokerError,
        DataThrottle,
        DataUnavailable,
        NoData,
        SymbolNotFound,
        get_brokermod,
        open_cached_client,
    )
    from minipiker.data._daemon import _datad_modules
    from minipiker.data._source import def_iohlcv_fields
    from minipiker.data.feed import get_feed_bus
    from minipiker.data.validate import FeedInit
    from minipiker.log import get_console_log, get_logger
    from minipiker.service import Services, maybe_spawn_daemon

    def prefer_host(function: F) -> F:
        """
        Nothing else: minipiker leaves the daemons of a backend to its `_daemon.py`.
        """
        return function

else:
    from piker import config
    from piker._cacheables import async_lifo_cache
    from piker.accounting import Asset, MktPair, unpack_fqme
    from piker.brokers import (
        BrokerError,
        DataThrottle,
        DataUnavailable,
        NoData,
        SymbolNotFound,
        get_brokermod,
        open_cached_client,
    )
    from piker.data._source import def_iohlcv_fields
    from piker.data.feed import get_feed_bus
    from piker.data.validate import FeedInit
    from piker.log import get_console_log, get_logger
    from piker.service import Services, maybe_spawn_daemon
    from piker.types import Struct

    open_nursery = trio.open_nursery

    # its daemons enable modules of their own
    _datad_modules: list[str] = []

    def prefer_host(function: Callable[..., Any]) -> Callable[..., Any]:
        """
        piker's own version of a function in `_daemon.py`. Where it has one daemon for
        everything, that is a `brokerd`.
        """
        names = [function.__name__, function.__name__.replace('datad', 'brokerd')]
        names.append(names[-1].replace('brokerd_init', 'broker_init'))
        hosts = [
            import_module(name)
            for name in ('piker.data._daemon', 'piker.brokers._daemon')
            if find_spec(name)
        ]
        found = [getattr(host, name, None) for name in names for host in hosts]
        return next(filter(None, found))


__all__ = [
    'Asset',
    'BrokerError',
    'DataThrottle',
    'DataUnavailable',
    'FeedInit',
    'MktPair',
    'NoData',
    'Services',
    'Struct',
    'SymbolNotFound',
    '_datad_modules',
    'async_lifo_cache',
    'config',
    'def_iohlcv_fields',
    'get_brokermod',
    'get_console_log',
    'get_feed_bus',
    'get_logger',
    'maybe_spawn_daemon',
    'open_cached_client',
    'open_nursery',
    'prefer_host',
    'unpack_fqme',
]
