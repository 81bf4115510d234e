"""
What an actor says of itself when it hangs: a thread answers, whatever becomes of the
event loop.

Who connects gets one report, and is not listened to. It is for the user of the tree
alone: by the kernel's word on who the peer is, at a name that is not to be guessed, and
which is gone with the process. There is nothing in it of what the actor works with: no
argument, no variable, no message.
"""

from __future__ import annotations

import gc
import hmac
import os
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager as cm
from contextlib import suppress
from itertools import takewhile
from math import inf
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import msgspec
import trio
from msgspec import Struct, field

from .._gate import get_key
from ..brokers import __brokers__
from ..log import get_logger

log = get_logger('report')

_spins: float = 0.8
"""
Seconds of computing, after which a loop that did not come round is said to spin. An
import takes half of that.
"""
_still: float = 0.6
"""Seconds of standing still, after which something is said to be stuck."""
_look: float = 0.05
"""Seconds between two looks at a loop that does not come round."""
_patience: float = 4
"""Seconds that a busy machine may take for any of it."""

_PEERCRED: int | None = getattr(socket, 'SO_PEERCRED', None)
"""On Linux, which also has the names."""
_project = Path(__file__).parents[2]
_libraries = (os.path.dirname(os.__file__), 'site-packages', '<frozen')


class TaskInfo(Struct):
    """
    A task of trio's, and those in its nurseries.
    """

    name: str
    place: str
    """Where it waits."""
    nurseries: list[list[TaskInfo]]


class VenueInfo(Struct):
    """
    How the backend's connection to its venue is. Times are ages in s.
    """

    url: str
    connected: bool
    error: str
    """Why it is not connected, as far as that is known."""
    heard: float | None
    sent: float | None
    silence: float
    """After how much of it the backend gives the connection up."""
    pending: list[tuple[str, float]]
    """The requests that wait for their replies."""


class Report(Struct):
    """
    What an actor says of itself.
    """

    loop: Literal['turns', 'spins', 'blocked', 'late']
    """Whether its event loop comes round, or why not."""
    place: str = ''
    """Where the program is, if it does not."""
    stuck: str = ''
    """The task that holds what others wait for, and does not go on."""
    venues: list[VenueInfo] = field(default_factory=list)
    tasks: TaskInfo | None = None


def mk_name(pid: int, key: bytes) -> str:
    """
    The socket of a process of the tree with that key: a name in Linux's abstract
    namespace, where what is there ends with its process.
    """
    return '\0minipiker.' + hmac.digest(key, b'report %d' % pid, 'sha256').hex()


def check_peer(peer: socket.socket, pid: int | None = None) -> bool:
    """
    Whether the other end is this user's, and the process `pid`.
    """
    assert _PEERCRED is not None
    its_pid, uid, _ = struct.unpack(
        '3i', peer.getsockopt(socket.SOL_SOCKET, _PEERCRED, struct.calcsize('3i'))
    )
    return uid == os.getuid() and pid in (None, its_pid)


class Reporter:
    """
    The thread that answers for the event loop which it is made in.
    """

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._root = trio.lowlevel.current_root_task()
        self._thread = threading.get_ident()
        self._ended = False
        self._accepts = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(mk_name(os.getpid(), get_key()))
        self._socket.listen()
        threading.Thread(target=self._answer, daemon=True, name='report').start()

    def end(self) -> None:
        self._ended = True
        self._socket.shutdown(socket.SHUT_RDWR)
        # while the thread waits there the name is not free for the next one
        with self._accepts:
            self._socket.close()

    def _answer(self) -> None:
        while not self._ended:
            try:
                with self._accepts:
                    peer, _ = self._socket.accept()
            except OSError:  # the end, or no more open files
                time.sleep(0.1)
                continue
            with peer, suppress(OSError):
                peer.settimeout(_patience)
                if check_peer(peer):
                    peer.sendall(msgspec.json.encode(self._report()))

    def _report(self) -> Report:
        loop, place = self._watch_loop()
        report = Report(loop, place, venues=_venues())
        if loop == 'turns':
            report.stuck = self._find_stuck()
        report.tasks = _retry(self._describe_tasks)
        return report

    def _watch_loop(self) -> tuple[Literal['turns', 'spins', 'blocked', 'late'], str]:
        came_round = threading.Event()
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(came_round.set)
        began = looked = time.monotonic()
        computed = counted = time.process_time()
        before: tuple[FrameType | None, int] | None = None
        stood = 0.0
        while looked < began + _patience:
            if came_round.wait(_look):
                return 'turns', ''
            frame = sys._current_frames().get(self._thread)
            cpu, at = time.process_time(), (frame, frame.f_lasti if frame else 0)
            took = time.monotonic() - looked
            looked += took
            # by its own time, of which a busy machine takes nothing
            if cpu - computed > _spins:
                return 'spins', _locate(_stack(frame))
            if at != before or cpu - counted > _still / 30:
                stood, before, counted = 0, at, cpu
            elif took < 2 * _look:
                # who looks late waited for a processor, and so may the loop have
                stood += took
                if stood > _still:
                    return 'blocked', _locate(_stack(frame))
        spins = time.process_time() - computed > _spins / 10
        return 'spins' if spins else 'late', _locate(_stack(frame))

    # trio's tasks

    def _describe_tasks(self) -> TaskInfo:
        return _describe_task(self._root)

    def _find_stuck(self) -> str:
        before = _retry(self._find_holders) or {}
        if not before:
            return ''
        time.sleep(_still)
        after = _retry(self._find_holders) or {}
        for holder, (steps, waiters) in after.items():
            if holder in before and before[holder][0] == steps:
                who = '1 task waits' if waiters == 1 else f'{waiters} tasks wait'
                return f'{holder.name}, at {_place(holder)}, holds what {who} for'
        return ''

    def _find_holders(self) -> dict[Any, tuple[int, int]]:
        """
        The tasks that hold a lock which others wait for and that wait themselves,
        until further notice and not for another process; how many steps each has
        made, and how many wait for it.
        """
        owners = {
            task: owner for task in _all_tasks(self._root) if (owner := _owner(task))
        }
        ends: Counter[Any] = Counter()
        for task in owners:
            seen = {task}
            while (task := owners.get(task)) in owners and task not in seen:
                seen.add(task)
            ends[task] += 1
        return {
            task: (task._schedule_points, n)
            for task, n in ends.most_common()
            if _waits_for_ever(task)
        }


