"""One rule broken at a time, in generated backends and in piker's own: is it found?"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from check_mutants import ASYNCIO, IB, KRAKEN, OTHERWISE, TRIO, Edit, Mutants
from conftest import Answers, Render

from piker_new.check.engine import check
from piker_new.check.find import load
from piker_new.check.rules import RULES
from piker_new.check.rules.base import Rule

PIKER = os.environ.get('PIKER_NEW_PIKER', '')
BACKENDS = {'trio': TRIO, 'asyncio': ASYNCIO, 'kraken': KRAKEN, 'ib': IB}

# What only one of the two clients, or only piker's own or only ours, can break.
ASYNCIO_ONLY = {'PK501', 'PK502', 'PK503', 'PK504', 'PK505'}
LACKING = {
    'trio': {*ASYNCIO_ONLY, 'PK802'},
    'asyncio': {'PK802'},
    'kraken': {*ASYNCIO_ONLY, 'PK202', 'PK811', 'PK812'},
    'ib': {'PK811', 'PK812'},
}


def found_in(root: Path, rules: list[Rule]) -> set[tuple[str, str, str]]:
    """What is found, but for the lines, which an edit moves."""
    return {
        (it.id, Path(it.place.path).name, it.what) for it in check([load(root)], rules)
    }


def mutate(root: Path, edits: list[Edit]) -> None:
    for name, before, after in edits:
        paths = [*root.glob(name)] or [root / name]
        sources = {it: it.read_text() if it.exists() else '' for it in paths}
        assert any(before in it for it in sources.values()), (name, before)
        for path, source in sources.items():
            path.write_text(source.replace(before, after) if before else source + after)


def missed(mutants: list[tuple[str, list[Edit]]], root: Path) -> list[str]:
    """The rules that were broken, one at a time, without anything new being found."""
    before = found_in(root, RULES)
    intact = root.with_name('intact')
    root.rename(intact)
    not_found: list[str] = []
    for id, edits in mutants:
        shutil.copytree(intact, root)
        mutate(root, edits)
        rules = [it for it in RULES if it.id == id or id.startswith('PK00')]
        if not any(it[0] == id for it in found_in(root, rules) - before):
            not_found.append(id)
        shutil.rmtree(root)
    return not_found


@pytest.fixture(params=BACKENDS)
def backend(
    request: pytest.FixtureRequest, rendered: Render, tmp_path: Path
) -> tuple[str, Path]:
    name = str(request.param)
    if name in ('kraken', 'ib'):
        if not PIKER:
            pytest.skip('PIKER_NEW_PIKER names no piker')
        shutil.copytree(Path(PIKER) / 'piker', tmp_path / 'piker')
        return name, tmp_path / 'piker' / 'brokers' / name
    answers: Answers = {'backend': 'deribit2', 'client': name, 'trading': True}
    shutil.copytree(rendered(answers) / 'piker_deribit2', tmp_path / 'piker_deribit2')
    return name, tmp_path / 'piker_deribit2'


def test_a_broken_rule_is_found(backend: tuple[str, Path]) -> None:
    name, root = backend
    mutants: Mutants = BACKENDS[name]
    # the other rule is on the name, which no edit changes
    assert {rule.id for rule in RULES} - mutants.keys() == LACKING[name] | {'PK106'}
    assert missed([*mutants.items()], root) == []


@pytest.mark.parametrize('backend', OTHERWISE, indirect=True)
def test_a_rule_broken_otherwise_is_found(backend: tuple[str, Path]) -> None:
    name, root = backend
    assert missed(OTHERWISE[name], root) == []
