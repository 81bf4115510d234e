"""
The ledger: every transaction of an account, in the broker's own words.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager as cm
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import tomli_w
from msgspec import Struct
from msgspec.structs import asdict

from .. import config

if TYPE_CHECKING:
    import pendulum


class Transaction(Struct, frozen=True):
    """
    A change of a position, in the host's form.
    """

    fqme: str
    tid: str
    size: float
    """In dst asset, negative for a sale."""
    price: float
    cost: float
    """Commissions, in src asset."""
    dt: pendulum.DateTime
    etype: str = 'clear'
    bs_mktid: str = ''

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), 'dt': self.dt.isoformat()}


class TransactionLedger:
    """
    A TOML file with one table a transaction, to which tables are only ever added.

    What `append()` has returned from survives `kill -9`. History stays on disk: an
    account with a hundred thousand trades takes no more memory than an empty one.
    """

    def __init__(self, path: Path, account: str, mod: ModuleType) -> None:
        self.path = path
        self.account = account
        self.mod = mod
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        # an entry that was cut short was never acknowledged to anybody
        os.ftruncate(self._file, self._end_of_entries(self.size))

    @property
    def size(self) -> int:
        """
        In bytes; an offset for `iter_records()`.
        """
        return os.fstat(self._file).st_size

    def append(self, tid: str, record: dict[str, Any]) -> None:
        """
        Keep the `record` of the transaction `tid`.
        """
        # a blank line ends an entry, tables within it or not
        lines = tomli_w.dumps({tid: record}).replace('\n\n', '\n')
        entry = f'{lines}\n'.encode()
        size = self.size
        if os.write(self._file, entry) != len(entry):
            os.ftruncate(self._file, size)
            raise OSError(f'{self.path}: no space for a ledger entry')

    def iter_records(self, offset: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
        """
        All `(tid, record)` from `offset` on, in order.
        """
        with self.path.open('rb') as file:
            file.seek(offset)
            entry = b''
            for line in file:
                entry += line
                if line == b'\n':
                    yield from tomllib.loads(entry.decode()).items()
                    entry = b''

    def iter_txns(self, offset: int = 0) -> Iterator[Transaction]:
        """
        The same as transactions, which `norm_trade()` of the backend makes.
        """
        for tid, record in self.iter_records(offset):
            if txn := self.norm_trade(tid, record):
                yield txn

    def norm_trade(self, tid: str, record: dict[str, Any]) -> Transaction | None:
        if self.account == 'paper':  # the paper engine's records are transactions
            import pendulum

            return Transaction(**{**record, 'dt': pendulum.parse(record['dt'])})
        txn: Transaction | None = self.mod.norm_trade(
            tid, record, pairs={}, symcache=None
        )
        return txn

    def iter_newest(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """
        All `(tid, record)`, from the last one back.
        """
        stop = self.size
        while stop:
            start = self._end_of_entries(stop - 2)
            entry = os.pread(self._file, stop - start, start)
            yield from tomllib.loads(entry.decode()).items()
            stop = start

    def find(self, tid: str) -> dict[str, Any] | None:
        """
        The record of a transaction, if there is one. It is looked for in the text: to
        parse what an account has after years would take too long.
        """
        if not self.size:
            return None
        header = tomli_w.dumps({tid: {}}).encode()
        with mmap(self._file, 0, access=ACCESS_READ) as text:
            if text[: len(header)] == header:
                offset = 0
            elif (at := text.rfind(b'\n\n' + header)) >= 0:
                offset = at + 2
            else:
                return None
        return next(record for _, record in self.iter_records(offset))

    def close(self) -> None:
        os.close(self._file)

    def _end_of_entries(self, stop: int) -> int:
        """
        Where the last entry ends of those that end before `stop`.
        """
        while stop > 0:
            start = max(0, stop - 2**16)
            chunk = os.pread(self._file, stop - start, start)
            if (at := chunk.rfind(b'\n\n')) >= 0:
                return start + at + 2
            # a blank line may lie across two chunks
            stop = start + 1 if start else 0
        return 0


@cm
def open_trade_ledger(
    mod: ModuleType,
    account: str,
) -> Iterator[TransactionLedger]:
    """
    The ledger of an account, of the backend `mod` or (whose records are its own)
    the paper engine. The actor that trades is its only writer.
    """
    broker = mod.name
    label = account.removeprefix(f'{broker}.')
    ledgers = config.get_conf_dir() / 'accounting' / 'ledgers'
    ledger = TransactionLedger(ledgers / f'trades_{broker}_{label}.toml', account, mod)
    try:
        yield ledger
    finally:
        ledger.close()
