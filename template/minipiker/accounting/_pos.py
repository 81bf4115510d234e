"""
Positions: what an account's ledger adds up to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from decimal import Decimal
from math import copysign
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import trio
from msgspec import Struct, convert, field, to_builtins

from .. import config
from .._tractor import open_nursery
from ._ledger import Transaction, TransactionLedger, open_trade_ledger

_pause: float = 1
"""Seconds between two writings of an account file."""


class Position(Struct):
    """
    The holding in one market.
    """

    fqme: str
    bs_mktid: str = ''
    cumsize: float = 0.0
    """In dst asset, negative for a short position."""
    ppu: float = 0.0
    """
    Price per unit, in src asset: the average of what was paid since the position was
    last flat, with the commissions of opening and (as if the same) of closing it.
    """

    def add_clear(self, txn: Transaction) -> None:
        """
        Take a transaction in, by the rules of piker's `ppu()`: only what enlarges a
        position changes its price.
        """
        before = self.cumsize
        # sums of decimal fractions, which floats would smear
        self.cumsize = float(Decimal(str(before)) + Decimal(str(txn.size)))
        if self.cumsize == 0:
            self.ppu = 0.0
            return
        side = copysign(1, self.cumsize)
        if before * self.cumsize < 0:  # through zero: what is left is a new position
            before, self.ppu = 0.0, 0.0
        if (added := abs(self.cumsize) - abs(before)) > 0:
            basis = self.ppu * abs(before) + txn.price * added + side * 2 * txn.cost
            self.ppu = basis / abs(self.cumsize)


class Account(Struct):
    """
    All positions of an account, and how much of its ledger they account for.
    """

    path: Path
    ledger: TransactionLedger
    pps: dict[str, Position] = {}
    """By fqme."""
    ledger_size: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    def add(self, tid: str, record: dict[str, Any]) -> Position | None:
        """
        Enter a transaction into the books. Returns the position that it changes.
        """
        self.ledger.append(tid, record)
        txn = self.ledger.norm_trade(tid, record)
        position = self._update(txn) if txn else None
        self.ledger_size = self.ledger.size
        self.changed.set()
        return position

    def holdings(self) -> dict[str, tuple[float, float]]:
        """
        What is held, by fqme: size and price per unit.
        """
        return {fqme: (it.cumsize, it.ppu) for fqme, it in self.pps.items()}

    def _update(self, txn: Transaction) -> Position:
        position = self.pps.setdefault(txn.fqme, Position(txn.fqme, txn.bs_mktid))
        position.add_clear(txn)
        return position

    def update_from_ledger(self) -> None:
        """
        Catch up with the ledger: all that it has beyond what is accounted for.
        """
        if (size := self.ledger.size) < self.ledger_size:  # not the one we knew
            self.pps, self.ledger_size = {}, 0
        for txn in self.ledger.iter_txns(self.ledger_size):
            self._update(txn)
        self.ledger_size = size

    async def keep_written(self) -> NoReturn:
        """
        Write the account file some time after a change, and after many that come at
        once: a filesystem may take milliseconds for it, and whoever trades wants to be
        told first.
        """
        while True:
            await self.changed.wait()
            await trio.sleep(_pause)
            self.write_config()

    def write_config(self) -> None:
        """
        Write the account file, in one step.
        """
        self.changed = trio.Event()
        config.write(
            {
                'ledger_size': self.ledger_size,
                'pps': {fqme: to_builtins(pp) for fqme, pp in self.pps.items()},
            },
            self.path,
        )


@acm
async def open_account(mod: ModuleType, account: str) -> AsyncIterator[Account]:
    """
    An account, with its ledger open and accounted for.

    The ledger is the truth and the account file a summary of its first part: an
    actor that was killed between the writing of the two left nothing to mend.
    """
    broker = mod.name
    label = account.removeprefix(f'{broker}.')
    name = f'account.{broker}.{label}'
    path = config.get_conf_dir() / 'accounting' / f'{name}.toml'
    conf, _ = config.load(f'accounting/{name}')
    with open_trade_ledger(mod, account) as ledger:
        acnt = Account(
            path,
            ledger,
            convert(conf.get('pps', {}), dict[str, Position]),
            conf.get('ledger_size', 0),
        )
        acnt.update_from_ledger()
        acnt.write_config()
        async with open_nursery() as tn:
            tn.start_soon(acnt.keep_written)
            try:
                yield acnt
            finally:
                tn.cancel_scope.cancel()
                acnt.write_config()
