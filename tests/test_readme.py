"""The commands of what users read, typed one after the other as they would."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from conftest import ROOT, Answers, Render, combinations, git, outside, spell, tree

README = ''.join((ROOT / page).read_text() for page in ('README.md', 'docs/options.md'))
BLOCKS = re.findall('```console\n(.*?)```', README, re.DOTALL)
COMMANDS = re.findall(r'^\$ (.+)$', README, re.MULTILINE)

# What runs a suite is typed by others: the check, and test_generated_suite.py.
SUITES = [command for command in COMMANDS if command.endswith('uv run pytest')]


def test_the_check_runs_the_second_command() -> None:
    check = (ROOT / '.ci' / 'run').read_text().splitlines()
    assert check[-1] == COMMANDS[1]
    assert os.access(ROOT / '.ci' / 'run', os.X_OK)
    assert [COMMANDS[1], 'uv run pytest'] == SUITES


@pytest.fixture(scope='module')
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone of what is in this one, with a release that was otherwise."""
    folder = tmp_path_factory.mktemp('reader') / 'piker-new'
    folder.mkdir()
    git(folder, 'init', '-q')
    (folder / 'copier.yml').write_text('backend:\n  type: str\n')
    git(folder, 'add', '.')
    git(folder, 'commit', '-qm', 'Long ago')
    git(folder, 'tag', 'v0.0.1')
    listed = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
    for name in git(ROOT, *listed).rstrip('\0').split('\0'):
        if (ROOT / name).is_file() and not name.startswith('tests/golden/'):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, 'add', '.')
    git(folder, 'commit', '-qm', 'As it stands')
    return folder


@pytest.fixture(scope='module')
def environ(checkout: Path) -> dict[str, str]:
    """A reader's, who has python3 and pipx but no uv yet."""
    bin = checkout.parent / 'bin'
    bin.mkdir()
    (bin / 'python3').symlink_to(sys.executable)
    (bin / 'pipx').write_text('#!/bin/sh\nexec uv tool run -q pipx "$@"\n')
    (bin / 'pipx').chmod(0o755)
    without_uv = [
        place
        for place in os.environ['PATH'].split(os.pathsep)
        if not shutil.which('uv', path=place)
        and Path(place) != Path(sys.executable).parent
    ]
    own = {
        'PATH': os.pathsep.join([str(bin), *without_uv]),
        'UV_TOOL_DIR': str(checkout.parent / 'tools'),
        'UV_TOOL_BIN_DIR': str(checkout.parent / 'tools' / 'bin'),
        'PIPX_HOME': str(checkout.parent / 'pipx'),
        'PIPX_BIN_DIR': str(checkout.parent / 'pipx' / 'bin'),
    }
    return {key: value for key, value in outside().items() if key != 'UV'} | own


def typed(command: str, cwd: Path, environ: dict[str, str]) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        ['sh', '-c', command],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, [command, done.stdout, done.stderr]
    return done.stdout


def watched(command: str, cwd: Path, environ: dict[str, str]) -> None:
    """Watch what goes on for ever until there is something to see, then Ctrl-C."""
    with subprocess.Popen(
        ['sh', '-c', f'exec {command}'],
        cwd=cwd,
        env=environ | {'XDG_CONFIG_HOME': str(cwd.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        shown = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
    assert shown, said
    assert 'Traceback' not in said


def test_every_command(
    checkout: Path, environ: dict[str, str], rendered: Render, tmp_path: Path
) -> None:
    project = checkout.parent / 'deribit2'
    printed: list[str] = []
    shown: list[str] = []
    for block in BLOCKS:
        cwd = checkout
        for command in re.findall(r'^\$ (.+)$', block, re.MULTILINE):
            if command in SUITES:
                continue
            if command.startswith('cd '):
                cwd = cwd / command.removeprefix('cd ')
                continue
            if ' quotes ' in command:
                watched(command, cwd, environ)
                shown = [line.removeprefix('$ ') for line in block.splitlines()]
                continue
            if '../deribit2' in command:
                shutil.rmtree(project, ignore_errors=True)
            out = typed(command, cwd, environ)
            if '../deribit2' in command:
                assert tree(project) == tree(rendered({'backend': 'deribit2'}))
            if command == COMMANDS[0]:
                printed = [line.strip() for line in out.splitlines()[2:]]
                # nothing of what this repository is developed with
                assert not [*checkout.glob('.venv/**/site-packages/pytest')]
                # what is printed works where no uv is on the path, and so does
                # the README, once there is one
                watched(printed[-1], cwd / '../deribit2', environ)
                (checkout.parent / 'bin' / 'uv').symlink_to(checkout / '.uv/bin/uv')
    uv = str(checkout / '.uv' / 'bin' / 'uv')
    assert [line.replace(uv, 'uv') for line in printed] == shown

    for folder in ('tools', 'pipx'):
        installed = checkout.parent / folder / 'bin' / 'piker-new'
        typed(f'{installed} backend deribit2 {folder}', tmp_path, environ)
        assert tree(tmp_path / folder) == tree(rendered({'backend': 'deribit2'}))


def commands_of(page: Path) -> list[str]:
    """Without what is said of them."""
    return [
        command
        for block in re.findall('```console\n(.*?)```', page.read_text(), re.DOTALL)
        for command in re.findall(r'^\$ (.+?)(?:  +#.*)?$', block, re.MULTILINE)
    ]


@pytest.mark.parametrize('answers', combinations(), ids=spell)
def test_each_page_of_a_project_is_found(answers: Answers, rendered: Render) -> None:
    """From its README, which is a screen long; and no link leads nowhere."""
    project = rendered(answers)
    pages = [project / 'README.md', project / 'AGENTS.md', *project.glob('docs/*.md')]
    links = {page: re.findall(r'\]\(([\w/.-]+)\)', page.read_text()) for page in pages}
    for page, found in links.items():
        assert [it for it in found if not (page.parent / it).is_file()] == [], page
    docs = {f'docs/{page.name}' for page in pages[2:]}
    assert len(docs) > 4
    assert docs <= {*links[pages[0]]}
    assert len(pages[0].read_text().splitlines()) < 50


def test_every_command_of_a_project(project: Path, uv: str, tmp_path: Path) -> None:
    """
    Of its README, its `docs` and of what it says to assistants, each once, in its own
    environment; what runs for ever is ended by Ctrl-C.
    """
    first = [commands_of(project / it) for it in ('README.md', 'AGENTS.md')]
    assert {page[0] for page in first} == {'uv run pytest'}
    others = map(commands_of, sorted(project.glob('docs/*.md')))
    commands = dict.fromkeys(chain(*first, *others))
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'uv').symlink_to(uv)
    # where piker-new is at hand
    places = [tmp_path / 'bin', Path(sys.executable).parent, os.environ['PATH']]
    environ = outside() | {
        'PATH': os.pathsep.join(map(str, places)),
        'XDG_CONFIG_HOME': str(tmp_path),
    }
    for command in commands:
        if ' quotes ' in command or ' simvenue ' in command:
            watched(command, project, environ)
        elif command.endswith(' diagnose'):  # of which there are tests; here is no tree
            with pytest.raises(AssertionError, match='no pikerd is running'):
                typed(command, project, environ)
        # what a reader fills in has tests of its own, in a piker and a tree of it
        elif command not in SUITES and not re.search(
            r'\b(PYTHON|PATH|URL|FILE)\b', command
        ):
            typed(command, project, environ)
