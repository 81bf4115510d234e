"""Render the template so that either the whole project appears, or nothing."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_hex
from types import FrameType
from typing import Any

from .questions import TEMPLATE, Answer
from .refusal import Refusal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_received: list[int] = []


def exit_on_signals() -> None:
    """From now on the first Ctrl-C, SIGTERM or SIGHUP unwinds the stack, once."""
    for signum in _SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _exit)
    sys.unraisablehook = _unraisable


def _unraisable(what: sys.UnraisableHookArgs) -> None:
    # An exit inside a destructor is swallowed there; `render` raises it again.
    if not isinstance(what.exc_value, SystemExit):
        sys.__unraisablehook__(what)


def _exit(signum: int, frame: FrameType | None) -> None:
    # A second signal must not interrupt the clean-up that the first one caused.
    _ignore_signals()
    _received.append(signum)
    raise SystemExit(128 + signum)


def exit_if_signalled() -> None:
    """Exit with 128 + n where the signal n has come."""
    for signum in _received:
        raise SystemExit(128 + signum) from None


def _ignore_signals() -> None:
    for signum in _SIGNALS:
        if signal.getsignal(signum) is _exit:  # another program's are its own
            signal.signal(signum, signal.SIG_IGN)


def check_destination(dest: Path) -> None:
    """Raise `Refusal` where a project could not be moved to `dest` in one step."""
    if dest.resolve() == Path.cwd():
        raise Refusal(
            f"'{dest}' is the folder you are in\n"
            'note: the finished project is moved into its place, all at once\n'
            'help: name a folder that is new or empty'
        )
    if not dest.resolve().parent.is_dir():
        raise Refusal(
            f"'{dest}' is in a folder that does not exist\n"
            'note: only the project itself is created\n'
            f"help: mkdir -p '{dest.parent}'"
        )
    if dest.is_dir():
        if any(dest.iterdir()):
            raise Refusal(
                f"'{dest}' is not empty\n"
                'note: a project is generated into a new folder\n'
                'help: name another folder, after the name of the backend'
            )
    elif dest.exists() or dest.is_symlink():
        raise Refusal(
            f"'{dest}' is not a folder\n"
            'note: a project is generated into a new folder\n'
            'help: name another folder, after the name of the backend'
        )


def render(
    answers: Mapping[str, Answer],
    dest: Path,
    *,
    ask: bool,
    finish: Callable[[Path], None] | None = None,
) -> Mapping[str, Any]:
    """Render the template into `dest`, which is new or an empty folder.

    Returns all answers; with `ask`, prompts for what `answers` leaves open. `finish`
    may add to what is rendered, which it gets before it is moved into its place.
    Raises `Refusal` where the system says no; whatever is raised, nothing is left
    behind.
    """
    from copier import run_copy
    from plumbum import local

    target = dest.resolve()
    aside = target.with_name(f'.{target.name}-{token_hex(4)}')
    try:
        try:
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
            _ignore_signals()
        # An exit that was raised inside a destructor was swallowed there.
        exit_if_signalled()
        aside.rename(target)
        return worker.answers.combined
    except OSError as error:
        raise Refusal(
            f"cannot write '{dest}': {error.strerror or error}\n"
            'note: nothing was created\n'
            'help: name a folder that you can write to, on a disk with room',
            status=1,
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
