"""Names of backends: what is refused, how, and what is suggested instead."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT, run_piker_new
from hypothesis import given
from hypothesis import strategies as st

from piker_new.questions import questions
from piker_new.refusal import Refusal

NAME = questions()['backend']

REFUSED = {
    # keywords, the standard library, piker
    'class': 'keyword',
    'match': 'keyword',
    'json': 'standard library',
    'annotationlib': 'standard library',
    'binance': 'piker.brokers',
    'ib': 'piker.brokers',
    'data': 'piker.brokers',
    'datad': 'name of piker',
    'paper': 'name of piker',
    'simvenue': 'generated project',
    # tokens: piker cuts `.sp` out of `.spot`
    'spot': 'venue',
    'perp': 'venue',
    'sp': 'venue',
    'x': 'venue',
    'jsonrpc': 'protocol',
    # the shape
    '': 'lowercase Python identifier',
    'Deribit2': 'lowercase Python identifier',
    'my-venue': 'lowercase Python identifier',
    'my venue': 'lowercase Python identifier',
    '2deribit': 'lowercase Python identifier',
    '_private': 'lowercase Python identifier',
    'trailing_': 'lowercase Python identifier',
    'two__marks': 'lowercase Python identifier',
    'börse': 'lowercase Python identifier',
    'der\u0131bit': 'lowercase Python identifier',
    '\ufb01x2': 'lowercase Python identifier',
    '../up': 'lowercase Python identifier',
    '/etc/passwd': 'lowercase Python identifier',
    'a/b': 'lowercase Python identifier',
    '.': 'lowercase Python identifier',
    'nul\x00': 'lowercase Python identifier',
    'line\nbreak': 'lowercase Python identifier',
    '\x1b[31mred': 'lowercase Python identifier',
    '{{ 7 * 7 }}': 'lowercase Python identifier',
    'a' * 21: 'too long',
}


def refusal(name: str) -> str | None:
    try:
        NAME.parse(name)
    except Refusal as refused:
        return str(refused)
    return None


@pytest.mark.parametrize('name', REFUSED, ids=ascii)
def test_refused(name: str) -> None:
    lines = refusal(name)
    assert lines is not None
    assert REFUSED[name] in lines


@pytest.mark.parametrize('name', ['ab', 'deribit2', 'my_venue', 'x2', 'a' * 20])
def test_accepted(name: str) -> None:
    assert refusal(name) is None


@pytest.mark.parametrize(
    ('name', 'instead'),
    [
        ('my-venue', 'my_venue'),
        ('Bitstamp', 'bitstamp'),
        ('2deribit', 'deribit2'),
        ('binance', 'binance2'),
        ('../../up', 'up'),
    ],
)
def test_suggests(name: str, instead: str) -> None:
    assert f"help: try '{instead}'" in (refusal(name) or '')


@given(
    st.text(max_size=60)
    | st.text('abz09_-. /', max_size=30)
    | st.sampled_from(sorted(REFUSED)).flatmap(
        lambda name: st.sampled_from([name, name.upper(), name[:-1], f'{name}_'])
    )
)
def test_a_refusal_is_three_printable_lines_with_a_name_that_will_do(name: str) -> None:
    lines = refusal(name)
    if lines is None:
        assert re.fullmatch('[a-z][a-z0-9]*(_[a-z0-9]+)*', name)
        assert name.isidentifier()
        assert 2 <= len(name) <= 20
        return
    what, note, instead = lines.split('\n')
    assert all(line.isprintable() for line in (what, note, instead))
    assert note.startswith('note: ')
    suggested = re.fullmatch("help: try '(.+)'", instead)
    assert suggested
    assert refusal(suggested[1]) is None


@given(st.text(max_size=30))
def test_free_text_fits_between_the_quotes_of_toml(text: str) -> None:
    try:
        questions()['author'].parse(text)
    except Refusal:
        return
    assert tomllib.loads(f'author = "{text}"') == {'author': text}


def test_both_commands_refuse_alike(tmp_path: Path) -> None:
    ours = run_piker_new('backend', 'my-venue', cwd=tmp_path)
    copy = [sys.executable, '-m', 'copier', 'copy', '--vcs-ref', 'HEAD', '--defaults']
    theirs = subprocess.run(
        [*copy, '-d', 'backend=my-venue', ROOT, tmp_path / 'made'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ours.returncode == 2
    assert theirs.returncode != 0
    assert ours.stderr.removeprefix('error: ') in theirs.stderr
    assert not list(tmp_path.iterdir())
