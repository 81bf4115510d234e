"""Whatever stops it in the middle: nothing new is left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import run_piker_new, tree

from piker_new.render import render


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A project that nothing interrupted, and how many seconds it took."""
    folder = tmp_path_factory.mktemp('whole') / 'deribit2'
    started = time.monotonic()
    assert run_piker_new('backend', 'deribit2', folder).returncode == 0
    return folder, time.monotonic() - started


def start(cwd: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    """Generate ./deribit2, with a folder for temporary files that is ours to see. It
    says so when the interpreter has started, which nothing of ours could keep quiet;
    the `code` is run before that."""
    (cwd / 'tmp').mkdir()
    code += 'from piker_new.__main__ import main\nprint(flush=True)\nmain()\n'
    process = subprocess.Popen(
        [sys.executable, '-c', code, *arguments, 'backend', 'deribit2'],
        cwd=cwd,
        env={**os.environ, 'TMPDIR': str(cwd / 'tmp')},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == '\n'
    return process


def left_behind(cwd: Path) -> list[str]:
    return [
        str(path.relative_to(cwd)) for path in cwd.rglob('*') if path != cwd / 'tmp'
    ]


def assert_nothing_or_all(
    process: subprocess.Popen[str], cwd: Path, whole: Path, signum: int
) -> None:
    _, stderr = process.communicate()
    if process.returncode == 0:  # the signal came after the decision
        assert tree(cwd / 'deribit2') == tree(whole)
        assert [path.name for path in cwd.iterdir() if path.name != 'tmp'] == [
            'deribit2'
        ]
    else:
        # before the handlers stand SIGTERM itself ends the process
        assert process.returncode in {128 + signum, -signal.SIGTERM}
        assert left_behind(cwd) == []
    assert stderr == ''


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('moment', [tenth / 10 for tenth in range(1, 11)])
def test_a_signal_at_any_moment(
    signum: signal.Signals, moment: float, whole: tuple[Path, float], tmp_path: Path
) -> None:
    folder, seconds = whole
    process = start(tmp_path, '')
    time.sleep(moment * seconds)
    process.send_signal(signum)
    assert_nothing_or_all(process, tmp_path, folder, signum)


def test_ctrl_c_while_modules_are_being_imported(tmp_path: Path) -> None:
    """From the first module of ours on it is quiet, long before there is work to do."""
    code = (
        'import os, signal, sys\n'
        'module = sys.argv.pop(1)\n'
        'class Interrupt:\n'
        '    def find_spec(self, name, *_):\n'
        '        if name == module:\n'
        '            os.kill(os.getpid(), signal.SIGINT)\n'
        'sys.meta_path.insert(0, Interrupt())\n'
        'from piker_new.__main__ import main\n'
        'main()\n'
    )
    ours = ('piker_new.signals', 'piker_new.cli')
    for module in (*ours, 'typer', 'yaml', 'copier', 'plumbum'):
        command = [sys.executable, '-c', code, module, 'backend', 'deribit2']
        stopped = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (stopped.returncode, stopped.stderr) == (130, ''), module
        assert not [*tmp_path.iterdir()]


def test_ctrl_c_while_a_folder_for_temporary_files_is_tried_out(
    tmp_path: Path,
) -> None:
    """Python writes a file of its own there, when it is first asked for one."""
    (tmp_path / 'tmp').mkdir()
    code = (
        'import os, signal, tempfile\n'
        'class Interrupt:\n'
        '    def __getattr__(self, name):\n'
        '        return getattr(os, name)\n'
        '    def open(self, *arguments):\n'
        '        try:\n'
        '            return os.open(*arguments)\n'
        '        finally:\n'
        '            os.kill(os.getpid(), signal.SIGINT)\n'
        'tempfile._os = Interrupt()\n'
        'from piker_new.signals import exit_on_signals\n'
        'from piker_new.temporary import temporary_folder\n'
        'exit_on_signals()\n'
        'with temporary_folder():\n'
        '    print("not interrupted")\n'
    )
    stopped = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'TMPDIR': str(tmp_path / 'tmp')},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (130, '', '')
    assert left_behind(tmp_path) == []


IMPATIENT = """
import os, sys

signum = int(sys.argv.pop(1))

def interrupt(event, arguments):
    # what is written aside, until it is the project
    if event == 'open' and '/.deribit2-' in str(arguments[0]):
        for _ in range(2):
            os.kill(os.getpid(), signum)

sys.addaudithook(interrupt)
"""
"""Sends itself a signal as files are written, and more, which change nothing."""


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_files_are_being_written(
    signum: signal.Signals, whole: tuple[Path, float], tmp_path: Path
) -> None:
    process = start(tmp_path, IMPATIENT, str(int(signum)))
    assert_nothing_or_all(process, tmp_path, whole[0], signum)
    assert process.returncode == 128 + signum


def test_another_programs_signals_are_left_alone(tmp_path: Path) -> None:
    before = [signal.getsignal(signum) for signum in signal.Signals]
    render({'backend': 'deribit2'}, tmp_path / 'deribit2', ask=False)
    assert [signal.getsignal(signum) for signum in signal.Signals] == before


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files fails in the middle, as a full disk does."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    failed = run_piker_new(
        'backend',
        'deribit2',
        cwd=tmp_path,
        env={**os.environ, 'PYTHONDONTWRITEBYTECODE': '1'},
        preexec_fn=limit,
    )
    assert failed.returncode == 1
    assert [line.split()[0] for line in failed.stderr.splitlines()] == [
        'error:',
        'note:',
        'help:',
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_where_nobody_may_write() -> None:
    """Not even root can create anything in /proc."""
    failed = run_piker_new('backend', 'deribit2', '/proc/deribit2')
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: cannot write '/proc/deribit2'")
