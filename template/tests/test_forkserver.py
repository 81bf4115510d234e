"""
What is forked behaves as what is started by `exec`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from minipiker.forkserver import Popen
from minipiker.service._registry import find_pikerd
from minipiker.testing import open_process, run_minipiker

_argv = [sys.executable, '-m', 'simvenue']

pytestmark = pytest.mark.skipif(
    sys.platform != 'linux', reason='only Linux has subreapers'
)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_argv, *args], capture_output=True, text=True, timeout=240, check=False
    )


def is_forked(process: psutil.Process) -> bool:
    return 'minipiker.forkserver' in process.cmdline()


@pytest.mark.parametrize(
    'args', [('--help',), ('--port=x',), ('--trades=/nowhere.csv',)]
)
def test_what_it_says_and_how_it_ends(
    args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert issubclass(subprocess.Popen, Popen)
    forked = run(*args)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, 'Popen', Popen.__base__)
        started = run(*args)
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        started.returncode,
        started.stdout,
        started.stderr,
    )


@pytest.mark.parametrize('by', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(by: signal.Signals) -> None:
    with subprocess.Popen(_argv, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        assert is_forked(psutil.Process(process.pid))
        assert psutil.Process(process.pid).ppid() == os.getpid()
        process.send_signal(by)
        assert process.wait(timeout=60) == (-by if by is signal.SIGKILL else 0)


def test_it_has_the_files_that_it_is_given_and_no_others(tmp_path: Path) -> None:
    with (tmp_path / 'state').open('w') as state, (tmp_path / 'other').open('w'):
        number = state.fileno()
        with subprocess.Popen(
            [*_argv, '--until-eof', f'--state=/dev/fd/{number}'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[number],
        ) as process:
            assert process.stdout
            assert process.stdin
            assert process.stdout.readline()
            files = [it.path for it in psutil.Process(process.pid).open_files()]
            assert {*files} == {state.name}
            process.stdin.close()
            assert process.wait(timeout=60) == 0
    assert (tmp_path / 'state').read_text()


@pytest.mark.parametrize(
    'options',
    [
        {'env': {**os.environ, 'PYTHONPATH': '.'}},
        {'env': {**os.environ, 'COLUMNS': '30'}},
        {'cwd': '/', 'env': {**os.environ, 'PYTHONPATH': os.getcwd()}},
        {'process_group': 0},
        {'preexec_fn': os.getpid},
    ],
    ids=['path', 'columns', 'folder', 'group', 'before'],
)
def test_what_it_cannot_do_is_left_to_exec(options: dict[str, Any]) -> None:
    with subprocess.Popen(_argv, stdout=subprocess.PIPE, **options) as process:
        assert process.stdout
        assert process.stdout.readline()
        assert not is_forked(psutil.Process(process.pid))
        process.terminate()


def test_its_environment_is_its_own(
    tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    monkeypatch.setenv(f'{broker.upper()}_URL', 'nonsense')
    assert "'nonsense' is no " in run_minipiker('search', 'btc').stderr


def test_no_two_trees_have_a_key_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: set[bytes] = set()
    for name in ('one', 'other'):
        monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / name))
        with open_process('minipiker', 'pikerd', '--until-eof'):
            root = find_pikerd()
            assert root
            assert is_forked(psutil.Process(root[0]))
            keys.add(root[1])
    assert len(keys) == 2


_who_asks = """
from minipiker.forkserver import ForkServer

print(ForkServer().pid, flush=True)
input()
"""


def test_it_ends_with_who_asks() -> None:
    with subprocess.Popen(
        [sys.executable, '-c', _who_asks],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        server = psutil.Process(int(process.stdout.readline()))
        process.kill()
    assert psutil.wait_procs([server], timeout=60)[0]
