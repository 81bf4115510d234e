"""What is generated, file by file: a change of the template is read as a diff.

Below `golden/` a folder for each set of answers has a manifest of all its files, and
those of them that stand nowhere else: not in `template/` or `parts/`, as they are, nor
in the set before.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Render, tree

GOLDEN = Path(__file__).parent / 'golden'
SETS = ('trio', 'asyncio')
MANIFEST = 'manifest.txt'


def plain_files(package: str) -> dict[str, bytes]:
    """What is copied as it is, or included so, for a set of answers of `SETS`."""
    copied = {
        path.replace('{{ package }}', package).replace(
            '{{ piker_suite }}', 'on_piker'
        ): (content)
        for path, content in tree(ROOT / 'template').items()
        if not path.endswith('.jinja')
    }
    included = {
        path.replace('backend/', f'{package}/'): content
        for path, content in tree(ROOT / 'parts' / 'deribit').items()
    }
    return copied | included


def as_golden(now: dict[str, bytes], before: dict[str, bytes]) -> dict[str, str]:
    """A generated project as `golden/` has it, by relative path."""
    plain = plain_files('piker_deribit2')
    files: dict[str, str] = {}
    manifest = []
    for path, content in now.items():
        if content == plain.get(path):
            place = 'template'
        elif content == before.get(path):
            place = 'above'
        else:
            place = 'here'
            files[path] = content.decode()
        manifest.append(f'{place:<8} {path}\n')
    return {MANIFEST: ''.join(manifest), **files}


@pytest.mark.parametrize('client', SETS)
def test_generated_as_before(
    client: str, rendered: Render, request: pytest.FixtureRequest
) -> None:
    sets = [tree(rendered({'backend': 'deribit2', 'client': each})) for each in SETS]
    index = SETS.index(client)
    now = as_golden(sets[index], sets[index - 1] if index else {})
    folder = GOLDEN / client
    if request.config.getoption('--update-golden'):
        shutil.rmtree(folder, ignore_errors=True)
        for path, text in now.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    golden = {path: content.decode() for path, content in tree(folder).items()}
    assert now.keys() == golden.keys(), 'rewrite it with: pytest --update-golden'
    for path in golden:
        assert now[path] == golden[path], path


def test_nothing_else_is_golden() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {*SETS}


def test_no_file_is_stored_twice() -> None:
    """All that is here is needed: the template has it not, and no other set. Nor do the
    parts of one venue have what those of another have."""
    stored = [
        content
        for client in SETS
        for path, content in tree(GOLDEN / client).items()
        if path != MANIFEST
    ]
    assert len(stored) == len({*stored})
    assert not {*stored} & {*plain_files('piker_deribit2').values()}
    parts = [*tree(ROOT / 'parts').values()]
    assert len(parts) == len({*parts})
