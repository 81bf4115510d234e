"""
The exchange as a child process of a trio program.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import urlsplit

import trio

from .client import Controls, SimVenueError
from .forkserver import ForkServer, maybe_open_forkserver
from .lifetime import wait_for_eof

__all__ = ['SimVenue', 'SimVenueError', 'open_simvenue', 'wait_for_eof']


class SimVenue(Controls):
    """
    A running exchange, and its controls.
    """

    def __init__(
        self,
        server: ForkServer,
        args: list[str],
        env: Mapping[str, str],
        state: IO[bytes],
        stderr: IO[bytes],
    ) -> None:
        super().__init__()
        self._server = server
        self._args = args
        self._env = dict(env)
        self._state = state
        self._stderr = stderr
        self._link: trio.SocketStream | None = None
        """What it reads and writes. It ends when our end of it is closed."""
        self._pid = 0
        self._said = b''
        self._held: list[socket.socket] = []
        """Keep its ports while it is not running."""
        self.url = ''
        """Where clients connect, the same after a restart."""

    @property
    def pid(self) -> int:
        if self._link is None:
            raise SimVenueError('the venue is not running')
        return self._pid

    async def _start(self, *args: str) -> None:
        ours, theirs = socket.socketpair()
        self._link = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        with theirs:
            files = theirs, self._stderr, self._state
            self._server.fork(*(it.fileno() for it in files))
        request = json.dumps([[*self._args, *args], self._env])
        with trio.CancelScope(shield=True):
            # till its pid is known nobody could kill it
            await self._link.send_all(request.encode() + b'\n')
            self._pid = int(await self._read_line())
        self.url = await self._read_line()
        self.controls_url = await self._read_line()
        self._release_ports()

    async def _read_line(self) -> str:
        assert self._link
        while b'\n' not in self._said:
            if not (chunk := await self._link.receive_some()):
                raise SimVenueError(f'the venue did not start: {self._why()}')
            self._said += chunk
        line, _, self._said = self._said.partition(b'\n')
        return line.decode()

    def _why(self) -> str:
        """
        The last that it said.
        """
        lines = self._complaints().strip().splitlines()
        return lines[-1] if lines else 'it does not say why'

    def _complaints(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors='replace')

    async def _stop(self) -> None:
        if (link := self._link) is None:
            return

        async def wait() -> None:
            with suppress(trio.BrokenResourceError):
                await link.send_eof()
                while await link.receive_some():
                    pass

        with trio.CancelScope(shield=True):
            with trio.move_on_after(3) as graceful:
                await wait()
            if graceful.cancelled_caught:
                self._kill()
                await wait()
            await link.aclose()
        self._link = None
        # what went wrong in there is for whoever watches us
        sys.stderr.write(self._complaints())
        self._stderr.seek(0)
        self._stderr.truncate()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    async def kill(self) -> None:
        """
        Kill it with SIGKILL.
        """
        if self._link:
            self._kill()
        await self._stop()
        self._hold_ports()

    @property
    def _ports(self) -> list[int]:
        return [urlsplit(url).port or 0 for url in (self.url, self.controls_url)]

    def _hold_ports(self) -> None:
        """
        Have the kernel give the ports to nobody else, where that does not keep the
        venue itself from them.
        """
        if self._held or sys.platform != 'linux':
            return
        for port in self._ports:
            held = socket.socket()
            self._held.append(held)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                held.bind(('127.0.0.1', port))

    def _release_ports(self) -> None:
        while self._held:
            self._held.pop().close()

    async def restart(self, memory: bool = True) -> None:
        """
        Start it again at the same ports, killing it before if it is running; without
        `memory` it has forgotten orders, accounts and the trades that were made.
        """
        await self.kill()
        if not memory:
            self._state.truncate(0)
        port, controls_port = self._ports
        await self._start(f'--port={port}', f'--controls-port={controls_port}')


@acm
async def open_simvenue(
    env: Mapping[str, str] | None = None,
    **options: object,
) -> AsyncIterator[SimVenue]:
    """
    Run the exchange while the block is open, with `env` added to its environment and
    the options of its command line as keywords: `open_simvenue(seed=7, rate=0)`.

    It ends with this process, however that ends, and leaves nothing behind. Raises
    `SimVenueError` where it does not come up.
    """
    args = [f'--{name.replace("_", "-")}={it}' for name, it in options.items()]
    # files without a name, so that not even SIGKILL can leave them behind
    with TemporaryFile() as state, TemporaryFile() as stderr:
        async with (
            maybe_open_forkserver() as server,
            SimVenue(server, args, env or {}, state, stderr) as venue,
        ):
            try:
                await venue._start()
                yield venue
            finally:
                await venue._stop()
                venue._release_ports()
