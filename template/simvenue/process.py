"""
The exchange as a child process of a trio program.
"""

from __future__ import annotations

import os
import signal
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
        state: int,
        stderr: IO[bytes],
    ) -> None:
        super().__init__()
        self._args = args
        self._env = env
        self._state = state
        self._stderr = stderr
        self._process: trio.Process | None = None
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
        self._process = await trio.lowlevel.open_process(
            [sys.executable, '-m', __package__, '--until-eof', *self._args, *args],
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._stderr,
            cwd=Path(__file__).parents[1],
            env={**os.environ, **self._env},
            pass_fds=[self._state],
            # Ctrl-C in a terminal is for us; we end the venue when we are done with it
            start_new_session=True,
        )
        assert self._process.stdout
        said = b''
        while said.count(b'\n') < 2:
            if not (chunk := await self._process.stdout.receive_some()):
                raise SimVenueError(f'the venue did not start: {await self._why()}')
            said += chunk
        self.url, self.controls_url = said.decode().split('\n')[:2]
        self._release_ports()

    async def _why(self) -> str:
        """
        The last that it said.
        """
        assert self._process
        status = await self._process.wait()
        lines = self._complaints().strip().splitlines()
        return lines[-1] if lines else f'exit status {status}'

    def _complaints(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors='replace')

    async def _stop(self, signal: signal.Signals) -> None:
        if (process := self._process) is None:
            return
        with trio.CancelScope(shield=True):
            process.send_signal(signal)
            with trio.move_on_after(3):
                await process.wait()
            process.kill()
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe
                await pipe.aclose()
        self._process = None
        # what went wrong in there is for whoever watches us
        sys.stderr.write(self._complaints())
        self._stderr.truncate(0)

    async def kill(self) -> None:
        """
        Kill it with SIGKILL.
        """
        await self._stop(signal.SIGKILL)
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
            os.ftruncate(self._state, 0)
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
    # has no name, so that not even SIGKILL can leave it behind
    with TemporaryFile() as state, TemporaryFile() as stderr:
        options = {'state': f'/dev/fd/{state.fileno()}', **options}
        args = [f'--{name.replace("_", "-")}={it}' for name, it in options.items()]
        venue = SimVenue(args, env or {}, state.fileno(), stderr)
        async with venue:
            try:
                await venue._start()
                yield venue
            finally:
                await venue._stop(signal.SIGTERM)
                venue._release_ports()
