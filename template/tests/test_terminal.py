"""
What a venue says is text to a terminal, whatever it is made of.
"""

from __future__ import annotations

import logging
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
from rich.table import Table

from minipiker._terminal import cell, console, draw, plain
from minipiker.cli import _quotes_table
from minipiker.log import get_console_log
from minipiker.testing import Market, OpenSimVenue, open_process, run_minipiker
from simvenue.client import Controls

hostile = '\x1b]0;owned\x07\x1b[2j\r[/][link=http:x]:smile:\u202e\u2066\x9b2j\u200b'
"""Sets the title, clears the screen, overwrites the line; markup; turns text round."""
seen = r'\x1b]0;owned\x07\x1b[2j\r[/][link=http:x]:smile:\u202e\u2066\x9b2j\u200b'


def test_what_is_plain_stays_as_it_is() -> None:
    for text in ('BTC-USDT 60 000.0 é 日本 😀 \\', ''):
        assert plain(text) == text
    assert plain(hostile) == seen
    assert plain('a\nb\udc80') == r'a\nb\udc80'


class Hostile(NamedTuple):
    url: str
    name: str
    """Of its market, as the venue has it."""


@pytest.fixture
def venue(
    open_simvenue: OpenSimVenue,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Hostile]:
    """
    A venue that lists a hostile market, and says its name when it is asked for more.
    """
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    monkeypatch.setenv('COLUMNS', '300')

    async def list_hostile(controls_url: str) -> str:
        async with Controls(controls_url) as controls:
            markets = await controls.markets()
            like = next((it for it in markets if it.expiry), markets[0])
            name = f'{like.name}{hostile}'
            await controls.list_market(name, like=like.name)
            return name

    with open_process('simvenue', '--until-eof') as (process, url):
        assert process.stdout
        controls_url = process.stdout.readline().strip()
        yield Hostile(url, trio.run(list_hostile, controls_url))


def test_the_name_of_a_market(venue: Hostile) -> None:
    found = run_minipiker('search', 'owned', '--venue', venue.url)
    assert (found.returncode, found.stderr) == (0, '')
    assert is_harmless(found.stdout)
    assert seen in found.stdout

    args = (venue.name, '--count', '1', '--venue', venue.url)
    chart = run_minipiker('history', *args)
    assert (chart.returncode, chart.stderr) == (0, '')
    assert is_harmless(chart.stdout)
    assert r'\x1b]0;owned' in chart.stdout


def test_an_error(venue: Hostile) -> None:
    args = ('--timeframe=7', '--venue', venue.url)
    failed = run_minipiker('history', venue.name, *args)
    assert failed.returncode == 1
    assert re.fullmatch(r'error: .+\n', failed.stderr)
    unknown = run_minipiker('quotes', hostile, '--venue', venue.url)
    assert unknown.returncode == 1
    assert re.fullmatch(r'error: .+\n', unknown.stderr)
    assert seen in unknown.stderr
    assert is_harmless(failed.stderr + unknown.stderr)


def test_a_table_on_a_terminal(venue: Hostile) -> None:
    """
    Which is where there are colours, and links.
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, '-m', 'minipiker', 'quotes', venue.name, '--venue', venue.url],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, 'TERM': 'xterm-256color'},
    ) as process:
        os.close(theirs)
        shown, end = '', time.monotonic() + 60
        while seen not in shown:
            assert time.monotonic() < end, shown
            shown += os.read(ours, 10_000).decode(errors='replace')
        process.terminate()
        # read on to its end, or it may wait for ever for us to
        with suppress(OSError):
            while os.read(ours, 10_000):
                pass
        process.wait(timeout=60)
    os.close(ours)
    assert is_harmless(re.sub(r'\x1b\[[\d;?]*[A-Za-z]', '', shown))


@pytest.mark.parametrize('width', [0, 60, 80, 200])
def test_a_narrow_terminal(
    market: Market, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    # or as wide as a name and a price
    monkeypatch.setattr(console, '_width', width or len(market.fqme) + 20)
    quote = dict.fromkeys(('last', 'bid', 'ask'), market.last)
    row = {**quote, 'size': 1.0, 'bsize': 1.0, 'asize': 1.0, 'broker_ts': time.time()}
    with console.capture() as capture:
        console.print(_quotes_table({market.fqme: market.mkt}, {market.fqme: row}, 1))
    shown = capture.get()
    assert market.fqme in shown
    assert '…' not in shown
    if width in (0, 200):  # between them it depends on the name
        assert ('bid size' in shown, 'age' in shown) == (width == 200,) * 2


def test_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A row is a line, for a program to read.
    """
    monkeypatch.setattr(console, '_width', 40)
    table = Table('name', 'claim')
    table.add_row(cell('some name'), cell('what it is that is claimed of it ' * 9))
    draw(table)
    rows = [line for line in capsys.readouterr().out.splitlines() if 'claimed' in line]
    assert [row.count('claimed') for row in rows] == [9]


def test_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    log = get_console_log('warning', 'test')
    log.warning('the venue said: %s', hostile)
    logging.getLogger('some library').warning('it said: %s', hostile)
    err = capsys.readouterr().err
    assert is_harmless(err)


def is_harmless(shown: str) -> bool:
    return all(line == plain(line) for line in re.split(r'\r?\n', shown))
