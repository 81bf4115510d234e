"""The command `piker-new check`: what it takes, what it prints, how it exits."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Answers, Render, combinations, run_piker_new, spell

from piker_new.check.engine import check
from piker_new.check.find import find_backends
from piker_new.check.formats import as_table
from piker_new.check.linters import Linters
from piker_new.check.rules import RULES
from piker_new.piker_tree import add_backend
from piker_new.questions import Answer, questions

BACKEND = """\
async def get_client(key): ...
async def get_mkt_info(fqme): ...
async def stream_quotes(**_): ...
async def open_symbol_search(ctx): ...
async def open_history_client(mkt):
    raise DataUnavailable
"""
PIKER = os.environ.get('PIKER_NEW_PIKER', '')
QUIET = ['--ignore', 'ASYNC,PK1']


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    path = tmp_path / 'venue.py'
    path.write_text(BACKEND)
    return path


@pytest.mark.parametrize('answers', [*combinations()], ids=spell)
def test_nothing_is_found_in_what_is_generated(
    answers: Answers, rendered: Render
) -> None:
    [backend] = find_backends([str(rendered(answers))])
    assert check([backend], RULES) == []
    assert len(backend.functions) > 50
    assert backend.graph.reached('datad')
    assert bool(backend.graph.reached('brokerd')) == answers['trading']


@pytest.mark.parametrize('protocol', questions()['protocol'].choices)
def test_linters_find_nothing_either(protocol: str, rendered: Render) -> None:
    chosen: Answers = {'client': 'asyncio', 'protocol': protocol, 'trading': True}
    project = rendered({'backend': 'deribit2', **chosen})
    checked = run_piker_new('check', project)
    assert (checked.returncode, checked.stderr) == (0, '')
    assert checked.stdout.splitlines()[-1] == '0 errors, 0 warnings in 1 backend'


def test_findings_of_linters_stand_among_the_others(tmp_path: Path) -> None:
    path = tmp_path / 'venue.py'
    path.write_text(
        'import time\n'
        'import trio\n'
        'async def get_client():\n'
        '    time.sleep(1)\n'  # ruff's and flake8-async's, once
        '    raise DataUnavailable\n'
        'async def close(it):\n'
        '    try: ...\n'
        '    finally:\n'
        '        await trio.sleep(1)\n'  # flake8-async's alone
    )
    checked = run_piker_new('check', path, '--select', 'ASYNC,PK7', '--format', 'json')
    rows = [(row['line'], row['id'], row['why']) for row in json.loads(checked.stdout)]
    assert [row[:2] for row in rows] == [
        (4, 'ASYNC251'),
        (5, 'PK722'),
        (9, 'ASYNC102'),
    ]
    assert rows[-1][2] == 'flake8-async says so.'


def test_a_linter_that_fails_is_told(tmp_path: Path) -> None:
    with Linters([tmp_path / 'nowhere.py']) as linters:
        assert [*linters.read()] == []
    assert 'flake8-async failed; run it by itself to see why' in linters.notes


def test_says_which_linters_are_not_there(backend: Path, tmp_path: Path) -> None:
    """Beside a Python that has none, and a path that has none."""
    python = tmp_path / 'bin' / 'python'
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    code = (
        f'import sys; sys.path[:0] = {sys.path!r}; sys.executable = {str(python)!r}\n'
        'from piker_new.check.command import run; run(sys.argv[1:])'
    )
    checked = subprocess.run(
        [sys.executable, '-c', code, str(backend)],
        env={'PATH': ''},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [it for it in checked.stdout.splitlines() if 'not installed' in it] == [
        'note: ruff is not installed; its rules were not run',
        'note: flake8-async is not installed; its rules were not run',
    ]


def test_answers_without_heavy_imports(backend: Path) -> None:
    code = """
import sys
from piker_new.__main__ import main
try:
    main()
finally:
    print(*sys.modules)
