"""Rendered projects, and the environment that the default one makes for itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from simulator import Venue, run

from piker_new.questions import Answer, questions
from piker_new.render import render

ROOT = Path(__file__).parents[1]

pytest_plugins = ['checkouts', 'sdks']

# Whole projects, whose suites are not this one's.
collect_ignore = ['golden']

Answers = Mapping[str, Answer]
Render = Callable[[Answers], Path]
MakeProject = Callable[..., Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        '--update-golden',
        action='store_true',
        help='rewrite tests/golden with what is generated now',
    )


def pytest_configure() -> None:
    # a background job ignores them, and so would all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def combinations(layout: str = 'project') -> Iterator[dict[str, Answer]]:
    """Every combination of answers to the questions that offer a choice."""
    choices: dict[str, tuple[Answer, ...]] = {
        question.name: question.choices or (False, True)
        for question in questions().values()
        if question.choices or question.type == 'bool'
    }
    choices['layout'] = (layout,)
    for answers in product(*choices.values()):
        yield {'backend': 'deribit2', **dict(zip(choices, answers, strict=True))}


def spell(answers: Answers) -> str:
    """The answers as a test id."""
    return '-'.join(
        answer if isinstance(answer, str) else f'{"" if answer else "no-"}{name}'
        for name, answer in answers.items()
    )


def tree(folder: Path) -> dict[str, bytes]:
    """The files below `folder`, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def copy_template(folder: Path) -> Path:
    """What copier needs of this repository, and nothing of git."""
    for path in (ROOT / 'copier.yml', *ROOT.glob('*.jinja')):
        folder.mkdir(exist_ok=True)
        shutil.copy2(path, folder)
    for name in ('parts', 'template'):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def run_piker_new(
    *arguments: str | Path, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; `options` are those of `run`."""
    command = [sys.executable, '-m', 'piker_new', *map(str, arguments)]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, **options
    )
    return done


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # what takes longest comes first, beside all the rest
    items.sort(key=lambda item: item.path.name != 'test_generated_suite.py')


@pytest.fixture(scope='session')
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render answers, the same ones only once: nobody writes into the result."""
    projects: dict[str, Path] = {}

    def get(answers: Answers) -> Path:
        key = spell(answers)
        if key not in projects:
            projects[key] = tmp_path_factory.mktemp('rendered') / 'project'
            render(answers, projects[key], ask=False)
        return projects[key]

    return get


@pytest.fixture(scope='session')
def uv() -> str:
    """The uv that runs this suite, or the one on the path."""
    found = os.environ.get('UV') or shutil.which('uv')
    if not found:
        pytest.skip('uv is neither running this suite nor on the path')
    return found


@pytest.fixture(scope='session')
def make_project(tmp_path_factory: pytest.TempPathFactory, uv: str) -> MakeProject:
    """Make a project with an environment of its own, as a user has it, once."""
    projects: dict[tuple[str, ...], Path] = {}

    def make(*options: str) -> Path:
        if options not in projects:
            folder = tmp_path_factory.mktemp('project') / 'deribit2'
            made = run_piker_new('backend', 'deribit2', folder, *options)
            assert made.returncode == 0, made.stderr
            # once, and not by each of the many processes that start there
            sync = [uv, 'sync', '-q', '--compile-bytecode']
            subprocess.run(sync, cwd=folder, env=outside(), check=True)
            projects[options] = folder
        return projects[options]

    return make


@pytest.fixture(scope='session')
def project(make_project: MakeProject) -> Path:
    """The default project."""
    return make_project()


@pytest.fixture(scope='session')
def venue(project: Path) -> Iterator[Venue]:
    """The default project's simulator."""
    with run(project) as it:
        yield it


def outside() -> dict[str, str]:
    """This process's environment, without what points into its own virtual one."""
    return {
        key: value
        for key, value in os.environ.items()
        if key not in {'VIRTUAL_ENV', 'UV_PYTHON', 'UV_PROJECT_ENVIRONMENT'}
    }


def git(folder: Path, *arguments: str) -> str:
    """The output of a git command there."""
    identity = ['-c', 'user.name=suite', '-c', 'user.email=suite@localhost']
    return subprocess.run(
        ['git', *identity, *arguments],
        cwd=folder,
        env=outside(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
