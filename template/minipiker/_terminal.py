"""
What reaches the terminal: text, whatever a venue has put into it.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.text import Text

console = Console(markup=False, emoji=False, highlight=False)


def plain(value: object) -> str:
    """
    `value` as one line of text. Control characters, and those that hide or reorder
    others, are shown as escape sequences of Python's.
    """
    return ''.join(
        it if it.isprintable() else it.encode('unicode_escape').decode()
        for it in str(value)
    )


def cell(value: object, style: str = '') -> Text:
    """
    `value` as a part of what is drawn, none of which is markup.
    """
    return Text(plain(value), style)


def say(*values: object) -> None:
    """
    Print a line.
    """
    _write(' '.join(map(plain, values)) + '\n')


def draw(it: RenderableType) -> None:
    """
    Print a table, or the like, which was made of `cell()`s. Where no terminal limits
    it, for a program to read, each row is one line.
    """
    if not console.is_terminal:
        # by `print(width=...)` it would be no wider than what rich takes it for
        console.width = natural_width(it)
    with console.capture() as capture:
        console.print(it)
    _write(capture.get())


def natural_width(it: RenderableType) -> int:
    """
    How wide it is where there is room enough.
    """
    room = console.options.update(width=10_000)
    return Measurement.get(console, room, it).maximum


def _write(text: str) -> None:
    try:
        print(text, end='', flush=True)
    except OSError as err:
        # or Python would try again in the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(err, BrokenPipeError):  # as of `| head -1`, which has enough
            raise SystemExit(128 + signal.SIGPIPE) from None
        raise


def fail(reason: object) -> NoReturn:
    """
    End with an error.
    """
    with suppress(OSError):  # a terminal that was closed
        print(f'error: {plain(reason)}', file=sys.stderr, flush=True)
    raise SystemExit(1)
