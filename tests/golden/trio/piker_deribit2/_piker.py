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
from typing import TYPE_CHECKING, Any

import msgspec
import tractor
import trio

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
    from minipiker.data._source import def_iohlcv_fields
    from minipiker.data.validate import FeedInit
    from minipiker.log import get_logger

    _host: str = 'minipiker'

else:
    from piker import config
    from piker._cacheables import async_lifo_cache
    from piker.accounting import Account as AccountFile
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
    from piker.data._symcache import SymbologyCache, open_symcache
    from piker.data.validate import FeedInit
    from piker.log import get_logger
    from piker.types import Struct

    _host: str = 'piker'

    context = tractor.context

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
                if not client.session.closed:
                    yield client
                    return

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

    class Account:
        """
        An account: its ledger, and the positions that piker makes of that.
        """

        def __init__(
            self,
            mod: ModuleType,
            ledger: TransactionLedger,
            positions: AccountFile,
            symcache: SymbologyCache,
        ) -> None:
            self.ledger = Ledger(ledger)
            self._mod = mod
            self._positions = positions
            self._symcache = symcache
            self._account_for(ledger.to_txns())

        def add(self, tid: str, record: dict[str, Any]) -> None:
            self.ledger.append(tid, record)
            pairs = self._symcache.pairs
            if txn := self._mod.norm_trade(tid, record, pairs, self._symcache):
                self._account_for({tid: txn})

        def _account_for(self, txns: dict[str, Transaction]) -> None:
            listed = self._symcache.mktmaps
            self._positions.update_from_ledger(
                # a market that is no more has no position either
                {tid: txn for tid, txn in txns.items() if txn.fqme in listed},
                symcache=self._symcache,
            )

        def holdings(self) -> dict[str, tuple[float, float]]:
            """
            What is held, by fqme: size and price per unit.
            """
            return {
                it.mkt.fqme: (it.cumsize, it.ppu) for it in self._positions.pps.values()
            }

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
                yield Account(mod, ledger, positions, symcache)


def lifecycle(kind: str) -> list[Callable[..., Any]]:
    """
    The host's functions for a `kind` of daemon: the lifetime fixture, `<kind>_init()`,
    `spawn_<kind>()` and `maybe_spawn_<kind>()`.

    A piker without a `datad` has one daemon for everything, a `brokerd`. piker calls
    what starts that one `broker_init()`.
    """
    hosts = [
        import_module(name)
        for name in (f'{_host}.data._daemon', f'{_host}.brokers._daemon')
        if find_spec(name)
    ]

    def find(name: str) -> Callable[..., Any]:
        for it in (kind, 'brokerd', 'broker'):
            for host in hosts:
                if found := getattr(host, name.format(it), None):
                    function: Callable[..., Any] = found
                    return function
        raise ImportError(f'{_host} has no {name.format(kind)}() for {__package__}')

    names = ('_setup_persistent_{}', '{}_init', 'spawn_{}', 'maybe_spawn_{}')
    return [find(name) for name in names]


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
    'Status',
    'Struct',
    'SymbolNotFound',
    'Transaction',
    'async_lifo_cache',
    'config',
    'context',
    'def_iohlcv_fields',
    'get_brokermod',
    'get_logger',
    'lifecycle',
    'open_account',
    'open_cached_client',
    'open_nursery',
    'unpack_fqme',
]
