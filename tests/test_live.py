"""A generated suite on a venue that is there already, and what is kept of it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeProject, outside
from simulator import Venue, run

KEY, SECRET = 'key-5d0a71', 'c2VjcmV0LTVkMGE3MQ=='
BACKENDS = {
    'jsonrpc': (),
    'rest': ('--client', 'asyncio', '--protocol', 'rest'),
}
SYMBOLS = {'jsonrpc': 'btcusd.perp', 'rest': 'btcusd'}
PRODUCTION = {
    'jsonrpc': 'wss://www.deribit.com/ws/api/v2',
    'rest': 'https://api.kraken.com',
}


# Nobody edits these projects, so that what is compiled may stay so.
ENVIRON = outside()
ENVIRON.pop('PYTHONDONTWRITEBYTECODE', None)


class Backend:
    """A generated project, and a simulator that nobody told it of."""

    def __init__(self, protocol: str, project: Path, venue: Venue) -> None:
        self.protocol = protocol
        self.project = project
        self.venue = venue
        self._python = project / '.venv' / 'bin' / 'python'

    def command(self, *args: str) -> list[str]:
        return [str(self._python), '-m', *args]

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args),
            cwd=self.project,
            env=ENVIRON | {'XDG_CONFIG_HOME': str(self.project.parent)} | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def on_venue(self, *args: str) -> list[str]:
        """A suite, on a market of which nobody has to ask who trades there."""
        url = f'--venue={self.venue.url}'
        return ['pytest', '-q', url, f'--symbol={SYMBOLS[self.protocol]}', *args]

    def pytest(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run(*self.on_venue(*args), **env)

    def ready(self) -> dict[str, Any]:
        done = self.run('minipiker', 'ready', '--json')
        assert done.returncode == 0, done.stderr
        page = json.loads(done.stdout)
        lines = [*page['cases'], *page['endpoints'], *page['traits']]
        return {**page, 'on': {it['name']: it['on'] for it in lines}}

    def account(self) -> Any:
        return self.venue.ask('account', key=KEY)


@pytest.fixture(scope='module', params=BACKENDS)
def backend(
    request: pytest.FixtureRequest, make_project: MakeProject
) -> Iterator[Backend]:
    with open_backend(request.param, make_project) as it:
        yield it


@pytest.fixture(scope='module')
def one_backend(make_project: MakeProject) -> Iterator[Backend]:
    with open_backend('jsonrpc', make_project) as it:
        yield it


@contextmanager
def open_backend(protocol: str, make_project: MakeProject) -> Iterator[Backend]:
    project = make_project(*BACKENDS[protocol])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SIMVENUE_ACCOUNTS', json.dumps({KEY: {'secret': SECRET}}))
        with run(project) as venue:
            yield Backend(protocol, project, venue)


CREDENTIALS = {'DERIBIT2_API_KEY': KEY, 'DERIBIT2_API_SECRET': SECRET}


def test_a_session_leaves_nothing(backend: Backend) -> None:
    """It finds a market and trades there; the account is then what it was."""
    files = ['tests/test_trading.py', 'tests/test_order_traits.py']
    suite = 'pytest', '-q', f'--venue={backend.venue.url}', '--trade=fill', '--calls'
    done = backend.run(*suite, *files, **CREDENTIALS)
    assert done.returncode == 0, done.stdout
    assert not re.search('skipped|failed|not run', done.stdout)
    account = backend.account()
    assert account['fills']
    assert {it['state'] for it in account['orders']} == {'filled', 'cancelled'}
    signed = [it['amount'] * (-1) ** (it['side'] == 'sell') for it in account['fills']]
    assert sum(signed) == pytest.approx(0)
    for name in ('cancel', '_?get_user_trades'):
        assert re.search(rf'^ +\d+  api\.{name}: ', done.stdout, re.MULTILINE), name
    for secret in (KEY, SECRET):
        assert secret not in done.stdout + done.stderr


def test_the_recording_that_ships(backend: Backend) -> None:
    """It carries what it was made of, and has each call of an account in it."""
    files = [*(backend.project / 'tests').glob('test_api_account.py')]
    files += [backend.project / 'tests' / 'test_order_traits.py']
    recording = '--replay=recordings/account.jsonl'
    done = backend.run('pytest', '-q', recording, '--calls', *map(str, files))
    assert done.returncode == 0, done.stdout
    assert f'{1 + len(files)} passed, ' in done.stdout, done.stdout
    assert not re.search(r'^ +never  api\.', done.stdout, re.MULTILINE)
    on = backend.ready()['on']
    assert {on[it]['recording'][0] for it in ('edit', 'fills')} == {'passed'}


def test_no_orders_without_being_told(one_backend: Backend) -> None:
    backend = one_backend
    done = backend.pytest('tests/test_trading.py', **CREDENTIALS)
    assert done.returncode == 0, done.stdout
    assert ' passed' not in done.stdout
    assert 'places orders: run with --trade' in done.stdout
    assert 'run with --trade=fill' in done.stdout
    assert not backend.account()['orders']


PLANT = """
    import json, os, pytest, urllib.request

    def ask(name, **params):
        url = f'{os.environ["CONTROLS"]}/{name}'
        request = urllib.request.Request(url, json.dumps(params).encode())
        return json.load(urllib.request.urlopen(request))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(item):
        key, secret = os.environ['PLANTED'].split(' ')
        market = ask('markets')[0]
        amount = float(market['min_amount'])
        order = {'account': key, 'market': market['name'], 'amount': amount}
        ask('place', side='buy', **order)
        price = float(f'{ask("market", market=market["name"])["last"] * 0.5:.0f}')
        ask('place', side='buy', price=price, **order)
        print('printed', secret)
        raise AssertionError(f'{key} and {secret}')
