"""A backend whose calls go through the vendor's own client trades on the simulator.

What an author has to write for that is a `connection.py`, of which there are two in
`in_project`, and these changes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT, MakeProject, outside

ON_SDK = {
    # the connection
    'from ._connection import Connection, open_connection\n': '',
    'from .markets import Markets\n': (
        'from .connection import open_connection\nfrom .markets import Markets\n'
    ),
}
TYPED_DERIBIT = {
    **ON_SDK,
    'from ._errors import Unexpected\n': '',
    # what comes over it: it answers heartbeats by itself, and has read the JSON
    """\
_decode_notification = msgspec.json.Decoder(messages.Notification).decode
_decode = mk_decoder(messages.message_types)


""": '\n',
    'from ._channels import mk_decoder\n': '',
    'from typing import Literal\n': 'from typing import Any, Literal\n',
    'connection: Connection, name: str, content: msgspec.Raw': (
        'connection: object, name: str, content: dict[str, Any]'
    ),
    """\
        if name not in ('heartbeat', 'subscription'):
            raise Unexpected(name)
        notification = _decode_notification(content)
        if name == 'heartbeat':
            if notification.type == 'test_request':
                connection.post('public/test')
            return None
        channel = notification.channel
        return channel, _decode(channel, notification.data)
""": """\
        channel, types = content['channel'], messages.message_types
        kind = next(kind for kind in types if channel.startswith(f'{kind}.'))
        return channel, msgspec.convert(content['data'], types[kind])
""",
}
KRAKEN_SDK = {
    **ON_SDK,
    'self, connection: Connection, name: str': 'self, connection: object, name: str',
    # it has a token of its own
    """\
        if self.credentials:
            # of use to the connection that it is fetched for, and to no other
            found = await caller.call('private/GetWebSocketsToken', account.Token)
            self.token = found.token
""": '',
}


class Wrap(NamedTuple):
    protocol: str
    sdk: str
    connection: str
    """Of `in_project`."""
    changes: dict[str, str]


WRAPS = [
    Wrap(
        'jsonrpc',
        'typed_deribit.core.transport.ws:SocketRpcStreamClient',
        'connection.py',
        TYPED_DERIBIT,
    ),
    Wrap('rest', 'kraken.spot:SpotWSClient', 'kraken_connection.py', KRAKEN_SDK),
]


@pytest.fixture(scope='module', params=WRAPS, ids=lambda it: it.protocol)
def wrapped(make_project: MakeProject, request: pytest.FixtureRequest) -> Path:
    it: Wrap = request.param
    options = ('--protocol', it.protocol, '--client', 'asyncio', '--wrap', it.sdk)
    project = make_project(*options)
    package = project / 'piker_deribit2'
    connection = ROOT / 'tests' / 'in_project' / it.connection
    shutil.copy(connection, package / 'connection.py')
    api = (package / 'api.py').read_text()
    for old, new in it.changes.items():
        assert api.count(old) == 1, old
        api = api.replace(old, new)
    (package / 'api.py').write_text(api)
    return project


def test_the_project_is_laid_out(wrapped: Path) -> None:
    for command in (['check'], ['format', '--check']):
        run(wrapped, 'ruff', *command, '-q', '.')


def test_streams_and_trades(wrapped: Path) -> None:
    """The generated suite, for which nobody else has a connection to the venue."""
    (wrapped / 'piker_deribit2' / '_websocket.py').write_text(
        'WebSocket = open_websocket = None\n'
    )
    tests = {
        'test_order_dialog.py': 'test_orders_at_a_venue_that_differs[{}]',
        'test_orders.py': 'test_a_live_session',
        'test_feed.py': 'test_quotes_are_as_piker_wants_them',
    }
    names = [f'tests/{file}::{name}' for file, name in tests.items()]
    run(wrapped, 'pytest', '-q', '-n2', *names)


def run(project: Path, *command: str) -> None:
    python = project / '.venv' / 'bin' / 'python'
    done = subprocess.run(
        [python, '-m', *command],
        cwd=project,
        env=outside(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