def _venues() -> list[VenueInfo]:
    return [
        VenueInfo(**session.report())
        for name in __brokers__
        # as a backend of ours has it; what is not imported here is not in use
        for session in list(
            getattr(sys.modules.get(f'piker_{name}._session'), 'live', ())
        )
    ]


def _retry(look: Any) -> Any:
    """
    Look at what changes meanwhile, until it does not.
    """
    for _ in range(5):
        with suppress(RuntimeError, AttributeError, ValueError):
            return look()
    return None


def _children(task: Any) -> list[list[Any]]:
    return [list(nursery.child_tasks) for nursery in list(task.child_nurseries)]


def _all_tasks(task: Any) -> Iterator[Any]:
    yield task
    for children in _children(task):
        for child in children:
            yield from _all_tasks(child)


def _describe_task(task: Any) -> TaskInfo:
    return TaskInfo(
        task.name,
        _place(task),
        [[_describe_task(child) for child in it] for it in _children(task)],
    )


def _place(task: Any) -> str:
    return _locate(_await_frames(task.coro))


def _owner(task: Any) -> Any:
    """
    The task that holds the lock which `task` waits for.
    """
    for frame, _ in _await_frames(task.coro):
        lock = frame.f_locals.get('self') if frame.f_code.co_name == 'acquire' else None
        if isinstance(lock, (trio.Lock, trio.StrictFIFOLock)):
            return lock.statistics().owner
    return None


def _waits_for_ever(task: Any) -> bool:
    if not (frames := _await_frames(task.coro)):  # it has ended
        return True
    codes = [frame.f_code for frame, _ in reversed(frames)]
    inner = [*takewhile(lambda code: not _is_own(code.co_filename), codes)]
    return task._cancel_status.effective_deadline() == inf and not any(
        '/tractor/' in code.co_filename
        or '/_io_' in code.co_filename
        or code.co_name == '_nested_child_finished'  # for its children, who may work
        for code in inner
    )


def _await_frames(coro: Any) -> list[tuple[FrameType, int]]:
    """
    The stack of a coroutine that waits, its end last; nothing if it has ended.
    """
    frames = []
    while coro is not None:
        kinds = (
            kind for kind in ('cr', 'gi', 'ag') if getattr(coro, f'{kind}_frame', None)
        )
        if (kind := next(kinds, None)) is None:
            coro = next(
                (it for it in gc.get_referents(coro) if hasattr(it, 'ag_frame')), None
            )
            continue
        frame = getattr(coro, f'{kind}_frame')
        frames.append((frame, frame.f_lineno))
        coro = getattr(coro, 'gi_yieldfrom' if kind == 'gi' else f'{kind}_await')
    return frames


def _stack(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    frames: list[tuple[FrameType, int]] = []
    while frame:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return frames[::-1]


def _is_own(file: str) -> bool:
    return not any(it in file for it in _libraries)


def _locate(frames: list[tuple[FrameType, int]]) -> str:
    """
    The innermost line of the project's own, and what of others is called there.
    """
    if not frames:
        return 'its end'
    # how trio has a task wait is of no interest
    named = [it for it in frames if '/trio/_core/' not in it[0].f_code.co_filename]
    inner, line = named[-1] if named else frames[-1]
    called = ''
    for frame, its_line in reversed(frames):
        if _is_own(frame.f_code.co_filename):
            if frame is not inner:
                called = f', in {inner.f_code.co_qualname}'
            inner, line = frame, its_line
            break
    file = inner.f_code.co_filename.removeprefix(f'{_project}/')
    file = file.rpartition('site-packages/')[2]
    return f'{file}:{line} in {inner.f_code.co_qualname}{called}'


def start_reporting() -> Reporter | None:
    """
    Answer for this process, which runs trio, until it ends. Where the system lacks
    what that takes nobody does.
    """
    return Reporter() if _PEERCRED is not None else None


@cm
def reporting() -> Iterator[None]:
    """
    Answer for this process while the block runs.
    """
    reporter = start_reporting()
    try:
        yield
    finally:
        if reporter:
            reporter.end()
