"""A folder for what is made on the way, which no signal can leave behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from .signals import SIGNALS


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder, which is gone afterwards, whenever a signal comes."""
    # Python looks for a place to make it in by writing a file there, and only when it
    # is made does anybody know of it.
    with _held_signals():
        made = TemporaryDirectory(prefix='piker-new-', ignore_cleanup_errors=True)
    try:
        yield Path(made.name)
    finally:
        with _held_signals():
            made.cleanup()


@contextmanager
def _held_signals() -> Iterator[None]:
    """A signal that comes meanwhile is heard afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
