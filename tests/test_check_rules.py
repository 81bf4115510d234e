"""Each rule of `piker-new check`, on files that say in their lines what is found."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

from piker_new.check.engine import check
from piker_new.check.find import load
from piker_new.check.rules import RULES
from piker_new.check.rules.base import Rule

FIXTURES = ROOT / 'tests' / 'check'
EXPECTED = re.compile(r'# found( next)?: (.+)')
HEADER = re.compile(r'# == (?:backend: )?(\S+)')


def unpack(fixture: Path, folder: Path) -> list[Path]:
    """Write the files of a fixture; the backends among them."""
    roots: set[Path] = set()
    sections = re.split(r'^(?=# == )', fixture.read_text(), flags=re.MULTILINE)
    for section in filter(None, sections):
        header, _, source = section.partition('\n')
        match = HEADER.fullmatch(header)
        assert match, header
        path = folder / match[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        if header.startswith('# == backend: '):
            roots.add(path.parent)
    return sorted(roots or folder.iterdir())


def expected(folder: Path) -> Counter[tuple[str, int, str]]:
    found: Counter[tuple[str, int, str]] = Counter()
    for path in folder.rglob('*.py'):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if match := EXPECTED.search(line):
                for id in match[2].split(', '):
                    at = number + bool(match[1])
                    found[str(path.relative_to(folder)), at, id] += 1
    return found


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: rule.id)
def test_finds_that_and_no_more(
    rule: Rule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [fixture] = [it for it in FIXTURES.glob('*.py') if it.stem == rule.id]
    roots = unpack(fixture, tmp_path)
    wanted = expected(tmp_path)
    assert wanted, 'or it would not be seen that nothing is found'
    rules = RULES if rule.id.startswith('PK00') else [rule]
    found = check([load(root) for root in roots], rules)
    assert (
        Counter(
            (it.place.path, it.place.line, it.id) for it in found if it.id == rule.id
        )
        == wanted
    )


def test_rules_say_what_they_are() -> None:
    ids = [rule.id for rule in RULES]
    assert ids == sorted({*ids})
    for rule in RULES:
        assert re.fullmatch(r'PK\d{3}', rule.id)
        assert re.fullmatch(r'([A-Z_`]|asyncio ).{10,90}\.', rule.title), rule.id
        assert rule.why.endswith('.'), rule.id
        assert rule.help[0].islower() or rule.help[0] in '`_', rule.id
        assert rule.source, rule.id
        assert rule.level in ('error', 'warning')
