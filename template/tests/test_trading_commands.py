"""
Trading from the command line, as a user types it.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from minipiker.clearing.cli import _order
from minipiker.clearing.testing import OpenLive, mk_account
from minipiker.cli import app
from minipiker.testing import open_process, run_minipiker, write_brokers_toml

pytestmark = pytest.mark.disturbs_venue


def run(*args: str, answer: str = '') -> subprocess.CompletedProcess[str]:
    """
    As `run_minipiker()`, but in this process, since another takes a second to start.
    """
    done = CliRunner().invoke(app, args, input=answer, catch_exceptions=False)
    return subprocess.CompletedProcess(args, done.exit_code, done.stdout, done.stderr)


def order(*args: str, answer: str = '') -> tuple[str, list[str]]:
    """
    Place an order. Returns its oid, and what happens to it.
    """
    return follow(run('order', *args, answer=answer))


def follow(done: subprocess.CompletedProcess[str]) -> tuple[str, list[str]]:
    assert (done.returncode, done.stderr) == (0, '')
    said = re.findall(r'^(\w+) (\S{36}|\S+ at \S+)$', done.stdout, re.MULTILINE)
    oid: str = said[0][1]
    assert {it for event, it in said if event != 'fill'} == {oid}
    return oid, [event for event, _ in said]


@pytest.mark.usefixtures('shared_pikerd')
def test_on_paper(broker: str) -> None:
    oid, events = order('buy', 'btcusdt', '0.1', '--price', '1000')
    assert events == ['pending', 'open']
    assert oid[:8] in run('orders').stdout
    # as another process, which is what it is for a user
    assert run_minipiker('cancel', oid[:8]).stdout == f'canceled {oid}\n'
    assert oid[:8] not in run('orders').stdout

    _, events = order('sell', 'btcusdt', '0.1')
    assert events == ['pending', 'open', 'fill', 'closed']
    assert f'btcusdt.spot.{broker}' in run('positions').stdout


@pytest.mark.usefixtures('shared_pikerd')
@pytest.mark.parametrize(
    ('command', 'reason'),
    [
        ('order buy btcusdt 0.1 --price 1000.01', 'multiple of 0.1'),
        ('order buy nosuch 0.1', 'no market goes by'),
        ('cancel 0', '0 open orders begin with'),
        ('orders --live', 'no credentials: set'),
        ('order buy btcusdt 0.1 --live --yes', 'no credentials: set'),
    ],
)
def test_what_goes_wrong_is_one_line(command: str, reason: str) -> None:
    done = run(*command.split())
    assert done.returncode == 1
    assert re.fullmatch(r'error: .+\n', done.stderr), done.stderr
    assert reason in done.stderr


@pytest.fixture
def _live_venue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """
    One that we have credentials for.
    """
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    with open_process('simvenue', '--until-eof') as (_, url):
        write_brokers_toml(tmp_path / 'minipiker', url=url, **mk_account())
        yield


def test_two_accounts(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    broker: str,
) -> None:
    """
    One of them is to be named; the books of both are kept, whichever traded.
    """
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    keys = {'one': {'secret': 'secret1'}, 'two': {'secret': 'secret2'}}
    monkeypatch.setenv('SIMVENUE_ACCOUNTS', json.dumps(keys))
    ledgers = tmp_path / 'minipiker' / 'accounting' / 'ledgers'
    with open_process('simvenue', '--until-eof') as (_, url):
        write_brokers_toml(
            tmp_path / 'minipiker',
            url=url,
            accounts={'main': 'main', 'other': 'other'},
            main={'api_key': 'one', 'api_secret': 'secret1'},
            other={'api_key': 'two', 'api_secret': 'secret2'},
        )
        with open_process('minipiker', 'pikerd', '--until-eof', '-l', 'error'):
            args = ('buy', 'btcusdt', '0.1', '--live', '--yes')
            for unclear in ((), ('--account', 'mian')):
                refused = run('order', *args, *unclear)
                assert refused.returncode == 1
                assert refused.stderr == (
                    'error: which account? type --account, and one of '
                    f'{broker}.main, {broker}.other\n'
                )
            _, events = order(*args, '--account', 'other')
            assert events[-2:] == ['fill', 'closed']
            assert f'{broker}.other' in run('positions', '--live').stdout
        for file in ledgers.iterdir():
            file.unlink()
        assert f'{broker}.other' in run_minipiker('positions', '--live').stdout
    other, main = (ledgers / f'trades_{broker}_{it}.toml' for it in ('other', 'main'))
    assert len(tomllib.loads(other.read_text())) == 1
    assert not (main.exists() and tomllib.loads(main.read_text()))


@pytest.fixture
def _live_pikerd(_live_venue: None) -> Iterator[None]:
    with open_process('minipiker', 'pikerd', '--until-eof', '-l', 'error'):
        yield


@pytest.mark.usefixtures('_live_venue')
def test_live_orders_outlast_the_tree_that_placed_them() -> None:
    """
    Each command boots a tree of its own, whose brokerd has to find them.
    """
    args = ('buy', 'btcusdt', '0.1', '--price', '1000', '--live', '--yes')
    oid, events = follow(run_minipiker('order', *args))
    assert events == ['pending', 'open']
    assert oid[:8] in run_minipiker('orders', '--live').stdout
    canceled = run_minipiker('cancel', oid, '--live')
    assert (canceled.stdout, canceled.stderr) == (f'canceled {oid}\n', '')


@pytest.mark.usefixtures('_live_pikerd')
def test_live_asks_once(broker: str) -> None:
    args = ('buy', 'btcusdt', '0.1', '--price', '1000', '--live')
    refused = run('order', *args, answer='n\n')
    assert refused.returncode == 1
    assert refused.stdout.startswith('buy 0.1 btcusdt at 1000.0? [y/N]: ')
    assert 'Aborted' in refused.stderr

    oid, events = order(*args, answer='y\n')
    assert events == ['pending', 'open']
    listed = run('orders', '--live').stdout
    assert oid[:8] in listed
    assert listed.count(f'{broker}.main'[:4]) == 1
    assert run('cancel', oid, '--live').stdout == f'canceled {oid}\n'

    # and on paper there is nothing of all this
    assert oid[:8] not in run('orders').stdout


async def test_an_order_opens_one_feed(open_live: OpenLive) -> None:
    """
    The command's own, while it lasts: emsd watches no market for an order that the
    broker has.
    """
    async with open_live() as live:
        market = live.market
        price, size = market.price(0.7), market.size(10)
        await _order('buy', market.fqme, size, price, False, True, None)

        emsd, datad = (
            psutil.Process(live.services.service_tasks[name].process.pid)
            for name in ('emsd', f'datad.{market.mkt.broker}')
        )
        served = {it.laddr for it in datad.net_connections() if not it.raddr}
        assert served
        assert not served & {it.raddr for it in emsd.net_connections()}
