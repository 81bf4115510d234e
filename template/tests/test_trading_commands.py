"""
Trading from the command line, as a user types it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from minipiker.clearing.testing import mk_account
from minipiker.testing import open_process, run_minipiker, write_brokers_toml

pytestmark = pytest.mark.disturbs_venue


def order(*args: str, answer: str = '') -> tuple[str, list[str]]:
    """
    Place an order. Returns its oid, and what happens to it.
    """
    done = run_minipiker('order', *args, answer=answer)
    assert (done.returncode, done.stderr) == (0, '')
    said = re.findall(r'^(?:.*: )?(\w+) (\S{36}|.* at .*)$', done.stdout, re.MULTILINE)
    oid: str = said[0][1]
    assert {it for event, it in said if event != 'fill'} == {oid}
    return oid, [event for event, _ in said]


@pytest.mark.usefixtures('shared_pikerd')
def test_on_paper(broker: str) -> None:
    oid, events = order('buy', 'btcusdt', '0.1', '--price', '1000')
    assert events == ['pending', 'open']
    assert oid[:8] in run_minipiker('orders').stdout
    assert run_minipiker('cancel', oid[:8]).stdout == f'canceled {oid}\n'
    assert oid[:8] not in run_minipiker('orders').stdout

    _, events = order('sell', 'btcusdt', '0.1')
    assert events == ['pending', 'open', 'fill', 'closed']
    assert f'btcusdt.spot.{broker}' in run_minipiker('positions').stdout


@pytest.mark.usefixtures('shared_pikerd')
@pytest.mark.parametrize(
    ('command', 'reason'),
    [
        ('order buy btcusdt 0.1 --price 1000.01', 'multiple of 0.1'),
        ('order buy nosuchmarket 0.1', 'SymbolNotFound'),
        ('cancel 0', '0 open orders begin with'),
        ('orders --live', 'no credentials: set'),
        ('order buy btcusdt 0.1 --live --yes', 'no credentials: set'),
    ],
)
def test_what_goes_wrong_is_one_line(command: str, reason: str) -> None:
    done = run_minipiker(*command.split())
    assert done.returncode == 1
    assert re.fullmatch(r'error: .+\n', done.stderr), done.stderr
    assert reason in done.stderr


@pytest.fixture
def _live_pikerd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """
    One with credentials.
    """
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    with open_process('simvenue', '--until-eof') as (_, url):
        write_brokers_toml(tmp_path / 'minipiker', url=url, **mk_account())
        with open_process('minipiker', 'pikerd', '--until-eof', '-l', 'error'):
            yield


@pytest.mark.usefixtures('_live_pikerd')
def test_live_asks_once(broker: str) -> None:
    args = ('buy', 'btcusdt', '0.1', '--price', '1000', '--live')
    refused = run_minipiker('order', *args, answer='n\n')
    assert refused.returncode == 1
    assert refused.stdout.startswith('buy 0.1 btcusdt at 1000.0? [y/N]: ')
    assert 'Aborted' in refused.stderr

    oid, events = order(*args, answer='y\n')
    assert events == ['pending', 'open']
    listed = run_minipiker('orders', '--live').stdout
    assert oid[:8] in listed
    assert listed.count(f'{broker}.main'[:4]) == 1
    assert run_minipiker('cancel', oid, '--live').stdout == f'canceled {oid}\n'

    # and on paper there is nothing of all this
    assert oid[:8] not in run_minipiker('orders').stdout
