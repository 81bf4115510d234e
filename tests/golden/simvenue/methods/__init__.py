"""
What clients can call. Each module here has `install(venue)`, which adds its methods.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from ..server import Venue


def install_all(venue: Venue) -> None:
    for module in iter_modules(__path__):
        import_module(f'{__name__}.{module.name}').install(venue)
