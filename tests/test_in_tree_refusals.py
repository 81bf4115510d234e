"""Targets and arguments that do not do for a backend in a checkout of piker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from checkouts import visible
from conftest import git, run_piker_new


def dirty(checkout: Path) -> None:
    (checkout / 'tests' / 'conftest.py').write_text('# mine\n')


def untracked(checkout: Path) -> None:
    (checkout / 'mine.py').write_text('')


def with_that_backend(checkout: Path) -> None:
    (checkout / 'piker' / 'brokers' / 'deribit2').mkdir()
    (checkout / 'piker' / 'brokers' / 'deribit2' / '__init__.py').write_text('')
    git(checkout, 'add', '.')
    git(checkout, 'commit', '-qm', 'A deribit2 of its own')


def with_that_module(checkout: Path) -> None:
    (checkout / 'piker' / 'brokers' / 'deribit2.py').write_text('')
    git(checkout, 'add', '.')
    git(checkout, 'commit', '-qm', 'A deribit2 of its own')


def no_piker(checkout: Path) -> None:
    git(checkout, 'rm', '-q', 'piker/brokers/__init__.py')
    git(checkout, 'commit', '-qm', 'Something else')


def no_git(checkout: Path) -> None:
    (checkout / '.git').rename(checkout.parent / 'elsewhere')


def no_list(checkout: Path) -> None:
    (checkout / 'piker' / 'brokers' / '__init__.py').write_text('')
    git(checkout, 'commit', '-qam', 'Otherwise')


@pytest.mark.parametrize(
    ('spoil', 'what'),
    [
        (dirty, 'not committed, such as tests/conftest.py'),
        (untracked, 'not committed, such as mine.py'),
        (with_that_backend, 'has a backend deribit2 already'),
        (with_that_module, 'has a backend deribit2 already'),
        (no_piker, 'no checkout of piker'),
        (no_git, 'git says no'),
        (no_list, 'no list `__brokers__`'),
    ],
)
def test_a_target_that_does_not_do_is_refused(
    spoil: Callable[[Path], None], what: str, checkout: Path
) -> None:
    spoil(checkout)
    before = visible(checkout)
    refused = run_piker_new('backend', 'deribit2', '--into', checkout)
    assert refused.returncode == 2
    error, note, hint = refused.stderr.splitlines()
    assert what in error
    assert note.startswith('note: ')
    assert hint.startswith('help: ')
    assert visible(checkout) == before


@pytest.mark.parametrize(
    ('arguments', 'what'),
    [
        (['backend', 'deribit2', 'folder', '--into', '.'], 'two places'),
        (['backend', 'deribit2', '--layout', 'in-tree'], 'nothing to be in-tree of'),
        (['backend', 'x1', '--layout', 'project', '--into', '.'], 'answered twice'),
        (['adopt', '.', '--into', '.'], 'no project of piker-new'),
    ],
    ids=str,
)
def test_arguments_that_contradict_are_refused(
    arguments: list[str], what: str, tmp_path: Path
) -> None:
    refused = run_piker_new(*arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 3
    assert what in refused.stderr.splitlines()[0]
    assert list(tmp_path.iterdir()) == []
