"""A backend in a checkout of piker: what is written there, all of it or nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from resource import RLIMIT_FSIZE, setrlimit

import pytest
from checkouts import CONFIG, visible
from conftest import (
    Answers,
    combinations,
    copy_template,
    git,
    run_piker_new,
    spell,
    tree,
)

from piker_new.piker_tree import add_broker, add_section
from piker_new.refusal import Refusal

STANZA = """\


[deribit2]
url = ''

accounts.main = 'main'
main.api_key = ''
main.api_secret = ''
"""


def test_backend_into_a_checkout(checkout: Path) -> None:
    before = visible(checkout)
    made = run_piker_new('backend', 'deribit2', '--into', checkout)
    assert (made.returncode, made.stderr) == (0, '')
    after = visible(checkout)
    new = {path for path in after if path not in before}
    assert {str(Path(path).parent) for path in new} == {
        'piker/brokers/deribit2',
        'tests/deribit2',
    }
    assert {path for path in before if after[path] != before[path]} == {
        'config/brokers.toml',
        'piker/brokers/__init__.py',
    }
    diff = git(checkout, 'diff', '-U0').splitlines()
    assert [line for line in diff if line.startswith('-') and line[1:2] != '-'] == []
    assert "+    'deribit2'," in diff
    assert '+[deribit2]' in diff

    again = run_piker_new('backend', 'deribit2', '--into', checkout)
    assert again.returncode == 0
    assert 'nothing was changed' in again.stdout
    assert visible(checkout) == after

    git(checkout, 'checkout', '.')
    git(checkout, 'clean', '-fdq')
    assert visible(checkout) == before


@pytest.mark.parametrize('answers', list(combinations('in-tree')), ids=spell)
def test_same_bytes_as_copier_copy(
    answers: Answers, checkout: Path, tmp_path: Path
) -> None:
    """What copier leaves to be done by hand is all that differs."""
    source = copy_template(tmp_path / 'source')
    data = [f'--data={name}={answer}' for name, answer in answers.items()]
    copy = [sys.executable, '-m', 'copier', 'copy', '--defaults', *data]
    theirs = tmp_path / 'theirs'
    copied = subprocess.run(
        [*copy, source, theirs], capture_output=True, text=True, check=True
    )
    assert {path.name for path in theirs.iterdir()} == {'piker', 'tests'}
    said = copied.stdout + copied.stderr
    assert "    'deribit2',\n" in said
    section = STANZA if answers['trading'] else STANZA.partition('\naccounts')[0]
    assert textwrap.indent(section.strip('\n'), ' ' * 4) in said

    options = [
        f'--data={name}={answer}'
        for name, answer in answers.items()
        if name not in {'backend', 'layout'}
    ]
    made = run_piker_new('backend', 'deribit2', '--into', checkout, *options)
    assert made.returncode == 0, made.stderr
    ours = visible(checkout)
    assert tree(theirs).items() <= ours.items()

    # and with it what is left is not by hand
    git(checkout, 'checkout', '.')
    git(checkout, 'clean', '-fdq')
    shutil.copytree(theirs, checkout, dirs_exist_ok=True)
    made = run_piker_new('backend', 'deribit2', '--into', checkout, *options)
    assert made.returncode == 0, made.stderr
    assert visible(checkout) == ours

    ruff = [sys.executable, '-m', 'ruff']
    style = ['--isolated', '--config', 'format.quote-style = "single"']
    style += ['--config', 'lint.select = ["B", "E", "F", "I", "UP", "W"]']
    for command in (['check'], ['format', '--check', '--diff']):
        linted = subprocess.run(
            [*ruff, *command, *style, *tree(theirs)],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert linted.returncode == 0, linted.stdout + linted.stderr
    for path, content in tree(theirs).items():
        text = content.decode()
        assert 'minipiker' not in text, path
        assert 'simvenue' not in text, path


def test_all_or_nothing(checkout: Path) -> None:
    """A file cannot be written: everything is as it was."""
    config = checkout / 'config' / 'brokers.toml'
    config.write_text(CONFIG + '# long\n' * 100_000)
    git(checkout, 'commit', '-qam', 'A long file')
    before = visible(checkout)
    refused = run_piker_new(
        'backend',
        'deribit2',
        '--into',
        checkout,
        preexec_fn=lambda: setrlimit(RLIMIT_FSIZE, (500_000, 500_000)),
    )
    assert refused.returncode == 1
    assert 'cannot read or write' in refused.stderr
    assert visible(checkout) == before
    assert git(checkout, 'status', '--porcelain') == ''


@pytest.mark.parametrize('folder', ['tmp', 'piker checkout/piker/brokers/deribit2'])
def test_a_signal_in_the_middle(folder: str, checkout: Path, tmp_path: Path) -> None:
    """While it is rendered, and while it is written: all or nothing."""
    before = visible(checkout)
    (tmp_path / 'tmp').mkdir()
    command = ['backend', 'deribit2', '--into', str(checkout)]
    with subprocess.Popen(
        [sys.executable, '-m', 'piker_new', *command],
        env={**os.environ, 'TMPDIR': str(tmp_path / 'tmp')},
        stdout=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and not any((tmp_path / folder).glob('*')):
            pass
        process.send_signal(signal.SIGINT)
    assert process.returncode in {0, 128 + signal.SIGINT}
    assert list((tmp_path / 'tmp').iterdir()) == []
    if process.returncode:
        assert visible(checkout) == before
    else:  # the signal came after the decision
        assert 'nothing was changed' in run_piker_new(*command).stdout


@pytest.mark.parametrize(
    ('source', 'name', 'expected'),
    [
        ("__brokers__ = ['a', 'c']\n", 'b', "__brokers__ = ['a', 'b', 'c']\n"),
        ("__brokers__ = ['a', 'c',]\n", 'd', "__brokers__ = ['a', 'c', 'd',]\n"),
        ('__brokers__: list[str] = []\n', 'b', "__brokers__: list[str] = ['b']\n"),
        (
            "__brokers__ = [\n    'a',  # first\n    'c'\n\n    # old\n]\n",
            'd',
            "__brokers__ = [\n    'a',  # first\n    'c',\n    'd'\n\n    # old\n]\n",
        ),
        (
            "__brokers__ = [\n    'a',  # first\n    'c',\n]\n",
            'b',
            "__brokers__ = [\n    'a',  # first\n    'b',\n    'c',\n]\n",
        ),
    ],
)
def test_a_name_takes_its_place_in_the_list(
    source: str, name: str, expected: str
) -> None:
    assert add_broker(source, name) == expected
    assert add_broker(expected, name) == expected


def test_a_module_without_the_list_is_refused() -> None:
    with pytest.raises(Refusal, match='no list'):
        add_broker('__brokers__ = get_brokers()\n', 'b')


def test_a_section_is_added_below_the_others() -> None:
    after = add_section(CONFIG, 'deribit2')
    assert after.startswith(CONFIG)
    assert tomllib.loads(after)['deribit2'] == {'url': ''}
    assert add_section(after, 'deribit2') == after
    assert add_section('', 'deribit2', trading=True) == STANZA
