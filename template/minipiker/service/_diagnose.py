"""
What is wrong with a tree that hangs, told from outside: by what the kernel knows of its
processes and their sockets, and by what the threads of its actors report.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from contextlib import contextmanager as cm
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil
from msgspec import Struct

from .._tractor import actor_name
from ._report import _PEERCRED, Report, VenueInfo, check_peer, mk_name

_patience: float = 8
"""Seconds that an actor has for its report."""
_overdue: float = 1.5
"""Seconds for which a request may wait while nothing at all is heard."""

_stopped = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
_dead = (psutil.STATUS_DEAD, psutil.STATUS_ZOMBIE)

Queues = dict[tuple[str, str], tuple[int, int]]
"""By the ends of each TCP socket, what has come and is not read, and what is unsent."""


class Connection(Struct):
    """
    A socket of an actor's.
    """

    peer: str
    """Who is at the other end; nobody, of one that listens."""
    local: str
    remote: str
    status: str
    unread: int | None
    """
    Bytes that the actor does not read; connections, of a socket that listens. None
    where the system does not tell.
    """
    unsent: int | None
    """Bytes that the other side has yet to take."""


class Actor(Struct):
    """
    An actor, as it looks from outside, and what it says of itself, if anything.
    """

    name: str
    pid: int
    state: str
    """The kernel's word: running, sleeping, stopped, zombie, ..."""
    cpu: float
    """Seconds that it has computed for while it was looked at."""
    connections: list[Connection]
    report: Report | None

    def __str__(self) -> str:
        return f'{self.name} (pid {self.pid})'


class Diagnosis(Struct):
    """
    A tree, and what is wrong with it, the likeliest culprit first.
    """

    actors: list[Actor]
    findings: list[str]


def diagnose(pid: int, key: bytes) -> Diagnosis:
    """
    Look at the tree of that key whose `pikerd` is the process `pid`. Takes a few
    seconds at most, whatever state that is in.
    """
    names = dict(_iter_actors(psutil.Process(pid)))
    cpu = {it: _cpu(it) for it in names}
    before = _read_queues()
    with ExitStack() as stack:
        # they work on it at the same time
        asked = [stack.enter_context(_ask(it, key)) for it in names]
        reports = [receive() for receive in asked]
    queues = _both(before, _read_queues())
    sockets = {it: [*_iter_sockets(it)] for it in names}
    peers = {local: names[it] for it, ends in sockets.items() for local, *_ in ends}
    actors = [
        Actor(
            name,
            process.pid,
            _state(process),
            _cpu(process) - cpu[process],
            [*_iter_connections(sockets[process], report, peers, queues)],
            report,
        )
        for (process, name), report in zip(names.items(), reports, strict=True)
    ]
    return Diagnosis(
        actors,
        _judge(actors),
    )


def _iter_actors(root: psutil.Process) -> Iterator[tuple[psutil.Process, str]]:
    yield root, 'pikerd'
    for process in root.children(recursive=True):
        with suppress(psutil.Error):
            if name := actor_name(process.cmdline()):
                yield process, name


def _state(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.status())
    return psutil.STATUS_DEAD


