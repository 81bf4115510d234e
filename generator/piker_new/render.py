"""Render the template so that either the whole project appears, or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from .questions import TEMPLATE, Answer
from .refusal import Refusal
from .signals import exit_if_signalled, ignore_signals


def check_destination(dest: Path) -> None:
    """Raise `Refusal` where a project could not be moved to `dest` in one step."""
    try:
        _check_destination(dest)
    except OSError as error:
        raise _cannot_write(dest, error) from error


def _check_destination(dest: Path) -> None:
    if os.path.realpath(dest) == os.getcwd():
        raise Refusal(
            f"'{dest}' is the folder you are in\n"
            'note: the finished project is moved into its place, all at once\n'
            'help: name a folder that is new or empty'
        )
    # what is wrong with the path itself is heard before any of it is made
    with suppress(FileNotFoundError, NotADirectoryError):
        dest.lstat()
    for path in (dest, *dest.parents):
        if os.path.lexists(path):
            if not path.is_dir():
                raise Refusal(
                    f"'{path}' is not a folder\n"
                    'note: a project is generated into a new folder\n'
                    'help: name another folder, after the name of the backend'
                )
            break
    if dest.is_dir() and any(dest.iterdir()):
        raise Refusal(
            f"'{dest}' is not empty\n"
            'note: a project is generated into a new folder\n'
            'help: name another folder, after the name of the backend'
        )


def check_cwd() -> None:
    """Raise `Refusal` in a folder that somebody has removed."""
    try:
        os.getcwd()
    except OSError as error:
        raise Refusal(
            f'cannot tell the folder you are in: {error.strerror}\n'
            'note: nothing was created\n'
            'help: cd to a folder that is there',
            status=1,
        ) from error


def _cannot_write(dest: Path, error: OSError) -> Refusal:
    return Refusal(
        f"cannot write '{dest}': {error.strerror or error}\n"
        'note: nothing was created\n'
        'help: name a folder that you can write to, on a disk with room',
        status=1,
    )


def render(
    answers: Mapping[str, Answer],
    dest: Path,
    *,
    ask: bool,
    finish: Callable[[Path], None] | None = None,
) -> Mapping[str, Any]:
    """Render the template into `dest`, which is new or an empty folder.

    The folders above it are made, too. Returns all answers; with `ask`, prompts for
    what `answers` leaves open. `finish` may add to what is rendered, which it gets
    before it is moved into its place. Raises `Refusal` where the system says no;
    whatever is raised, nothing is left behind.
    """
    from copier import run_copy
    from plumbum import local

    target = Path(os.path.realpath(dest))
    aside = target.with_name(f'.{target.name}-{token_hex(4)}')
    above = [folder for folder in target.parents if not folder.is_dir()]
    try:
        try:
            for folder in reversed(above):
                folder.mkdir(exist_ok=True)
            # Of a git repository copier renders the latest tag, and it asks git about
            # every file that it writes: it gets to see no git.
            with local.env(PATH=''):
                worker = run_copy(
                    str(TEMPLATE),
                    aside,
                    data=dict(answers),
                    defaults=not ask,
                    quiet=True,
                )
            if finish:
                finish(aside)
        finally:
            # The decision has fallen: a signal could only leave it half done.
            ignore_signals()
        # An exit that was raised inside a destructor was swallowed there.
        exit_if_signalled()
        aside.rename(target)
        return worker.answers.combined
    except OSError as error:
        raise _cannot_write(dest, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):  # where the project is now, they are not empty
            for folder in above:
                folder.rmdir()
