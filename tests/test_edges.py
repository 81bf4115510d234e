"""Where the system says no, or nobody reads what is printed: three lines, no trace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Render, run_piker_new, tree


def assert_refused(
    done: subprocess.CompletedProcess[str], status: int, what: str
) -> None:
    assert done.returncode == status, done.stderr
    error, note, instead = done.stderr.splitlines()
    assert error.startswith('error: ')
    assert what in error
    assert note.startswith('note: ')
    assert instead.startswith('help: ')


def too_long(folder: Path) -> str:
    return 'x' * 300


def too_long_once_hidden(folder: Path) -> str:
    return 'x' * 250


def too_deep(folder: Path) -> str:
    return 'x/' * 3000


def below_a_loop(folder: Path) -> str:
    (folder / 'loop').symlink_to('loop')
    return 'loop/deribit2'


@pytest.mark.parametrize(
    ('place', 'what'),
    [
        (too_long, 'File name too long'),
        (too_long_once_hidden, 'File name too long'),
        (too_deep, 'File name too long'),
        (below_a_loop, 'Too many levels of symbolic links'),
    ],
)
def test_a_path_that_the_system_refuses(
    place: Callable[[Path], str], what: str, tmp_path: Path
) -> None:
    dest = place(tmp_path)
    before = [*tmp_path.iterdir()]
    assert_refused(run_piker_new('backend', 'deribit2', dest, cwd=tmp_path), 1, what)
    assert [*tmp_path.iterdir()] == before


def test_a_loop_of_links_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / 'loop').symlink_to('loop')
    refused = run_piker_new('backend', 'deribit2', 'loop', cwd=tmp_path)
    assert_refused(refused, 2, 'not a folder')


def plainly() -> list[str]:
    """What a command is run by, so that permissions apply to it even if we are root."""
    if os.geteuid():
        return []
    if not shutil.which('setpriv'):
        pytest.skip('root may read everything, and there is no setpriv to give that up')
    return ['setpriv', '--bounding-set', '-dac_override,-dac_read_search']


@pytest.mark.parametrize('mode', [0, 0o500])
def test_a_folder_that_cannot_be_used(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / 'closed'
    folder.mkdir()
    folder.chmod(mode)
    command = [*plainly(), sys.executable, '-m', 'piker_new', 'backend', 'deribit2']
    refused = subprocess.run(
        [*command, folder / 'deribit2'], capture_output=True, text=True, check=False
    )
    folder.chmod(0o700)
    assert_refused(refused, 1, 'Permission denied')
    assert not [*folder.iterdir()]


@pytest.mark.parametrize(
    'arguments',
    [
        ['backend', 'deribit2'],
        ['backend', 'deribit2', '{}/elsewhere'],
        ['backend', 'deribit2', '--into', '{}'],
        ['adopt', '{}', '--into', '{}'],
    ],
    ids=' '.join,
)
def test_a_working_directory_that_is_gone(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / 'gone').mkdir()
    shell = 'cd "$0" && rmdir "$0" && exec "$@"'
    command = [sys.executable, '-m', 'piker_new']
    command += [each.format(tmp_path) for each in arguments]
    refused = subprocess.run(
        ['sh', '-c', shell, tmp_path / 'gone', *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert_refused(refused, 1, 'the folder you are in')
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize('closed', [False, True])
def test_questions_need_a_terminal(closed: bool, tmp_path: Path) -> None:
    refused = run_piker_new(
        'backend',
        'deribit2',
        '--ask',
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        preexec_fn=(lambda: os.close(0)) if closed else None,
    )
    assert_refused(refused, 2, '--ask needs a terminal')
    assert not [*tmp_path.iterdir()]


def run_in_shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line that has `piker-new` in it."""
    return subprocess.run(
        ['sh', '-c', command],
        cwd=cwd,
        env={
            **os.environ,
            'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ('redirection', 'said'),
    [
        ('>/dev/full', 'warning: cannot print: No space left on device\n'),
        ('>&-', ''),
        ('>&- 2>&-', ''),
    ],
)
def test_a_project_is_made_even_if_nobody_can_read_of_it(
    redirection: str, said: str, rendered: Render, tmp_path: Path
) -> None:
    made = run_in_shell(f'piker-new backend deribit2 {redirection}', tmp_path)
    assert (made.returncode, made.stderr) == (0, said)
    assert tree(tmp_path / 'deribit2') == tree(rendered({'backend': 'deribit2'}))


def test_a_reader_that_has_gone(rendered: Render, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    made = subprocess.run(
        [sys.executable, '-m', 'piker_new', 'backend', 'deribit2'],
        cwd=tmp_path,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (made.returncode, made.stderr) == (0, b'')
    assert tree(tmp_path / 'deribit2') == tree(rendered({'backend': 'deribit2'}))


@pytest.mark.parametrize('name', ['größe', os.fsdecode(b'gr\xf6sse')])
def test_an_output_that_is_not_utf8(name: str, tmp_path: Path) -> None:
    made = run_piker_new(
        'backend',
        'deribit2',
        name,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONIOENCODING': 'ascii'},
    )
    assert (made.returncode, made.stderr) == (0, '')
    assert made.stdout.startswith('Created gr\\')
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize('arguments', ['--help', '--version', 'backend --help'])
def test_what_cannot_be_printed_is_an_error(arguments: str, tmp_path: Path) -> None:
    failed = run_in_shell(f'piker-new {arguments} >/dev/full', tmp_path)
    assert failed.returncode == 1
    assert failed.stderr == 'error: cannot print: No space left on device\n'


def test_folders_above_it_are_made_and_removed_again(tmp_path: Path) -> None:
    made = run_piker_new('backend', 'deribit2', 'a/b/deribit2', cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, '')
    assert (tmp_path / 'a' / 'b' / 'deribit2' / 'pyproject.toml').exists()

    failed = run_piker_new('backend', 'deribit2', 'a/c/d/' + 'x' * 250, cwd=tmp_path)
    assert failed.returncode == 1
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['b']


@pytest.mark.parametrize('text', ['', ' ', 'padded ', ' padded', '\u3000'])
def test_a_description_is_a_line(text: str, tmp_path: Path) -> None:
    refused = run_piker_new('backend', 'deribit2', '--description', text, cwd=tmp_path)
    assert_refused(refused, 2, 'padded' if text.strip() else 'blank')
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    'text',
    [
        'x',
        'a long line ' * 20 + 'of it',
        'gr\xf6\xdfe \u2013 \uff0b \u4e2d',
        "{{ x }}'",
    ],
)
def test_any_description_passes_the_projects_own_linter(
    text: str, rendered: Render
) -> None:
    project = rendered({'backend': 'deribit2', 'description': text})
    for command in (['check'], ['format', '--check']):
        linted = subprocess.run(
            [sys.executable, '-m', 'ruff', *command, '--no-cache'],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert linted.returncode == 0, linted.stdout
