"""A simulated venue of a generated project, run as whoever looks at it from outside."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
from websockets.sync.client import ClientConnection, connect


class Socket:
    """A connection that says what it is told to, and remembers what it heard."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = count(1)
        self.heard: list[Any] = []

    def receive(self) -> Any:
        """The next message that is no reply."""
        if not self.heard:
            self.heard.append(msgspec.json.decode(self._connection.recv(timeout=30)))
        return self.heard.pop(0)

    def request(self, method: str, **params: Any) -> Any:
        """The whole reply."""
        number = next(self._ids)
        request = {'jsonrpc': '2.0', 'id': number, 'method': method, 'params': params}
        self._connection.send(msgspec.json.encode(request).decode())
        while True:
            message = msgspec.json.decode(self._connection.recv(timeout=30))
            if message.get('id') == number:
                return message
            self.heard.append(message)


class Venue:
    """A simulator that runs, and its controls."""

    def __init__(self, url: str, controls: str) -> None:
        self.url = url
        self.rest = url.replace('ws://', 'http://').replace('/ws/', '/')
        self.controls = controls

    def ask(self, name: str, **params: Any) -> Any:
        """What the control port says."""
        reply = httpx.post(f'{self.controls}/{name}', json=params, trust_env=False)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def post(self, method: str, **params: Any) -> Any:
        """The whole reply by HTTP."""
        request = {'jsonrpc': '2.0', 'id': 1, 'method': method, 'params': params}
        url = f'{self.rest}/{method}'
        return httpx.post(url, json=request, trust_env=False).json()

    @contextmanager
    def socket(self, *, log_in: bool = True) -> Iterator[Socket]:
        """A connection, and by default that of the account that there is."""
        with connect(self.url, proxy=None) as connection:
            socket = Socket(connection)
            if log_in:
                socket.request(
                    'public/auth',
                    grant_type='client_credentials',
                    client_id='simkey',
                    client_secret='simsecretkey',
                )
            yield socket


@contextmanager
def run(project: Path, *options: str) -> Iterator[Venue]:
    """The simulator of a project that has its environment."""
    python = project / '.venv' / 'bin' / 'python'
    with subprocess.Popen(
        [python, '-m', 'simvenue', '--until-eof', *options],
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Venue(*(process.stdout.readline().strip() for _ in range(2)))
        finally:
            process.stdin.close()
