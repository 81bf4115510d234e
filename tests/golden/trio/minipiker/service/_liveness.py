"""
Life and death of actors, which the runtime itself reports to nobody.

Neither runtime tells a parent that its child was killed, nor a child that its
parent was; calls to a dead actor hang for ever. Both ends are watched here through
the kernel's pidfds (Linux 5.3 or later).

Every daemon RPC-enables this module, which also has the effect that a child actor
imports it as it boots and from then on ends with its parent.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from typing import TypedDict

import tractor
import trio

from .._tractor import enabled_modules, open_nursery

_grace: float = 3.0
"""Seconds that an orphan has to unwind before it is ended by force."""


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
    try:
        fd = os.pidfd_open(pid)
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

    # a terminal's Ctrl-C goes to every process: it is for the root, which ends us
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    token = trio.lowlevel.current_trio_token()
    parent = os.pidfd_open(os.getppid())

    def watch() -> None:
        poll = select.poll()
        poll.register(parent, select.POLLIN)
        poll.poll()
        # in the end the runtime raises that it could not say goodbye to it
        sys.excepthook = lambda *_: None
        token.run_sync_soon(actor.cancel_soon)
        threading.Event().wait(_grace)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name='end-with-parent').start()


_end_with_parent()
