"""
The exchange as a child process of a trio program.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import urlsplit

import trio

from .client import Controls, SimVenueError
from .lifetime import wait_for_eof

__all__ = ['SimVenue', 'SimVenueError', 'open_simvenue', 'wait_for_eof']


class SimVenue(Controls):
    """
    A running exchange, and its controls.
    """

    def __init__(
        self,
        args: list[str],
        env: Mapping[str, str],
        state: IO[bytes],
        stderr: IO[bytes],
    ) -> None:
        super().__init__()
        self._args = args
        self._env = {**os.environ, **env}
        self._state = state
        self._stderr = stderr
        self._process: trio.Process | None = None
        self._said = b''
        self._held: list[socket.socket] = []
        """Keep its ports while it is not running."""
        self.url = ''
        """Where clients connect, the same after a restart."""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise SimVenueError('the venue is not running')
        return self._process.pid

    async def _start(self, *args: str) -> None:
        state = self._state.fileno()
        self._process = await trio.lowlevel.open_process(
            [
                *(sys.executable, '-m', 'simvenue', '--until-eof'),
                *(f'--state=/dev/fd/{state}', *self._args, *args),
            ],
            stdin=PIPE,  # it ends when this does
            stdout=PIPE,
            stderr=self._stderr.fileno(),
            pass_fds=[state],
            env=self._env,
            cwd=Path(__file__).parents[1],
            # Ctrl-C in a terminal is for us; we end it when we are done with it
            start_new_session=True,
        )
        self.url = await self._read_line()
        self.controls_url = await self._read_line()
        self._release_ports()

    async def _read_line(self) -> str:
        assert self._process
        assert self._process.stdout
        while b'\n' not in self._said:
            if not (chunk := await self._process.stdout.receive_some()):
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
        if (process := self._process) is None:
            return
        assert process.stdio
        with trio.CancelScope(shield=True):
            await process.stdio.aclose()
            with trio.move_on_after(3):
                await process.wait()
            process.kill()
            await process.wait()
        self._process = None
        # what went wrong in there is for whoever watches us
        sys.stderr.write(self._complaints())
        self._stderr.seek(0)
        self._stderr.truncate()

    async def kill(self) -> None:
        """
        Kill it with SIGKILL.
        """
        if self._process:
            self._process.kill()
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
        async with SimVenue(args, env or {}, state, stderr) as venue:
            try:
                await venue._start()
                yield venue
            finally:
                await venue._stop()
                venue._release_ports()
