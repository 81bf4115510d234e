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
from minipiker.clearing.live import Secrets
from minipiker.clearing.testing import OpenLive
from minipiker.cli import app
from minipiker.testing import (
    Market,
    Venue,
    open_process,
    run_minipiker,
    write_brokers_toml,
)


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


def buy(market: Market, fqme: str, times: float, *options: str) -> tuple[str, ...]:
    """
    The arguments of `order` for the smallest one at so many times the market's price.
    """
    price = str(market.price(times))
    return 'buy', fqme, str(market.size(1)), '--price', price, *options


def test_on_paper(market: Market, fqme: str) -> None:
    oid, events = order(*buy(market, fqme, 0.5))
    assert events == ['pending', 'open']
    assert oid[:8] in run('orders').stdout
    # as another process, which is what it is for a user
    assert run_minipiker('cancel', oid[:8]).stdout == f'canceled {oid}\n'
    assert oid[:8] not in run('orders').stdout

    _, events = order('sell', fqme, str(market.size(100)))
    assert events == ['pending', 'open', 'fill', 'closed']
    assert market.fqme in run('positions').stdout


@pytest.mark.parametrize(
    ('command', 'reason'),
    [
        ('order buy {fqme} {size} --price {off_tick}', 'multiple of'),
        ('order buy nosuch {size}', 'no market goes by'),
        ('order buy {fqme} 0', 'an order of 0.0 cannot be placed: type a size above 0'),
        ('order buy {fqme} nan --live', 'an order of nan cannot be placed: type a'),
        ('order sell {fqme} -1.5', 'error: -1.5 is negative, and a size has no'),
        ('order buy {fqme} -.5 --dark', 'type order buy {fqme} 0.5, or order sell'),
        ('cancel 0', '0 open orders begin with'),
        ('orders --live', 'no credentials: set'),
        ('order buy {fqme} {size} --live --yes', 'no credentials: set'),
    ],
)
def test_what_goes_wrong_is_one_line(
    market: Market,
    fqme: str,
    command: str,
    reason: str,
) -> None:
    off_tick = market.price(0.5) + float(market.mkt.price_tick) / 4
    args = command.format(fqme=fqme, size=market.size(1), off_tick=off_tick)
    done = run(*args.split())
    assert done.returncode == 1
    assert re.fullmatch(r'error: .+\n', done.stderr), done.stderr
    assert reason.format(fqme=fqme) in done.stderr


@pytest.mark.parametrize('command', ['buy x 1 --prise 2', 'buy x 1 -2', 'buy x -2 -z'])
def test_what_is_no_option_is_refused(command: str) -> None:
    done = run('order', *command.split())
    assert (done.returncode, done.stdout) == (2, '')


@pytest.fixture
def _account(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    session_venue: Venue,
    credentials: Secrets,
) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    write_brokers_toml(tmp_path / 'minipiker', url=session_venue.url)
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures('open_simvenue')
def test_two_accounts(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    market: Market,
    fqme: str,
    broker: str,
) -> None:
    """
    One of them is to be named; the books of both are kept, whichever traded.
    """
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    keys = {'one': {'secret': 'secret01'}, 'two': {'secret': 'secret02'}}
    monkeypatch.setenv('SIMVENUE_ACCOUNTS', json.dumps(keys))
    ledgers = tmp_path / 'minipiker' / 'accounting' / 'ledgers'
    with open_process('simvenue', '--until-eof') as (_, url):
        write_brokers_toml(
            tmp_path / 'minipiker',
            url=url,
            accounts={'main': 'main', 'other': 'other'},
            main={'api_key': 'one', 'api_secret': 'secret01'},
            other={'api_key': 'two', 'api_secret': 'secret02'},
        )
        with open_process('minipiker', 'pikerd', '--until-eof', '-l', 'error'):
            args = ('buy', fqme, str(market.size(100)), '--live', '--yes')
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
    assert len(tomllib.loads(other.read_text())) == events.count('fill')
    assert not (main.exists() and tomllib.loads(main.read_text()))


@pytest.fixture
def _live_pikerd(_account: None) -> Iterator[None]:
    with open_process('minipiker', 'pikerd', '--until-eof', '-l', 'error'):
        yield


@pytest.mark.usefixtures('_account')
@pytest.mark.case('EXEC-FOUND-ORDERS')
def test_live_orders_outlast_the_tree_that_placed_them(
    market: Market,
    fqme: str,
) -> None:
    """
    Each command boots a tree of its own, whose brokerd has to find them.
    """
    args = buy(market, fqme, 0.7, '--live', '--yes')
    oid, events = follow(run_minipiker('order', *args))
    assert events == ['pending', 'open']
    assert oid[:8] in run_minipiker('orders', '--live').stdout
    canceled = run_minipiker('cancel', oid, '--live')
    assert (canceled.stdout, canceled.stderr) == (f'canceled {oid}\n', '')


@pytest.mark.usefixtures('_live_pikerd')
def test_live_asks_once(market: Market, fqme: str, broker: str) -> None:
    args = buy(market, fqme, 0.7, '--live')
    refused = run('order', *args, answer='n\n')
    assert refused.returncode == 1
    size, price = market.size(1), market.price(0.7)
    assert refused.stdout.startswith(f'buy {size} {fqme} at {price}? [y/N]: ')
    assert 'Aborted' in refused.stderr

    oid, events = order(*args, answer='y\n')
    assert events == ['pending', 'open']
    listed = run('orders', '--live').stdout
    assert oid[:8] in listed
    assert f'{broker}.main'[:4] in listed
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
