"""
A process that exchanges are forked from, so that only the first has to import all that
an exchange consists of.

`python -m simvenue.forkserver` takes its requests from a socket, which is its stdin:
one byte each, and with it the exchange's link, its stderr, and the file of its state.
The link is its stdin and stdout. The first line there tells it its options, and what to
add to its environment; the first that it answers is its process id.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager as acm
from contextlib import contextmanager as cm
from pathlib import Path
from subprocess import DEVNULL

import trio

_shared: ForkServer | None = None


class ForkServer:
    """
    It ends with this process, however that ends, and so do the exchanges.
    """

    def __init__(self, process: trio.Process, requests: socket.socket) -> None:
        self._process = process
        self._requests = requests

    @classmethod
    async def start(cls) -> ForkServer:
        requests, theirs = socket.socketpair()
        with theirs:
            process = await trio.lowlevel.open_process(
                [sys.executable, '-m', __name__],
                stdin=theirs,
                stdout=DEVNULL,
                cwd=Path(__file__).parents[1],
                # Ctrl-C in a terminal is for us; we end it when we are done with it
                start_new_session=True,
            )
        return cls(process, requests)

    def fork(self, *files: int) -> None:
        """
        Start an exchange with these files.
        """
        socket.send_fds(self._requests, [b'.'], files)

    async def aclose(self) -> None:
        self._requests.close()
        self._process.kill()
        with trio.CancelScope(shield=True):
            await self._process.wait()

    @cm
    def share(self) -> Iterator[None]:
        """
        Have it serve all of this process while the block is open.
        """
        global _shared
        _shared = self
        try:
            yield
        finally:
            _shared = None


@acm
async def maybe_open_forkserver() -> AsyncIterator[ForkServer]:
    """
    The one that is shared, else one for the block.
    """
    if _shared:
        yield _shared
        return
    server = await ForkServer.start()
    try:
        yield server
    finally:
        await server.aclose()


def main() -> None:
    from .__main__ import main as run_exchange

    # else each exchange copies the memory that it is in, to look for cycles there
    gc.freeze()
    running: dict[int, tuple[int, int]] = {}
    """Of each exchange a pipe that ends with it: its pid, and the link."""
    with socket.socket(fileno=os.dup(0)) as requests:
        while True:
            ready, _, _ = select.select([requests.fileno(), *running], [], [])
            for pipe in running.keys() & ready:
                pid, link = running.pop(pipe)
                os.waitpid(pid, 0)
                os.close(pipe)
                os.close(link)  # only now, so that whoever sees its end can rely on it
            if requests.fileno() not in ready:
                continue
            request, files, *_ = socket.recv_fds(requests, 1, 3)
            if not request:
                return
            link, stderr, state = files
            pipe, held = os.pipe()
            if not (pid := os.fork()):
                break
            for file in (held, stderr, state):
                os.close(file)
            running[pipe] = pid, link
    os.setsid()
    for pipe, (_, others_link) in running.items():
        os.close(pipe)
        os.close(others_link)
    for file, standard in ((link, 0), (link, 1), (stderr, 2)):
        os.dup2(file, standard)
    os.close(link)
    args, env = json.loads(sys.stdin.readline())
    os.environ.update(env)
    print(os.getpid(), flush=True)
    run_exchange(['--until-eof', f'--state=/dev/fd/{state}', *args])


if __name__ == '__main__':
    main()