def _cpu(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0


@cm
def _ask(process: psutil.Process, key: bytes) -> Iterator[Callable[[], Report | None]]:
    """
    Ask a process for its report. What is yielded waits for it; None if there is none.
    """
    if _PEERCRED is None or _state(process) in (*_stopped, *_dead):
        yield lambda: None
        return
    deadline = time.monotonic() + _patience
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(1)
        connected = False
        with suppress(OSError):
            peer.connect(mk_name(process.pid, key))
            connected = check_peer(peer, process.pid)

        def receive() -> Report | None:
            data = b''
            with suppress(OSError, msgspec.DecodeError):
                while connected:
                    peer.settimeout(max(0.01, deadline - time.monotonic()))
                    if not (more := peer.recv(2**16)):
                        return _decode_report(data)
                    data += more
            return None

        yield receive


_decode_report = msgspec.json.Decoder(Report).decode


# sockets


def _iter_sockets(process: psutil.Process) -> Iterator[tuple[str, str, str]]:
    with suppress(psutil.Error):
        for it in process.net_connections('tcp'):
            remote = _end(*it.raddr) if it.raddr else ''
            yield _end(*it.laddr), remote, str(it.status)


def _iter_connections(
    sockets: list[tuple[str, str, str]],
    report: Report | None,
    peers: dict[str, str],
    queues: Queues | None,
) -> Iterator[Connection]:
    ports = {urlsplit(it.url).port for it in report.venues} if report else set()
    for local, remote, status in sockets:
        host, _, port = remote.rpartition(':')
        if not remote:
            peer = ''
        elif remote in peers:
            peer = peers[remote]
        elif int(port) in ports or not host.startswith(('127.', '[::1')):
            peer = 'the venue'
        else:
            peer = 'a client'
        unread = unsent = None
        if queues is not None:
            unread, unsent = queues.get((local, remote), (0, 0))
        yield Connection(peer, local, remote, status, unread, unsent)


def _read_queues() -> Queues | None:
    found: Queues = {}
    try:
        for path in ('/proc/net/tcp', '/proc/net/tcp6'):
            for line in Path(path).read_text().splitlines()[1:]:
                _, local, remote, _, sizes, *_ = line.split()
                unsent, unread = (int(it, 16) for it in sizes.split(':'))
                found[_read_end(local), _read_end(remote)] = unread, unsent
    except OSError:
        return None
    return found


def _both(before: Queues | None, after: Queues | None) -> Queues | None:
    """
    What was there all the time: the rest is on its way.
    """
    if before is None or after is None:
        return None
    return {
        ends: (min(now[0], was[0]), min(now[1], was[1]))
        for ends, now in after.items()
        if (was := before.get(ends))
    }


def _read_end(text: str) -> str:
    digits, port = text.split(':')
    address = b''.join(
        int(digits[i : i + 8], 16).to_bytes(4, sys.byteorder)
        for i in range(0, len(digits), 8)
    )
    if not any(address) and port == '0000':
        return ''
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    return _end(socket.inet_ntop(family, address), int(port, 16))


def _end(host: str, port: int) -> str:
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


# what is wrong with an actor, each as a sentence


def _find_ended(actor: Actor) -> str:
    if actor.state in _dead:
        return f'{actor} is dead'
    if actor.state == psutil.STATUS_STOPPED:
        return f'{actor} is stopped by a signal: type kill -CONT {actor.pid}'
    if actor.state == psutil.STATUS_TRACING_STOP:
        return f'{actor} is stopped by a debugger'
    return ''


def _find_wedged(actor: Actor) -> str:
    report = actor.report
    if actor.state in (*_dead, *_stopped) or _PEERCRED is None:
        return ''
    if report is None:
        does = 'computes' if actor.cpu > 1 else 'waits'
        return f'{actor} is starting, or {does} in code that is not Python'
    match report.loop:
        case 'spins':
            return f'{actor} spins at {report.place}, and does nothing else'
        case 'blocked':
            return f'{actor} is blocked at {report.place}, and does nothing else'
        case 'late':
            return f'{actor} has done nothing else for seconds, now at {report.place}'
    return ''


def _find_stuck(actor: Actor) -> str:
    if actor.report and actor.report.stuck:
        return f'{actor} has a deadlock: {actor.report.stuck}'
    return ''


def _find_venue(actor: Actor) -> str:
    wrongs = (_judge_venue(it) for it in (actor.report.venues if actor.report else ()))
    return next((f'{wrong}, says {actor}' for wrong in wrongs if wrong), '')


def _judge_venue(venue: VenueInfo) -> str:
    heard, sent = venue.heard, venue.sent
    if not venue.connected and venue.error:
        return f'the venue at {venue.url} cannot be reached: {venue.error}'
    if heard is None or sent is None:
        return '' if venue.connected else f'the venue at {venue.url} is yet to answer'
    silent = f'the venue at {venue.url} has been silent for {heard:.1f} s'
    method, age = max(venue.pending, key=lambda it: it[1], default=('', 0))
    # of which some is under way, and nothing has been heard since
    if age > _overdue and sent <= age < heard:
        return f'{silent}, while {method} waits for its reply'
    return silent if heard > venue.silence / 2 else ''


def _find_deaf(actor: Actor) -> str:
    for it in actor.connections:
        if it.unread and it.peer:
            return f'{actor} does not read what {it.peer} sends: {it.unread} bytes wait'
    return ''


_rules = (_find_ended, _find_wedged, _find_stuck, _find_venue, _find_deaf)


def _judge(actors: list[Actor]) -> list[str]:
    """
    What is wrong with each, the gravest first: it may be the cause of what ails the
    others, as it is of whatever else ails the same one.
    """
    found: list[tuple[int, str]] = []
    for actor in actors:
        wrongs = enumerate(rule(actor) for rule in _rules)
        found += islice((it for it in wrongs if it[1]), 1)
    return [wrong for _, wrong in sorted(found, key=lambda it: it[0])]
