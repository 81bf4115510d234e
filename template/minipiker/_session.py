"""
The session that a command runs in: an actor tree, and a venue for its backend.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager as acm
from contextlib import contextmanager as cm
from typing import Annotated, NoReturn

import tractor
import trio
import typer

from simvenue.process import open_simvenue

from . import config
from ._tractor import collapse, error_text, open_nursery
from .brokers import BrokerError, __brokers__
from .config import ConfigurationError
from .service import ServiceDied, maybe_open_pikerd, open_pikerd
from .service._registry import find_registry

(_broker,) = __brokers__

VenueOption = Annotated[
    str | None,
    typer.Option(
        '--venue',
        metavar='URL',
        help='Connect to this venue instead of the simulated one.',
    ),
]
LoglevelOption = Annotated[
    str, typer.Option('--loglevel', '-l', help='Level of the console log.')
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
    configured = config.load('brokers')[0].get(_broker, {}).get('url')
    if configured or url_var in os.environ:
        async with open_pikerd(loglevel=loglevel):
            yield
        return

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
    Run `main` within a session. SIGINT (Ctrl-C) and SIGTERM end it quietly; what goes
    wrong is one line.
    """
    status = 0
    scope = trio.CancelScope()

    async def cancel_on_signal() -> None:
        nonlocal status
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
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
        with _interrupts_for_us_alone():
            trio.run(session)
    except BaseException as err:
        match collapse(err):
            case tractor.ContextCancelled():
                fail('the daemon that this talked to was ended')
            case tractor.RemoteActorError() as remote:
                fail(error_text(remote))
            case (
                BrokerError()
                | ConfigurationError()
                | ConnectionError()
                | ServiceDied()
                | ValueError()
            ) as known:
                fail(str(known))
            case _:
                raise
    raise SystemExit(status)


@cm
def _interrupts_for_us_alone() -> Iterator[None]:
    """
    Have no process that is started within the block see SIGINT: a terminal sends it to
    all of them, and those that are just booting would print where.

    It is blocked in every thread, which a child process inherits, but in one.
    """
    done = threading.Event()

    def wait() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        done.wait()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    threading.Thread(target=wait, daemon=True, name='interrupts').start()
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        done.set()


def fail(reason: str) -> NoReturn:
    print(f'error: {reason}', file=sys.stderr)
    raise SystemExit(1)


def full(symbol: str) -> str:
    """
    `symbol` with the broker, which one need not type here.
    """
    return symbol if symbol.endswith(f'.{_broker}') else f'{symbol}.{_broker}'
