"""The command line, as a user sees it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import run_piker_new, tree
from typer.testing import CliRunner

from piker_new import __version__
from piker_new.__main__ import HELP
from piker_new.cli import app

ESCAPE = '\x1b'


def test_version() -> None:
    assert run_piker_new('--version').stdout == f'piker-new {__version__}\n'


def test_help_lists_what_there_is() -> None:
    """What is printed without any import is what typer would have printed."""
    ours = run_piker_new('--help').stdout
    assert ours == HELP
    typers = CliRunner().invoke(app, ['--help'], prog_name='piker-new').output
    assert ours.split() == typers.split()


def test_help_says_what_the_arguments_are() -> None:
    assert 'As in FQMEs' in run_piker_new('backend', '--help').stdout
    assert 'What `backend` has made' in run_piker_new('adopt', '--help').stdout
    assert run_piker_new('bakend').stderr.count("'backend'?") == 1


@pytest.mark.parametrize('command', ['--version', '--help'])
def test_answers_without_heavy_imports(command: str) -> None:
    """The start-up time is in `benchmarks/`; what it rests on is here."""
    code = (
        'import sys; from piker_new.__main__ import main; main(); print(*sys.modules)'
    )
    loaded = subprocess.run(
        [sys.executable, '-c', code, command],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {'typer', 'yaml', 'jinja2', 'copier', 'rich', 'argparse'} & {*loaded}


@pytest.mark.parametrize(
    ('on_path', 'running', 'named'),
    [
        (True, None, 'uv'),
        (True, '/opt/uv 1/uv', 'uv'),
        (False, '/opt/uv 1/uv', "'/opt/uv 1/uv'"),
        (False, None, 'uv'),
    ],
)
def test_says_what_was_made_and_what_is_next(
    on_path: bool, running: str | None, named: str, tmp_path: Path
) -> None:
    (tmp_path / 'bin').mkdir()
    if on_path:
        (tmp_path / 'bin' / 'uv').touch(mode=0o755)
    environ = {key: value for key, value in os.environ.items() if key != 'UV'}
    environ |= {'PATH': str(tmp_path / 'bin')} | ({'UV': running} if running else {})
    made = run_piker_new('backend', 'deribit2', cwd=tmp_path, env=environ)
    assert made.returncode == 0
    assert made.stderr == ''
    assert made.stdout == (
        'Created deribit2\n'
        '\n'
        '  cd deribit2\n'
        f'  {named} run pytest\n'
        f'  {named} run -m minipiker quotes btcusd\n'
    ) + ('' if on_path or running else '\nThey need uv: https://docs.astral.sh/uv/\n')
    assert {path.name for path in tmp_path.iterdir()} == {'bin', 'deribit2'}


def on_a_terminal(*arguments: str, **environ: str) -> str:
    """Run the command with a pseudo terminal for output; what it shows."""
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, '-m', 'piker_new', *arguments],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, 'NO_COLOR': '', **environ},
        check=False,
    )
    os.close(theirs)
    shown = b''
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux says EIO where everything is read and closed
        pass
    os.close(ours)
    return shown.decode()


def test_colours_are_for_terminals(tmp_path: Path) -> None:
    assert ESCAPE in on_a_terminal('backend', 'class')
    assert ESCAPE in on_a_terminal('backend', 'deribit2', str(tmp_path / 'a'))
    assert ESCAPE not in on_a_terminal('backend', 'class', NO_COLOR='1')
    assert ESCAPE not in run_piker_new('backend', 'class').stderr


@pytest.mark.parametrize(
    ('arguments', 'what'),
    [
        (['class'], 'keyword'),
        (['deribit2', '--client', 'twisted'], 'is no client'),
        (['deribit2', '--data', 'client=twisted'], 'is no client'),
        (['deribit2', '--data', 'colour=red'], 'answers no question'),
        (['deribit2', '--data', 'package=evil'], 'answers no question'),
        (['deribit2', '--data', '_subdirectory=x'], 'answers no question'),
        (['deribit2', '--data', 'client'], 'answers no question'),
        (['deribit2', '--data', 'trading=perhaps'], 'neither yes nor no'),
        (['deribit2', '--trading', '--data', 'trading=no'], 'answered twice'),
        (['deribit2', '--description', 'two\nlines'], 'not plain text'),
        (['deribit2', '--author', 'O"Brien'], 'not plain text'),
        (['deribit2', '.'], 'the folder you are in'),
        (['deribit2', 'full'], 'not empty'),
        (['deribit2', 'full/file'], 'not a folder'),
        (['deribit2', 'full/file/below'], 'not a folder'),
        (['deribit2', 'dangling'], 'not a folder'),
    ],
    ids=str,
)
def test_bad_input_is_refused_in_three_lines(
    arguments: list[str], what: str, tmp_path: Path
) -> None:
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').write_text('mine')
    (tmp_path / 'dangling').symlink_to('nowhere')
    before = tree(tmp_path)
    refused = run_piker_new('backend', *arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stdout == ''
    error, note, instead = refused.stderr.splitlines()
    assert error.startswith('error: ')
    assert what in error
    assert note.startswith('note: ')
    assert instead.startswith('help: ')
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    'arguments', [['backend'], ['bakend'], ['backend', 'x2', '--no']]
)
def test_bad_usage_exits_with_2(arguments: list[str], tmp_path: Path) -> None:
    refused = run_piker_new(*arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert 'Usage' in refused.stderr
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / 'empty').mkdir()
    assert run_piker_new('backend', 'deribit2', tmp_path / 'empty').returncode == 0
    assert (tmp_path / 'empty' / 'pyproject.toml').exists()


def test_data_and_options_are_the_same(tmp_path: Path) -> None:
    made = run_piker_new('backend', 'deribit2', 'a', '--tractor', 'main', cwd=tmp_path)
    assert made.returncode == 0
    made = run_piker_new(
        'backend', 'deribit2', 'b', '--data', 'tractor=main', cwd=tmp_path
    )
    assert made.returncode == 0
    assert tree(tmp_path / 'a') == tree(tmp_path / 'b')


def test_completes_commands_options_and_answers() -> None:
    def complete(line: str) -> list[str]:
        words = line.split(' ')
        asked = {'COMP_WORDS': line, 'COMP_CWORD': str(len(words) - 1)}
        return subprocess.run(
            [Path(sys.executable).with_name('piker-new')],
            env={**os.environ, **asked, '_PIKER_NEW_COMPLETE': 'complete_bash'},
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()

    assert complete('piker-new ad') == ['adopt']
    assert '--protocol' in complete('piker-new backend deribit2 --pro')
    assert complete('piker-new backend deribit2 --tractor m') == ['main']
