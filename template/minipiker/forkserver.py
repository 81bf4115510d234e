"""
A process that others are forked from, so that a session of tests imports only once
what each of its processes would: a start takes a tenth of the time.

`python -m minipiker.forkserver` gets its requests at a socket, which is its stdin: what
to run, and with it the files that are to be open there. It answers each with a process
id, and ends when nobody is left to ask.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import inspect
import json
import os
import runpy
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager as cm
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from trio._core import _run

from . import _gate
from .brokers import __brokers__, get_brokermod
from .service import _actor_runtime

_root: Path = Path(__file__).resolve().parents[1]

_programs: frozenset[str] = frozenset({'minipiker', 'minipiker._child', 'simvenue'})
"""What is run from here."""

_imports: list[str] = [
    'minipiker.cli',
    'simvenue.__main__',
    *_actor_runtime._singletons.values(),
    *_actor_runtime._per_broker.values(),
]
"""What they import, beside the backend."""

_signature = inspect.signature(
    subprocess.Popen._execute_child  # type: ignore[attr-defined]
)
_pipes: list[str] = [
    it for it in _signature.parameters if it.endswith(('read', 'write'))
]


class Popen(subprocess.Popen[Any]):
    """
    `subprocess.Popen`, which has the server fork what it can: `python -m` and one of
    our programs.

    The process is a child of this one, as any other: an orphan of the server's goes to
    whom the kernel knows as its subreaper. To look at from outside, its command line
    and environment are the server's.
    """

    server: ForkServer

    def _execute_child(self, *args: Any) -> None:
        how = _signature.bind(self, *args).arguments
        if not (program := self.server.find_program(how)):
            super()._execute_child(*args)  # type: ignore[misc]
            return
        standard = [how[it] for it in ('p2cread', 'c2pwrite', 'errwrite')]
        files = {i: i if it == -1 else it for i, it in enumerate(standard)}
        self.pid = self.server.fork(
            files | {it: it for it in how['pass_fds']},
            program=program,
            env=_environment(how),
            new_session=how['start_new_session'],
        )
        self._child_created = True
        self._close_pipe_fds(*(how[it] for it in _pipes))  # type: ignore[attr-defined]


class ForkServer:
    """
    The server, from the side of who asks. It ends with this process, however that ends.
    """

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._lock = Lock()
        self._settings = _settings(os.environ)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, '-m', __name__], stdin=theirs.fileno(), cwd=_root
            )
        self.pid = self._process.pid

    def find_program(self, how: Mapping[str, Any]) -> list[str] | None:
        """
        What is run by that call of `Popen`, and with what arguments; None if it is to
        be run in a way that makes a difference.
        """
        match how['args']:
            case [sys.executable, '-m', name, *arguments] if (
                name in _programs
                and not (how['executable'] or how['preexec_fn'] or how['shell'])
                and how['process_group'] == -1
                and Path(how['cwd'] or '.').resolve() == _root
                and _settings(_environment(how)) == self._settings
                # how to draw on a terminal is settled by an import
                and not os.isatty(1 if how['c2pwrite'] == -1 else how['c2pwrite'])
            ):
                return [name, *arguments]
        return None

    def fork(self, files: Mapping[int, int], **request: Any) -> int:
        """
        Start a program with these open files of ours, by the numbers that they are to
        have there, and return its process id.
        """
        message = json.dumps({**request, 'files': [*files]}).encode()
        with self._lock:
            socket.send_fds(self._requests, [message], [*files.values()])
            return int(self._requests.recv(100))

    @cm
    def serve(self) -> Iterator[None]:
        """
        Have it start what this process starts while the block is open, and end then.
        """
        Popen.server = self
        original = subprocess.Popen
        subprocess.Popen = Popen  # type: ignore[misc]
        try:
            yield
        finally:
            subprocess.Popen = original  # type: ignore[misc]
            self._requests.close()
            self._process.wait()


def _environment(how: Mapping[str, Any]) -> dict[str, str]:
    return dict(os.environ if how['env'] is None else how['env'])


def _settings(env: Mapping[str, str]) -> dict[str, str]:
    """
    Those that are read as a program starts, by Python or by rich.
    """
    return {
        name: it
        for name, it in env.items()
        if (name.startswith('PYTHON') and name != 'PYTHONBREAKPOINT')
        or name in ('COLUMNS', 'LINES', 'TERM', 'NO_COLOR')
    }


_status: list[int] = []
"""That a program ends with."""


def _leave() -> None:
    """
    End at once: to take apart what was imported would copy it first.
    """
    if _status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status[0])


def main() -> None:
    # before all others, and so the last one to be called
    atexit.register(_leave)
    # Ctrl-C is for who asks
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_all()
    # or each copies the memory that all this is in, to look for cycles there
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as requests:
        request, files = _answer(requests)
    _renew()
    _arrange(dict(zip(request['files'], files, strict=True)))
    if request['new_session']:
        os.setsid()
    os.environ.clear()
    os.environ.update(request['env'])
    name, *arguments = request['program']
    sys.argv[1:] = arguments
    sys.orig_argv[1:] = ['-m', name, *arguments]
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        runpy.run_module(name, run_name='__main__', alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        _status.append(end.code or 0)
    else:
        _status.append(0)


def _import_all() -> None:
    for name in _imports:
        import_module(name)
    for broker in __brokers__:
        # one that is half written is told of by the process that needs it
        with suppress(Exception):
            mod = get_brokermod(broker)
            for name in (*mod._datad_mods, *getattr(mod, '_brokerd_mods', ())):
                import_module(f'{mod.__name__}.{name}')
    # it is run yet, and runpy warns of what is imported by then
    del sys.modules['simvenue.__main__']


def _answer(requests: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """
    Fork until nobody asks any more, and return the request in each process that is
    forked.
    """
    while True:
        message, files, *_ = socket.recv_fds(requests, 2**20, 100)
        if not message:
            raise SystemExit
        reader, writer = os.pipe()
        if between := os.fork():
            os.close(writer)
            for file in files:
                os.close(file)
            with open(reader, 'rb') as answer:
                child = answer.read()
            os.waitpid(between, 0)  # so that the child is theirs when they hear of it
            requests.send(child)
        elif pid := os.fork():
            os.write(writer, b'%d' % pid)
            os._exit(0)
        else:
            os.close(writer)
            return json.loads(message), files


def _renew() -> None:
    """
    What an import has drawn by lot is not to be the same in all that are forked: the
    key of a tree, and the order in which trio has tasks go on.
    """
    _gate._key = secrets.token_bytes(_gate._size)
    _run._r.seed()


def _arrange(files: Mapping[int, int]) -> None:
    """
    Have these open files alone, by the numbers that they are to have.
    """
    above = max(*files, *files.values()) + 1
    # none may be in the way of another
    aside = [fcntl.fcntl(it, fcntl.F_DUPFD, above) for it in files.values()]
    for number, file in zip(files, aside, strict=True):
        os.dup2(file, number)
    for number in map(int, os.listdir('/proc/self/fd')):
        if number not in files:
            with suppress(OSError):  # of the listing itself
                os.close(number)


if __name__ == '__main__':
    main()