"""


def test_what_is_left_is_told(backend: Backend, tmp_path: Path) -> None:
    """Whoever left it there; and no report shows the credentials."""
    (tmp_path / 'plant.py').write_text(textwrap.dedent(PLANT))
    done = backend.pytest(
        *('--trade', '-p', 'plant', 'tests/test_trading.py'),
        *('-k', 'not_canceled_again'),
        PYTHONPATH=str(tmp_path),
        CONTROLS=backend.venue.controls,
        PLANTED=f'{KEY} {SECRET}',
        **CREDENTIALS,
    )
    assert done.returncode == 1
    left = done.stdout.partition('= left at the venue =')[2].splitlines()
    assert [it for it in left if it.startswith('open order: buy ')], done.stdout
    assert [it for it in left if it.startswith('position: +')]
    assert 'printed ***' in done.stdout
    assert '*** and ***' in done.stdout
    for secret in (KEY, SECRET):
        assert secret not in done.stdout + done.stderr
    page = backend.ready()
    # what is on this machine is a simulator, however it is reached
    assert page['on']['EXEC-CANCEL-TWICE']['simulator'][0] == 'failed'
    assert page['on']['EXEC-CANCEL-TWICE']['venue'][0] == 'never'
    assert {'EXEC-CANCEL-TWICE', 'open_trade_dialog'} <= {*page['red']}


def test_real_money_is_asked_for(backend: Backend) -> None:
    url = PRODUCTION[backend.protocol]
    done = backend.run('pytest', f'--venue={url}', '--trade=fill', **CREDENTIALS)
    assert done.returncode == 4
    assert done.stderr.count('\n') <= 3
    assert 'type --trade=for-real' in done.stderr


def test_what_is_production(one_backend: Backend) -> None:
    urls = {
        PRODUCTION['jsonrpc']: True,
        'https://nobody.knows.example': True,
        'https://localhost@nobody.knows.example': True,
        'https://localhost.example': True,
        'wss://test.deribit.com@www.deribit.com': True,
        'wss://test.deribit.com/ws/api/v2': False,
        'ws://localhost:1/ws': False,
        'http://127.0.0.2:1': False,
        'http://[::1]:1': False,
    }
    code = 'import sys; from minipiker.clearing.live import is_production\n'
    code += 'print(*map(is_production, sys.argv[1:]))'
    python, *_ = one_backend.command()
    said = subprocess.run(
        [python, '-c', code, *urls],
        cwd=one_backend.project,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert said.split() == [*map(str, urls.values())]


def test_credentials_are_asked_for_at_a_terminal(one_backend: Backend) -> None:
    backend = one_backend
    selected = ['tests/test_trading.py', '-k', 'does_not_have_is_refused']
    command = backend.command(*backend.on_venue('--trade=orders', *selected))
    said = ''
    with at_terminal(command, backend.project) as terminal:
        for answer in (KEY, SECRET):
            # with the blank that comes once nothing is echoed any more
            said += read_until(terminal, r'DERIBIT2_API_\w+: $')
            os.write(terminal.fd, f'{answer}\n'.encode())
        said += read_until(terminal, r'(passed|failed|error).* in [\d.]+s')
    assert '2 passed' in said
    for secret in (KEY, SECRET):
        assert secret not in said


@dataclass
class Terminal:
    """And the command that was typed into it."""

    pid: int
    fd: int
    status: int | None = None
    """Once it has ended."""


@contextmanager
def at_terminal(command: list[str], cwd: Path) -> Iterator[Terminal]:
    """Type a command into a terminal of its own."""
    pid, fd = pty.fork()
    if not pid:
        os.chdir(cwd)
        os.execve(command[0], command, ENVIRON)
    terminal = Terminal(pid, fd)
    try:
        yield terminal
    finally:
        os.close(fd)  # it hangs up
        _, status = os.waitpid(pid, 0)
        terminal.status = os.waitstatus_to_exitcode(status)


def read_until(terminal: Terminal, pattern: str) -> str:
    said = ''
    while not re.search(pattern, said):
        try:
            said += os.read(terminal.fd, 4096).decode()
        except OSError:  # whoever wrote to it has ended
            raise AssertionError(said) from None
    return said


def interrupt(terminal: Terminal) -> str:
    """Type Ctrl-C at a question, and return what is said up to the end."""
    os.write(terminal.fd, b'\x03')
    # readline does not hear it in the moment before it begins to wait
    while not select.select([terminal.fd], [], [], 1)[0]:
        if waits(terminal.pid):
            os.write(terminal.fd, b'\x03')
    said = b''
    with suppress(OSError):
        while more := os.read(terminal.fd, 4096):
            said += more
    return re.sub(r'\x1b\[[\d;]*m', '', said.decode())


def waits(pid: int) -> bool:
    """Whether a process does, and not for a processor to answer with."""
    stat = Path(f'/proc/{pid}/stat')
    return not stat.exists() or ') S ' in stat.read_text()


def test_without_anybody_to_ask(one_backend: Backend) -> None:
    done = one_backend.pytest('tests/test_trading.py', '--trade')
    assert done.returncode == 4
    assert 'set DERIBIT2_API_KEY and DERIBIT2_API_SECRET' in done.stderr


def test_a_market_is_asked_for_where_none_is_found(one_backend: Backend) -> None:
    """Nobody trades there; who is at the terminal answers or not, or nobody is."""
    project = one_backend.project
    with run(project, '--rate', '0') as venue:
        backend = Backend('jsonrpc', project, venue)
        asks = ['-k', 'a_name_that_is_no_market', 'tests/test_symbols.py']
        suite = 'pytest', f'--venue={venue.url}', *asks
        command = backend.command(*suite)
        with at_terminal(command, project) as terminal:
            read_until(terminal, r'No market was found .*Which one does: $')
            os.write(terminal.fd, b'btcusd.perp\n')
            said = read_until(terminal, r'(passed|failed|error).* in [\d.]+s')
        assert f'venue: {venue.url}, btcusd.perp.deribit2' in said
        assert '1 passed' in said
        with at_terminal(command, project) as terminal:
            read_until(terminal, r'No market was found .*Which one does: $')
            first, *more = interrupt(terminal).strip().split('\r\n')
        assert first.endswith('Exit: no answer')
        assert len(more) <= 1  # which is pytest's line on how the session ended
        assert terminal.status == 2
        with pytest.raises(ProcessLookupError):  # of all that it has started
            os.killpg(terminal.pid, 0)
        done = backend.run(*suite)
    assert done.returncode == 4
    assert 'type --symbol' in done.stderr


def test_a_killed_session_leaves_its_notes_to_pytest(
    one_backend: Backend, tmp_path: Path
) -> None:
    """Which has a folder of temporary files for itself, and empties it in time."""
    code = """
        import os, signal

        def pytest_runtest_call():
            os.kill(os.getpid(), signal.SIGKILL)
    """
    (tmp_path / 'plant.py').write_text(textwrap.dedent(code))
    (tmp_path / 'tmp').mkdir()
    done = one_backend.run(
        *('pytest', '-n0', '--calls', '-p', 'plant', 'tests/test_contract.py'),
        PYTHONPATH=str(tmp_path),
        TMPDIR=str(tmp_path / 'tmp'),
    )
    assert done.returncode == -signal.SIGKILL
    (folder,) = (tmp_path / 'tmp').iterdir()
    assert folder.name.startswith('pytest-of-')
    assert [*folder.glob('pytest-0/calls')]


def test_everything_that_is_claimed_has_a_test(one_backend: Backend) -> None:
    done = one_backend.run('pytest', '--ids')
    assert done.returncode == 0
    assert 'needs a test' not in done.stdout
    assert re.search(r'^EXEC-FILL-BUY +needs fill: ', done.stdout, re.MULTILINE)
    assert re.search(r'^DATA-QUOTES +needs venue: ', done.stdout, re.MULTILINE)
    assert re.search(r'^EXEC-AMBIGUOUS +needs simulator: ', done.stdout, re.MULTILINE)


def test_what_passed_before_a_change_is_stale(one_backend: Backend) -> None:
    backend = one_backend
    test = 'tests/test_contract.py'
    # others may have run more of the suite in that project
    assert backend.run('pytest', '-q', '-n0', '--cache-clear', test).returncode == 0
    assert backend.ready()['on']['RULE-HOSTS']['simulator'][0] == 'passed'
    (backend.project / 'piker_deribit2' / 'api.py').touch()
    page = backend.ready()
    assert page['on']['RULE-HOSTS']['simulator'][0] == 'stale'
    # of this nobody has run the proof
    assert page['on']['numbered_channels']['simulator'][0] == 'never'
    assert 'numbered_channels' in page['red']