"""
    checked = subprocess.run(
        [sys.executable, '-c', code, 'check', str(backend)],
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = {*checked.stdout.splitlines()[-1].split()}
    assert 'piker_new.check.engine' in loaded
    assert not {'typer', 'yaml', 'jinja2', 'copier', 'rich', 'libcst'} & loaded


@pytest.mark.skipif(not PIKER, reason='PIKER_NEW_PIKER names no piker')
def test_all_of_pikers_own_take_less_than_a_second() -> None:
    """Of processor time, the start included: others may be at work here."""
    command = [sys.executable, '-m', 'piker_new', 'check', '--ignore', 'ASYNC']
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    checked = subprocess.run([*command, PIKER], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert b'in 7 backends' in checked.stdout
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert spent < 1


def test_does_not_import_what_it_checks(tmp_path: Path) -> None:
    package = tmp_path / 'venue'
    package.mkdir()
    (package / '__init__.py').write_text(f'{BACKEND}\nopen("imported", "w")\n')
    for target in ('venue', 'venue/__init__.py', 'venue/', '.'):
        checked = run_piker_new('check', target, *QUIET, cwd=tmp_path)
        assert 'venue/__init__.py:6:5: PK722' in checked.stdout, target
    assert {it.name for it in tmp_path.iterdir()} == {'venue'}
    assert {it.name for it in package.iterdir()} == {'__init__.py'}


def test_finds_a_module_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / 'piker' / 'brokers' / 'venue.py'
    path.parent.mkdir(parents=True)
    path.write_text(BACKEND)
    (path.parent / '__init__.py').touch()
    (path.parent / 'core.py').write_text('from . import stream_quotes')
    for target in ('piker.brokers.venue', 'piker.brokers', 'piker/brokers', '.'):
        checked = run_piker_new('check', target, *QUIET, cwd=tmp_path)
        assert checked.stdout.endswith('1 error, 0 warnings in 1 backend\n'), target


def test_text_says_where_what_why_and_what_instead(backend: Path) -> None:
    checked = run_piker_new('check', backend.name, *QUIET, cwd=backend.parent)
    assert checked.returncode == 1
    where, why, help, _, total = checked.stdout.splitlines()[:5]
    assert where == 'venue.py:6:5: PK722 DataUnavailable without a reason'
    assert re.fullmatch(r'  why:  [A-Za-z].+\.', why)
    assert re.fullmatch(r'  help: .+', help)
    assert total == '1 error, 0 warnings in 1 backend'


def test_other_formats(backend: Path) -> None:
    def formatted(name: str) -> str:
        command = ['check', backend.name, *QUIET, '--format', name]
        checked = run_piker_new(*command, cwd=backend.parent)
        assert checked.returncode == 1
        return checked.stdout

    [row] = json.loads(formatted('json'))
    assert (row['path'], row['line'], row['column']) == ('venue.py', 6, 5)
    assert (row['id'], row['level']) == ('PK722', 'error')

    assert formatted('github').startswith(
        '::error file=venue.py,line=6,col=5,title=PK722::DataUnavailable without'
    )

    [run] = json.loads(formatted('sarif'))['runs']
    [result] = run['results']
    rules = {it['id'] for it in run['tool']['driver']['rules']}
    assert result['ruleId'] in rules
    assert result['locations'][0]['physicalLocation']['region']['startLine'] == 6


def test_warnings_alone_are_no_failure(tmp_path: Path) -> None:
    (tmp_path / 'venue.py').write_text('async def trades_dialogue(ctx): ...')
    checked = run_piker_new('check', 'venue.py', '--select', 'PK103', cwd=tmp_path)
    assert checked.stdout.splitlines()[-1] == '0 errors, 1 warning in 1 backend'
    assert checked.returncode == 0


def test_chooses_rules_by_the_command_line_or_the_project(backend: Path) -> None:
    def ids(*options: str) -> set[str]:
        command = ['check', 'venue.py', '--format', 'json', *options]
        checked = run_piker_new(*command, cwd=backend.parent)
        return {row['id'] for row in json.loads(checked.stdout)}

    assert ids() == {'PK112', 'PK111', 'PK114', 'PK722'}
    assert ids('--select', 'PK11', '--ignore', 'PK111,PK114') == {'PK112'}
    (backend.parent / 'pyproject.toml').write_text(
        "[tool.piker-new.check]\nselect = ['PK7', 'PK112']\nignore = ['PK112']\n"
    )
    assert ids() == {'PK722'}
    assert ids('--ignore', '') == {'PK112', 'PK722'}


def test_lists_and_explains() -> None:
    listed = run_piker_new('check', '--list').stdout
    assert listed == as_table()
    assert len(listed.splitlines()) == len(RULES)
    for rule in RULES:
        explained = run_piker_new('check', '--explain', rule.id).stdout
        for text in (rule.title, rule.why, rule.help, rule.source):
            assert text in explained
        break


@pytest.mark.parametrize(
    ('arguments', 'what'),
    [
        (['nowhere/at/all'], "there is no 'nowhere/at/all'"),
        (['piker.brokers.nowhere'], 'there is no path and no module'),
        (['plain.py'], 'is not a backend'),
        (['empty'], 'is not a backend'),
        (['notes.txt'], 'is no Python'),
        (['broken.py'], 'is no Python that can be read'),
        (['latin.py'], 'cannot read'),
        (['venue.py', '--select', 'PK1,X2'], "there is no rule 'X2'"),
        (['--explain', 'PK1'], "there is no rule 'PK1'"),
        (['of_mine'], "has no 'selct'"),
    ],
)
def test_bad_input_is_refused_in_three_lines(
    arguments: list[str], what: str, backend: Path
) -> None:
    folder = backend.parent
    (folder / 'empty').mkdir()
    (folder / 'of_mine').mkdir()
    (folder / 'of_mine' / '__init__.py').write_text(BACKEND)
    (folder / 'of_mine' / 'pyproject.toml').write_text(
        "[tool.piker-new.check]\nselct = ['PK1']\n"
    )
    (folder / 'plain.py').write_text('x = 1\n')
    (folder / 'notes.txt').write_text('stream_quotes\n')
    (folder / 'broken.py').write_text('async def stream_quotes(:\n')
    (folder / 'latin.py').write_bytes(b"stream_quotes = '\xe9'\n")
    refused = run_piker_new('check', *arguments, cwd=folder)
    assert (refused.returncode, refused.stdout) == (2, '')
    error, note, help = refused.stderr.splitlines()
    assert what in error
    assert error.startswith('error: ')
    assert note.startswith('note: ')
    assert help.startswith('help: ')


def test_bad_usage_exits_with_2() -> None:
    refused = run_piker_new('check', '--nonsense')
    assert refused.returncode == 2
    assert refused.stderr.startswith('usage: piker-new check')


def test_the_document_lists_the_rules() -> None:
    text = (ROOT / 'docs' / 'check.md').read_text()
    assert f'## The rules\n\n```text\n{as_table()}```\n' in text


@pytest.mark.parametrize(
    'answers',
    [it for it in combinations('in-tree') if it['tractor'] == 'release'],
    ids=spell,
)
def test_nothing_is_found_in_the_tree_either(
    answers: dict[str, Answer], checkout: Path
) -> None:
    """But for names that only a whole piker has."""
    assert add_backend(answers, checkout)
    [backend] = find_backends([str(checkout / 'piker' / 'brokers' / 'deribit2')])
    assert backend.dotted == 'piker.brokers.deribit2'
    assert check([backend], [rule for rule in RULES if rule.id != 'PK802']) == []
