"""Backends with one rule broken in each, to see whether `piker-new check` finds it."""

from .clients import ASYNCIO, TRIO
from .edits import Edit, Mutants
from .generated_otherwise import GENERATED_OTHERWISE
from .ib import IB
from .kraken import KRAKEN
from .piker_otherwise import IB_OTHERWISE, KRAKEN_OTHERWISE

OTHERWISE: dict[str, list[tuple[str, list[Edit]]]] = {
    'asyncio': GENERATED_OTHERWISE,
    'kraken': KRAKEN_OTHERWISE,
    'ib': IB_OTHERWISE,
}

__all__ = ['ASYNCIO', 'IB', 'KRAKEN', 'OTHERWISE', 'TRIO', 'Edit', 'Mutants']
