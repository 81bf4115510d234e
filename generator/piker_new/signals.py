"""How a signal ends the command: once, with everything cleared away, 128 + n."""

from __future__ import annotations

import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_received: list[int] = []


def exit_on_signals() -> None:
    """From now on the first Ctrl-C, SIGTERM or SIGHUP unwinds the stack, once."""
    for signum in SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _exit)
    sys.unraisablehook = _unraisable


def _unraisable(what: sys.UnraisableHookArgs) -> None:
    # An exit inside a destructor is swallowed there; `render` raises it again.
    if not isinstance(what.exc_value, SystemExit):
        sys.__unraisablehook__(what)


def _exit(signum: int, frame: object) -> None:
    # A second signal must not interrupt the clean-up that the first one caused.
    ignore_signals()
    _received.append(signum)
    raise SystemExit(128 + signum)


def exit_if_signalled() -> None:
    """Exit with 128 + n where the signal n has come."""
    for signum in _received:
        raise SystemExit(128 + signum) from None


def ignore_signals() -> None:
    """From now on nothing interrupts, where `exit_on_signals` was called."""
    for signum in SIGNALS:
        if signal.getsignal(signum) is _exit:  # another program's are its own
            signal.signal(signum, signal.SIG_IGN)
