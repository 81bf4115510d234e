"""
The one seam to the host: every name that this backend takes from piker.

With piker installed these are piker's own objects, so that its `isinstance` and
`match` accept what this backend makes; without it, and on minipiker itself, they are
minipiker's.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from contextlib import asynccontextmanager as acm
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import tractor
import trio

F = TypeVar('F', bound=Callable[..., Any])

_on_piker: bool = __name__.startswith('piker.') or (
    'minipiker' not in sys.modules and find_spec('piker') is not None
)

if TYPE_CHECKING or not _on_piker:
    from msgspec import Struct

    from minipiker import config
    from minipiker._cacheables import async_lifo_cache
    from minipiker._tractor import context, open_nursery
    from minipiker.accounting import Asset, MktPair, unpack_fqme
    from minipiker.accounting._ledger import Transaction
    from minipiker.accounting._pos import Account, open_account
    from minipiker.brokers import (
        BrokerError,
        DataThrottle,
        DataUnavailable,
        NoData,
        SymbolNotFound,
        get_brokermod,
        open_cached_client,
    )
    from minipiker.clearing._daemon import _brokerd_modules
    from minipiker.clearing._messages import (
        BrokerdCancel,
        BrokerdError,
        BrokerdFill,
        BrokerdOrder,
        BrokerdOrderAck,
        BrokerdPosition,
        BrokerdStatus,
        Order,
        Status,
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
    from piker.accounting import (
        Asset,
        MktPair,
        Transaction,
        TransactionLedger,
        open_trade_ledger,
        unpack_fqme,
    )
    from piker.accounting import open_account as open_account_file
    from piker.brokers import (
        BrokerError,
        DataThrottle,
        DataUnavailable,
        NoData,
        SymbolNotFound,
        get_brokermod,
    )
    from piker.brokers import open_cached_client as open_pikers_client
    from piker.clearing._messages import (
        BrokerdCancel,
        BrokerdError,
        BrokerdFill,
        BrokerdOrder,
        BrokerdOrderAck,
        BrokerdPosition,
        BrokerdStatus,
        Order,
        Status,
    )
    from piker.data._source import def_iohlcv_fields
    from piker.data._symcache import open_symcache
    from piker.data.feed import get_feed_bus
    from piker.data.validate import FeedInit
    from piker.log import get_console_log, get_logger
    from piker.service import Services, maybe_spawn_daemon
    from piker.types import Struct

    context = tractor.context

    # its daemons enable modules of their own
    _datad_modules: list[str] = []
    _brokerd_modules: list[str] = []

    @acm
    async def open_nursery() -> AsyncIterator[trio.Nursery]:
        """
        A trio nursery that raises a single error bare.
        """
        async with AsyncExitStack() as stack:
            # an older piker has no such thing, nor a trio that calls for it
            if collapse := getattr(tractor.trionics, 'collapse_eg', None):
                await stack.enter_async_context(collapse())
            yield await stack.enter_async_context(trio.open_nursery())

    @acm
    async def open_cached_client(brokername: str) -> AsyncIterator[Any]:
        """
        piker's, but for a client that its last user has just left: piker hands that out
        until it comes to close it.
        """
        while True:
            async with open_pikers_client(brokername) as client:
                for _ in range(2):  # until it surely has come to that
                    await trio.lowlevel.checkpoint()
                if not client.closed:
                    yield client
                    return

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
        for name in names:
            for host in hosts:
                if found := getattr(host, name, None):
                    return found
        raise ImportError(f'this piker has nothing for {names[0]}() of {__package__}')

    class Ledger:
        """
        piker's ledger, by which it also finds out what is new.
        """

        def __init__(self, ledger: TransactionLedger) -> None:
            self._ledger = ledger

        def append(self, tid: str, record: dict[str, Any]) -> None:
            self._ledger[tid] = record
            # piker writes the file when it is closed; a crash must not lose a trade
            with self._ledger.file_path.open('ab') as file:
                file.write(b'\n' + msgspec.toml.encode({tid: record}))

        def iter_newest(self) -> Iterator[tuple[str, dict[str, Any]]]:
            yield from reversed(self._ledger.data.items())

        def last_record(self) -> dict[str, Any] | None:
            return next((record for _, record in self.iter_newest()), None)

    class Account(msgspec.Struct):
        """
        An account, by its ledger.
        """

        ledger: Ledger

        def add(self, tid: str, record: dict[str, Any]) -> None:
            self.ledger.append(tid, record)

    @acm
    async def open_account(mod: ModuleType, account: str) -> AsyncIterator[Account]:
        """
        The account of that full name, `<broker>.<label>`. In the end its positions are
        written to piker's file of them, which is what `ledger sync` is there for.
        """
        label = account.removeprefix(f'{mod.name}.')
        async with open_symcache(mod) as symcache:
            with (
                open_account_file(mod.name, label, write_on_exit=True) as positions,
                open_trade_ledger(mod.name, label, symcache=symcache) as ledger,
            ):
                try:
                    yield Account(Ledger(ledger))
                finally:
                    positions.update_from_ledger(
                        {
                            tid: txn
                            for tid, txn in ledger.to_txns().items()
                            # a market that is no more has no position either
                            if txn.fqme in symcache.mktmaps
                        },
                        symcache=symcache,
                    )


__all__ = [
    'Account',
    'Asset',
    'BrokerError',
    'BrokerdCancel',
    'BrokerdError',
    'BrokerdFill',
    'BrokerdOrder',
    'BrokerdOrderAck',
    'BrokerdPosition',
    'BrokerdStatus',
    'DataThrottle',
    'DataUnavailable',
    'FeedInit',
    'MktPair',
    'NoData',
    'Order',
    'Services',
    'Status',
    'Struct',
    'SymbolNotFound',
    'Transaction',
    '_brokerd_modules',
    '_datad_modules',
    'async_lifo_cache',
    'config',
    'context',
    'def_iohlcv_fields',
    'get_brokermod',
    'get_console_log',
    'get_feed_bus',
    'get_logger',
    'maybe_spawn_daemon',
    'open_account',
    'open_cached_client',
    'open_nursery',
    'prefer_host',
    'unpack_fqme',
]
