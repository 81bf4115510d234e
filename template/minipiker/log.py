"""
Logging: one logger a subsystem, one console handler an actor.
"""

from __future__ import annotations

import logging

from rich.console import Console
from rich.logging import RichHandler

from ._terminal import PlainFormatter
from ._tractor import silence_runtime

_root: str = 'minipiker'


def get_logger(name: str | None = None) -> logging.Logger:
    """
    The logger of subsystem `name`, without a handler of its own.
    """
    return logging.getLogger(f'{_root}.{name}' if name else _root)


def get_console_log(
    level: str | None = None,
    name: str | None = None,
) -> logging.Logger:
    """
    As `get_logger()`, with this actor's console handler at `level`.

    Called once per actor, by its `_setup_persistent_<kind>()`: handlers belong to
    the process, not to the task that wants to log.
    """
    root = logging.getLogger(_root)
    if not root.handlers:
        handler = RichHandler(
            console=Console(stderr=True),
            show_path=False,
            log_time_format='%H:%M:%S',
        )
        handler.setFormatter(PlainFormatter())
        root.addHandler(handler)
        root.propagate = False
        if logging.lastResort:  # prints what other libraries log
            logging.lastResort.setFormatter(PlainFormatter())
    if level:
        root.setLevel(level.upper())
    if root.getEffectiveLevel() > logging.DEBUG:
        silence_runtime()
    return get_logger(name)
