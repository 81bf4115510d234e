"""Backends with one rule broken in each, to see whether `piker-new check` finds it."""

from .clients import ASYNCIO, TRIO
from .edits import Edit, Mutants
from .ib import IB
from .kraken import KRAKEN

__all__ = ['ASYNCIO', 'IB', 'KRAKEN', 'TRIO', 'Edit', 'Mutants']
