"""Every combination of answers reads as written by hand for just that backend."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from conftest import (
    ROOT,
    Answers,
    MakeProject,
    Render,
    combinations,
    outside,
    spell,
    tree,
)

COMBINATIONS = list(combinations())

# The Python is the same for both versions of the runtime (see below): what reads
# only Python reads it once.
ON_RELEASE = [answers for answers in COMBINATIONS if answers['tractor'] == 'release']

# Lines change their length with the name: both ends of what is allowed.
NAMES = ['ab', 'a' * 20]

# What must not appear where the answer is another, and where it may all the same.
LEFTOVERS: dict[tuple[str, object], tuple[str, str]] = {
    ('trading', False): (
        r'ledger|emsd|paperboi|open_trade_dialog|norm_trade|hmac|api_secret|LICENSE',
        # the table of endpoints is piker's, whole; and HMAC is for more than orders:
        # actors greet each other by it, and it makes names that nobody guesses
        r'(minipiker/(data/validate|_gate|service/_report)|.*/_redaction)\.py',
    ),
    ('client', 'trio'): (r'asyncio|_proxy|guest|in_actor', r''),
    ('client', 'asyncio'): (
        r'trio[_-]websocket',
        # the venue is on trio whatever talks to it
        r'(simvenue/|tests/(wire|test_(simvenue|dialect))).*|pyproject\.toml',
    ),
    ('tractor', 'release'): (r'goodboy/tractor|>=3\.13', r''),
    ('tractor', 'main'): (r'==0\.1\.0a5|pdbpp', r''),
    ('layout', 'project'): (r'in-tree', r''),
}


def lint(project: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'ruff', *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_templates_parse_as_python() -> None:
    """So that an editor opens them as such: statements stand in comments."""
    templates = [
        path
        for folder in (ROOT / 'parts', ROOT / 'template')
        for path in folder.rglob('*')
        if re.search(r'\.py\b', path.name)
    ]
    assert len(templates) > 10
    for path in templates:
        ast.parse(path.read_text(), path)


@pytest.mark.parametrize('answers', ON_RELEASE, ids=spell)
def test_compiles(answers: Answers, rendered: Render) -> None:
    for path, source in tree(rendered(answers)).items():
        if path.endswith('.py'):
            compile(source, path, 'exec')


@pytest.mark.parametrize('backend', ['deribit2', *NAMES])
@pytest.mark.parametrize('answers', ON_RELEASE, ids=spell)
def test_is_a_fixed_point_of_the_formatter(
    answers: Answers, backend: str, rendered: Render
) -> None:
    project = rendered({**answers, 'backend': backend})
    lint(project, 'format', '--check', '--diff', '--no-cache')
    lint(project, 'check', '--no-cache')


@pytest.mark.parametrize('answers', ON_RELEASE, ids=spell)
def test_type_checks_strictly(
    answers: Answers,
    rendered: Render,
    make_project: MakeProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """With the very tools that a project brings, and all that any of them needs."""
    tools = make_project('--client', 'asyncio') / '.venv' / 'bin'
    cache = tmp_path_factory.getbasetemp() / 'mypy'
    checked = subprocess.run(
        [tools / 'mypy', '--cache-dir', cache],
        cwd=rendered(answers),
        env=outside(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize('answers', COMBINATIONS, ids=spell)
def test_leaves_no_trace_of_what_was_not_chosen(
    answers: Answers, rendered: Render
) -> None:
    files = tree(rendered(answers))
    for (name, answer), (trace, where) in LEFTOVERS.items():
        if answers[name] != answer:
            continue
        found = {
            f'{path}: {line}'
            for path, content in files.items()
            if not (where and re.fullmatch(where, path))
            for line in [path, *content.decode().splitlines()]
            if re.search(trace, line)
        }
        assert not found, f'{name} is {answer}'


@pytest.mark.parametrize('answers', COMBINATIONS, ids=spell)
def test_is_tidy(answers: Answers, rendered: Render) -> None:
    project = rendered(answers)
    for path, content in tree(project).items():
        text = content.decode()
        assert not re.search(r'#\{[%#]|(?<!\$)\{\{ ', text), f'{path}: markup'
        assert text == '' or re.search(r'[^\n]\n\Z', text), f'{path} ends badly'
        assert not re.search(r'[ \t]$', text, re.MULTILINE), f'{path} trails'
        if not path.endswith('.py'):
            assert '\n\n\n' not in text, f'{path} has double blank lines'
    folders = [path for path in project.rglob('*') if path.is_dir()]
    assert all(any(folder.iterdir()) for folder in folders), 'an empty folder'


@pytest.mark.parametrize('answers', ON_RELEASE, ids=spell)
def test_the_runtime_changes_metadata_only(answers: Answers, rendered: Render) -> None:
    release = tree(rendered(answers))
    main = tree(rendered({**answers, 'tractor': 'main'}))
    assert release.keys() == main.keys()
    differing = {path for path in release if release[path] != main[path]}
    assert differing == {
        '.copier-answers.yml',
        '.github/workflows/ci.yml',
        'pyproject.toml',
    }


@pytest.mark.parametrize('answers', COMBINATIONS, ids=spell)
def test_metadata(answers: Answers, rendered: Render) -> None:
    project = rendered({**answers, 'author': 'Zoë', 'backend': 'my_venue'})
    metadata = tomllib.loads((project / 'pyproject.toml').read_text())
    assert metadata['project']['name'] == 'piker-my-venue'
    assert metadata['project']['authors'] == [{'name': 'Zoë'}]
    # the wheel goes beside any piker, what it is developed with runs on some Pythons
    assert metadata['project']['requires-python'] == '>=3.11'
    dev = metadata['tool']['uv']['dependency-groups']['dev']
    pythons = {'release': '>=3.11,<3.13', 'main': '>=3.13'}
    assert dev == {'requires-python': pythons[str(answers['tractor'])]}
    assert metadata['project']['description'] == 'A piker backend for my_venue.'
    assert metadata['tool']['hatch']['build']['targets']['wheel']['packages'] == [
        'piker_my_venue'
    ]


@pytest.mark.parametrize('answers', COMBINATIONS, ids=spell)
def test_a_backend_says_its_name_once(answers: Answers, rendered: Render) -> None:
    package = rendered({**answers, 'backend': 'my_venue'}) / 'piker_my_venue'
    said = {path: text.count(b'my_venue') for path, text in tree(package).items()}
    said['__init__.py'] -= 1  # the description
    assert {path: times for path, times in said.items() if times} == {'_config.py': 1}


def test_only_the_backend_is_in_the_wheel(
    project: Path, uv: str, tmp_path: Path
) -> None:
    subprocess.run(
        [uv, 'build', '-q', '--wheel', '-o', tmp_path],
        cwd=project,
        env=outside(),
        check=True,
    )
    [wheel] = tmp_path.glob('*.whl')
    packages = {Path(name).parts[0] for name in ZipFile(wheel).namelist()}
    assert packages == {'piker_deribit2', 'piker_deribit2-0.1.0.dist-info'}


def test_every_file_is_known_to_git(rendered: Render, tmp_path: Path) -> None:
    """The generated .gitignore hides nothing of what is generated."""
    project = rendered({'backend': 'deribit2'})
    subprocess.run(['git', 'init', '-q', '--bare', tmp_path], check=True)
    status = subprocess.run(
        ['git', 'status', '--porcelain', '--ignored', '--untracked-files=all'],
        cwd=project,
        env={**os.environ, 'GIT_DIR': str(tmp_path), 'GIT_WORK_TREE': str(project)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert len(status) == len(tree(project))
    assert all(line.startswith('?? ') for line in status)
