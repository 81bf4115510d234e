"""`piker-new check --boot`: what a project's own suite proves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Render, run_piker_new

from piker_new.check import boot
from piker_new.check.find import load
from piker_new.check.model.contract import ENDPOINTS
from piker_new.check.rules import RULES


def test_what_proves_a_rule_is_in_the_suite(rendered: Render) -> None:
    project = rendered({'backend': 'deribit2', 'client': 'asyncio', 'trading': True})
    for test in (*boot.PROOFS.values(), *boot.WORKS.values(), *boot.FAULTS.values()):
        module, _, name = test.partition('::')
        assert f'def {name}(' in (project / 'tests' / f'{module}.py').read_text(), test
    assert {rule.id for rule in RULES} >= boot.PROOFS.keys()
    assert list(boot.WORKS) == list(ENDPOINTS)


def test_scorecard(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a backend that is not as it should be, and does not read as if it were not."""
    copy = tmp_path / 'project'
    ignored = shutil.ignore_patterns('.venv', '.git')
    shutil.copytree(project, copy, ignore=ignored)
    (copy / '.venv').symlink_to(project / '.venv')
    init = copy / 'piker_deribit2' / '__init__.py'
    source = init.read_text()
    assert "'stream_quotes'," in source
    init.write_text(source.replace("    'stream_quotes',\n", '', 1))

    exported = 'test_contract::test_endpoints_are_exported'
    complete = 'test_contract::test_endpoints_of_a_kind_are_complete'
    monkeypatch.setattr(boot, 'PROOFS', {'PK101': complete, 'PK104': exported})
    monkeypatch.setattr(boot, 'WORKS', {'get_client': complete})
    monkeypatch.setattr(boot, 'FAULTS', {'one that there is none of': 'test_x::test_x'})
    card = boot.boot(load(copy / 'piker_deribit2'), [])
    assert card.results == {complete: True, exported: False}
    assert card.failed == 1
    rows = [line.split() for line in card.lines]
    assert ['PK101', 'kept', 'kept', f'tests/{complete.replace("::", ".py::")}'] in rows
    assert ['PK104', 'kept', 'broken', f'tests/{exported.replace("::", ".py::")}'] in (
        rows
    )
    assert ['PK102', 'kept', '-'] in rows
    assert ['get_client', 'yes', 'yes'] in rows
    assert ['stream_quotes', 'yes', '-'] in rows


def test_a_suite_that_cannot_be_run_is_told(tmp_path: Path, project: Path) -> None:
    copy = tmp_path / 'project'
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns('.venv', '.git'))
    (copy / '.venv').symlink_to(project / '.venv')
    (copy / 'tests' / 'conftest.py').write_text('import nowhere\n')
    refused = run_piker_new('check', '--boot', copy, '--select', 'PK101')
    assert refused.returncode == 1
    error, note, help = refused.stderr.splitlines()
    assert 'cannot be run' in error
    assert 'nowhere' in note
    assert help.startswith('help: ')


def test_what_has_no_suite_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'venue.py').write_text('async def get_client(): ...\n')
    refused = run_piker_new('check', '--boot', 'venue.py', cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, '')
    error, note, help = refused.stderr.splitlines()
    assert 'has no minipiker' in error
    assert (note[:6], help[:6]) == ('note: ', 'help: ')
