"""
A pytest plugin: the processes of a session. No test may leave one behind.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from .forkserver import ForkServer, Popen

_noticed: float = 60
"""Seconds until an orphan has ended; the promise is 1, on an idle machine. One that
does not unwind in 3 is ended by force."""

_PR_SET_CHILD_SUBREAPER: int = 36
"""From `<linux/prctl.h>`."""

_lists_children: bool = Path('/proc/thread-self/children').exists()
"""Whether the kernel does. Elsewhere all processes of the machine are looked through,
which takes a hundred times as long."""

shared_pids: set[int] = set()
"""The roots of what the whole session shares."""


def pytest_configure() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, 'prctl'):  # on Linux
        # orphans become children of ours, where `_no_orphans` finds them
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """
    More than there are cores, since tests wait for other processes.
    """
    if 'PYTEST_XDIST_AUTO_NUM_WORKERS' in os.environ:
        return None  # as xdist itself reads it
    return 2 * (os.cpu_count() or 1) + 1


@pytest.fixture(scope='session', autouse=True)
def _forkserver(_isolation: Path) -> Iterator[None]:
    """
    What the processes of the session are forked from, where orphans become ours.
    """
    if sys.platform != 'linux':
        yield
        return
    server = ForkServer()
    shared_pids.add(server.pid)
    with server.serve():
        yield


@pytest.fixture
def no_forkserver(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have what the test starts look from outside as a user's does: with a command line
    and an environment of its own.
    """
    monkeypatch.setattr(subprocess, 'Popen', Popen.__base__)


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    """
    Fail a test that leaves a process behind.
    """
    before = descendants()
    yield
    # one whose parent was killed notices it, and ends by itself
    _, left = psutil.wait_procs(descendants() - before, timeout=_noticed)
    for process in left:
        process.kill()
    assert not left, f'processes left behind: {left}'


def descendants() -> set[psutil.Process]:
    """
    The processes below this one, but those of what the whole session shares.
    """
    found: set[psutil.Process] = set()
    parents = [os.getpid()]
    while parents:
        parent = parents.pop()
        for pid in children(parent) - shared_pids:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if parent != os.getpid() or not has_ended(process):
                    found.add(process)
                    parents.append(pid)
    return found


def children(pid: int) -> set[int]:
    """
    The processes that the process `pid` has started, and those that were left to it.
    """
    found: set[int] = set()
    with suppress(OSError, psutil.NoSuchProcess):
        if not _lists_children:
            return {it.pid for it in psutil.Process(pid).children()}
        for thread in Path(f'/proc/{pid}/task').iterdir():
            with suppress(OSError):  # it has ended meanwhile
                found.update(map(int, (thread / 'children').read_text().split()))
    return found


def has_ended(child: psutil.Process) -> bool:
    """
    Whether nothing is left of it, as of an orphan that was left to us. It is a zombie
    when its first thread has ended, and to wait for the others may take for ever.
    """
    if child.status() != psutil.STATUS_ZOMBIE:
        return False
    try:
        return os.waitpid(child.pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True
