"""
Logging: one logger a subsystem, one console handler an actor.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import suppress
from functools import cached_property

from ._tractor import silence_runtime

_root: str = 'minipiker'


class PlainFormatter(logging.Formatter):
    """
    Of log records: as `plain()`, but for the lines of tracebacks.
    """

    def format(self, record: logging.LogRecord) -> str:
        from ._terminal import plain

        return '\n'.join(map(plain, super().format(record).split('\n')))


class ConsoleHandler(logging.Handler):
    """
    Writes to the terminal. Most actors never have anything to say, so that rich is
    imported for the first record.
    """

    @cached_property
    def _handler(self) -> logging.Handler:
        from rich.console import Console
        from rich.logging import RichHandler

        handler = RichHandler(
            console=Console(stderr=True),
            show_path=False,
            log_time_format='%H:%M:%S',
        )
        handler.setFormatter(PlainFormatter())
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, 'one_line', False):
            self._print(record)
        else:
            self._handler.emit(record)

    def _print(self, record: logging.LogRecord) -> None:
        """
        It as a line, which is cut where a terminal would wrap it.
        """
        from ._terminal import plain

        line = f'{time.strftime("%H:%M:%S")} {plain(record.getMessage())}'
        with suppress(OSError):  # a terminal that was closed
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            line = line if len(line) <= width else f'{line[: width - 1]}…'
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


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
        root.addHandler(ConsoleHandler())
        root.propagate = False
        if logging.lastResort:  # prints what other libraries log
            logging.lastResort.setFormatter(PlainFormatter())
    if level:
        root.setLevel(level.upper())
    if root.getEffectiveLevel() > logging.DEBUG:
        silence_runtime()
    return get_logger(name)
