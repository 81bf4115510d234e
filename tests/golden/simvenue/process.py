"""
The exchange as a child process of a trio program.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager as acm
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryFile
from typing import Any

import trio

from .wire import SimVenueError, call

__all__ = ['SimVenue', 'SimVenueError', 'call', 'open_simvenue', 'wait_for_eof']


async def wait_for_eof() -> None:
    """
    Block until stdin ends: with the process that holds its other end, however that
    ends.
    """
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
        while await stdin.receive_some():
            pass


class SimVenue:
    """
    A running exchange.
    """

    def __init__(self, args: list[str], env: Mapping[str, str], state: int) -> None:
        self._args = args
        self._env = env
        self._state = state
        self._process: trio.Process | None = None
        self.url = ''
        """`ws://127.0.0.1:<port>`, the same after a restart."""

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
            cwd=Path(__file__).parents[1],
            env={**os.environ, **self._env},
            pass_fds=[self._state],
            # Ctrl-C in a terminal is for us; we end the venue when we are done with it
            start_new_session=True,
        )
        assert self._process.stdout
        line = b''
        while not line.endswith(b'\n'):
            if not (chunk := await self._process.stdout.receive_some()):
                status = await self._process.wait()
                raise SimVenueError(f'the venue did not start: exit status {status}')
            line += chunk
        self.url = line.decode().strip()

    async def _stop(self, signal: signal.Signals) -> None:
        if (process := self._process) is None:
            return
        with trio.CancelScope(shield=True):
            process.send_signal(signal)
            with trio.move_on_after(3):
                await process.wait()
            process.kill()
            await process.wait()
            assert process.stdin
            assert process.stdout
            await process.stdin.aclose()
            await process.stdout.aclose()
        self._process = None

    async def kill(self) -> None:
        """
        Kill it with SIGKILL.
        """
        await self._stop(signal.SIGKILL)

    async def restart(self) -> None:
        """
        Start it again, killing it before if it is running.
        """
        await self.kill()
        port = self.url.rpartition(':')[2]
        await self._start(f'--port={port}')

    async def call(self, method: str, /, **params: object) -> Any:
        """
        The result of a request, see `call()`.
        """
        return await call(self.url, method, **params)

    async def fault(
        self,
        kind: str,
        *,
        channel: str | None = None,
        method: str | None = None,
        count: int = 1,
        seconds: float | None = None,
    ) -> None:
        """
        Have it misbehave, see `simvenue.faults`.
        """
        await self.call(
            'sim/fault',
            kind=kind,
            channel=channel,
            method=method,
            count=count,
            seconds=seconds,
        )


@acm
async def open_simvenue(
    env: Mapping[str, str] | None = None,
    **options: object,
) -> AsyncIterator[SimVenue]:
    """
    Run the exchange while the block is open, with `env` added to its environment and
    the options of its command line as keywords: `open_simvenue(seed=7, rate=0)`.

    It ends with this process, however that ends, and leaves nothing behind.
    """
    # has no name, so that not even SIGKILL can leave it behind
    with TemporaryFile() as state:
        options = {'state': f'/dev/fd/{state.fileno()}', **options}
        args = [f'--{name.replace("_", "-")}={it}' for name, it in options.items()]
        venue = SimVenue(args, env or {}, state.fileno())
        try:
            await venue._start()
            yield venue
        finally:
            await venue._stop(signal.SIGTERM)
