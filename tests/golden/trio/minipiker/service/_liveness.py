"""
Life and death of actors, which the runtime itself reports to nobody.

Neither runtime tells a parent that its child was killed, nor a child that its
parent was; calls to a dead actor hang for ever. Both ends are watched here: through
the kernel's pidfds (Linux 5.3 or later), elsewhere by looking again and again.

Every daemon RPC-enables this module, which also has the effect that a child actor
imports it as it boots, and from then on ends with its parent and reports on itself.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from typing import TypedDict

import tractor
import trio

from .._gate import endpoint
from .._tractor import (
    actor_uid,
    disconnects,
    enabled_modules,
    open_nursery,
    unregister_actor,
)
from ._report import start_reporting

_grace: float = 3.0
"""Seconds that an orphan has to unwind before it is ended by force."""
_pidfd_open = getattr(os, 'pidfd_open', None)
_period: float = 0.1
"""Seconds between two looks at a process, where there are no pidfds."""


class ServiceDied(RuntimeError):
    """
    An actor's process is gone and said nothing: killed, out of memory, crashed.
    """


class ActorInfo(TypedDict):
    """
    What an actor says of itself.
    """

    name: str
    pid: int
    enable_modules: list[str]


@endpoint
async def actor_info() -> ActorInfo:
    """
    RPC endpoint of every actor of the tree.
    """
    return ActorInfo(
        name=tractor.current_actor().name,
        pid=os.getpid(),
        enable_modules=enabled_modules(),
    )


async def wait_for_exit(pid: int) -> None:
    """
    Block until the process `pid`, of whatever parentage, is gone.
    """
    if _pidfd_open is None:
        import psutil

        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            while process.is_running():
                if process.status() == psutil.STATUS_ZOMBIE:
                    break
                await trio.sleep(_period)
        return
    try:
        fd = _pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(fd)
    finally:
        os.close(fd)


@acm
async def watch_actor(portal: tractor.Portal) -> AsyncIterator[int]:
    """
    Run a block that talks to an actor, and yield that actor's pid. If the actor
    dies meanwhile the block is cancelled and `ServiceDied` raised, unless the block
    was just raising an error of its own.
    """
    info: ActorInfo = await portal.run(actor_info)
    died = False

    async def cancel_on_exit() -> None:
        nonlocal died
        await wait_for_exit(info['pid'])
        died = True
        tn.cancel_scope.cancel()

    async with open_nursery() as tn:
        tn.start_soon(cancel_on_exit)
        yield info['pid']
        tn.cancel_scope.cancel()
    if died:
        raise ServiceDied(f'{info["name"]} (pid {info["pid"]}) died')


async def wait_for_end(portal: tractor.Portal) -> None:
    """
    Wait until an actor, which is about to end, has, and its name is free again.
    """
    with suppress(ServiceDied, *disconnects):
        async with watch_actor(portal):
            await trio.sleep_forever()
    await unregister_actor(actor_uid(portal))


def _end_with_parent() -> None:
    """
    In a subactor: see to it that this process ends when its parent does, be that by
    the parent's word or by its death.

    The death is watched by a thread, since the event loop may be busy or wedged just
    then. Not PR_SET_PDEATHSIG: trio spawns from a worker thread, and the signal comes
    when that thread ends, not the process.
    """
    actor = tractor.current_actor(err_on_no_runtime=False)
    if actor is None or getattr(actor, '_parent_chan', None) is None:
        return  # the root, or a plain import

    # a terminal's Ctrl-C, or end, is told to every process: that is for the root, which
    # ends us
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    token = trio.lowlevel.current_trio_token()
    parent = os.getppid()
    fd = _pidfd_open(parent) if _pidfd_open else None

    def watch() -> None:
        if fd is None:
            while os.getppid() == parent:
                time.sleep(_period)
        else:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll()
        # in the end the runtime raises that it could not say goodbye to it
        sys.excepthook = lambda *_: None
        token.run_sync_soon(actor.cancel_soon)
        threading.Event().wait(_grace)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name='end-with-parent').start()
    start_reporting()


_end_with_parent()
