"""
Names of the package that are imported when they are asked for, not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_late(package: str, modules: dict[str, str], name: str) -> Any:
    """
    What goes by that name in the package's module that `modules` has for it.

    Raises `AttributeError`, also where that module cannot be imported: it is the one
    error that a host takes for the lack of an endpoint.
    """
    if name not in modules:
        raise AttributeError(f'{package} has no {name}')
    module = f'{package}.{modules[name]}'
    try:
        return getattr(import_module(module), name)
    except Exception as err:
        raise AttributeError(
            f'no {name}: {module} cannot be imported: {type(err).__name__}: {err}'
        ) from err
