"""
The session that a command runs in: an actor tree, and a venue for its backend.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager as acm
from contextlib import contextmanager as cm
from typing import Annotated

import tractor
import trio
import typer

from . import config
from ._terminal import fail, plain
from ._tractor import collapse, disconnects, error_text, open_nursery
from .brokers import BrokerError, __brokers__
from .config import ConfigurationError
from .service import ServiceDied, maybe_open_pikerd, open_pikerd
from .service._registry import find_registry

(_broker,) = __brokers__

_min_files: int = 48
"""Files and sockets that a command has open, if it is a tree of its own."""

_known = (BrokerError, ConfigurationError, OSError, ServiceDied, ValueError)
"""Errors that say what is wrong."""

VenueOption = Annotated[
    str | None,
    typer.Option(
        '--venue',
        metavar='URL',
        help='Connect to this venue instead of the simulated one.',
    ),
]
LoglevelOption = Annotated[
    str,
    typer.Option(
        '--loglevel',
        '-l',
        help='Level of the console log: debug, info, warning, error or critical.',
    ),
]


@acm
async def open_session(venue: str | None, loglevel: str) -> AsyncIterator[None]:
    """
    Make this process an actor of the project's running `pikerd`, or `pikerd` itself.

    In the latter case the backend talks to the venue at `venue`, else to the one
    that its configuration names, else to a simulated one that ends with the block.
    """
    if addr := find_registry():
        if venue:
            fail('a pikerd is running already, with a venue of its own; end it first')
        async with maybe_open_pikerd(addr, loglevel):
            yield
        return

    url_var = f'{_broker.upper()}_URL'
    if venue:
        os.environ[url_var] = venue
    section = config.load('brokers')[0].get(_broker)
    configured = isinstance(section, dict) and section.get('url')
    if configured or url_var in os.environ:
        async with open_pikerd(loglevel=loglevel):
            yield
        return

    # takes a while, and nothing else needs it
    from simvenue.process import open_simvenue

    async with open_simvenue() as simvenue:
        os.environ[url_var] = simvenue.url
        async with open_pikerd(loglevel=loglevel):
            yield


def run(
    main: Callable[[], Awaitable[None]],
    venue: str | None,
    loglevel: str,
) -> None:
    """
    Run `main` within a session. SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal is
    closed) end it quietly; what goes wrong is one line.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < _min_files:
        fail(f'{files} open files are too few: type ulimit -n {_min_files}, or more')

    status = 0
    scope = trio.CancelScope()
    ending = {signal.SIGINT, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
        ending.add(signal.SIGHUP)

    async def cancel_on_signal() -> None:
        nonlocal status
        with trio.open_signal_receiver(*ending) as signals:
            async for signum in signals:  # the first one counts
                status = status or 128 + signum
                scope.cancel()

    async def session() -> None:
        async with open_nursery() as tn:
            # not by `KeyboardInterrupt`: that is raised wherever the program happens to
            # be, even between the call of a coroutine function and its first step
            tn.start_soon(cancel_on_signal)
            async with open_session(venue, loglevel):
                with scope:
                    await main()
            tn.cancel_scope.cancel()

    try:
        with _for_us_alone({signal.SIGINT, signal.SIGHUP}):
            trio.run(session)
    except BaseException as err:
        if isinstance(end := collapse(err), SystemExit):
            raise end from None
        if reason := _reason(err):
            fail(reason)
        # a traceback, of which a part may be the venue's
        for line in traceback.format_exc().splitlines():
            print(plain(line), file=sys.stderr)
        status = 1
    raise SystemExit(status)


def _reason(err: BaseException) -> str:
    """
    What to tell of an error, or of the first one in a group; nothing, if it is a defect
    of the program.
    """
    if isinstance(err, BaseExceptionGroup):
        reasons = [_reason(it) for it in err.exceptions]
        return reasons[0] if all(reasons) else ''
    if isinstance(err, (tractor.ContextCancelled, *disconnects)):
        return 'the daemon that this talked to was ended'
    if isinstance(err, tractor.RemoteActorError):
        return error_text(err)
    return str(err) if isinstance(err, _known) else ''


@cm
def _for_us_alone(signals: set[signal.Signals]) -> Iterator[None]:
    """
    Have no process that is started within the block see the signals that a terminal
    sends to all of them: those that are just booting would print where.

    They are blocked in every thread, which a child process inherits, but in one.
    """
    done = threading.Event()

    def wait() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        done.wait()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    threading.Thread(target=wait, daemon=True, name='interrupts').start()
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        done.set()


def full(symbol: str) -> str:
    """
    `symbol` with the broker, which one need not type here.
    """
    return symbol if symbol.endswith(f'.{_broker}') else f'{symbol}.{_broker}'
