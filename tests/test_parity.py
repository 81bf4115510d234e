"""`copier copy` and `piker-new` make the same bytes from the same answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import (
    Answers,
    Render,
    combinations,
    copy_template,
    run_piker_new,
    spell,
    tree,
)


def git(folder: Path, *arguments: str) -> None:
    identity = ['-c', 'user.name=suite', '-c', 'user.email=suite@localhost']
    subprocess.run(['git', *identity, *arguments], cwd=folder, check=True)


@pytest.fixture(scope='module')
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it stands, published: a git repository with a commit."""
    folder = tmp_path_factory.mktemp('repository')
    copy_template(folder)
    git(folder, 'init', '-q')
    git(folder, 'add', '.')
    git(folder, 'commit', '-qm', 'As it stands')
    return folder


def copier_copy(source: Path, dest: Path, answers: Answers) -> None:
    data = [f'--data={name}={answer}' for name, answer in answers.items()]
    copy = [sys.executable, '-m', 'copier', 'copy', '-q', '--defaults']
    subprocess.run([*copy, *data, source, dest], check=True)


@pytest.mark.parametrize('answers', list(combinations()), ids=spell)
def test_same_bytes(
    answers: Answers, repository: Path, rendered: Render, tmp_path: Path
) -> None:
    copier_copy(repository, tmp_path / 'theirs', answers)
    assert tree(tmp_path / 'theirs') == tree(rendered(answers))


def test_same_bytes_with_free_text(repository: Path, tmp_path: Path) -> None:
    texts = {
        'description': "Bob's <venue> & {{ backend }}: größer = besser #1",
        'author': 'Zoë Ørsted <zoe@example.org>',
    }
    copier_copy(repository, tmp_path / 'theirs', {'backend': 'my_venue', **texts})
    options = [word for name, text in texts.items() for word in (f'--{name}', text)]
    made = run_piker_new('backend', 'my_venue', tmp_path / 'ours', *options)
    assert made.returncode == 0, made.stderr
    assert tree(tmp_path / 'theirs') == tree(tmp_path / 'ours')


def test_no_file_is_executable(rendered: Render) -> None:
    """Nothing generated is a program: everything runs through uv or python -m."""
    files = rendered({'backend': 'deribit2'}).rglob('*.*')
    assert not [path for path in files if path.is_file() and os.access(path, os.X_OK)]
