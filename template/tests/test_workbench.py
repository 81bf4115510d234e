"""
The command line, as a user types it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from minipiker import config, live
from minipiker.brokers.testing import shadow_piker
from minipiker.cli import _print_trades
from minipiker.config import ConfigurationError
from minipiker.processes import children
from minipiker.testing import Market, OpenSimVenue, Venue, open_process, run_minipiker


@pytest.fixture
def _own_tree(
    open_simvenue: OpenSimVenue,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """
    A command boots a tree, and a venue, of its own. Else it joins that of the session.
    """
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))


@pytest.mark.usefixtures('shared_pikerd')
def test_quotes(fqme: str, broker: str) -> None:
    done = run_minipiker('quotes', fqme, '--count', '5')
    assert (done.returncode, done.stderr) == (0, '')
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    for line in lines:
        assert re.fullmatch(
            rf'\d{{4}}-\d\d-\d\dT\S+ \S+\.{broker} \d+(\.\d+)? \d+(\.\d+)?',
            line,
        )


async def test_what_is_printed_is_what_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    However many trades are in a quote, be it none.
    """
    bid = {'type': 'bid', 'price': 1.0, 'size': 2.0}
    trade = {'type': 'trade', 'price': 1.0, 'size': 2.0, 'time': 0.0}

    async def stream() -> AsyncIterator[dict[str, Any]]:
        for ticks in ([bid], [trade], [bid], [trade, trade], [trade]):
            yield {'btcusdt.x': {'ticks': ticks}}

    feed: Any = stream()
    await _print_trades(feed, 2)
    line = '1970-01-01T00:00:00+00:00 btcusdt.x 1.0 2.0\n'
    assert capsys.readouterr().out == 2 * line


def test_search(market: Market) -> None:
    done = run_minipiker('search', market.mkt.bs_fqme.upper())
    assert (done.returncode, done.stderr) == (0, '')
    assert market.fqme in done.stdout.split()

    nothing = run_minipiker('search', 'no such thing')
    assert nothing.returncode == 1
    assert nothing.stderr.startswith('error: no market matches')


@pytest.mark.usefixtures('shared_pikerd')
def test_history_draws_a_chart(fqme: str) -> None:
    done = run_minipiker('history', fqme, '--count', '60')
    assert (done.returncode, done.stderr) == (0, '')
    assert f'{fqme}, 60 bars of 60 s' in done.stdout
    assert done.stdout.count('\n') > 10


def test_more_history_than_can_be_drawn() -> None:
    done = run_minipiker('history', 'x', '--count', '10000000')
    assert (done.returncode, done.stdout) == (2, '')
    assert "'--count'" in done.stderr
    assert '10000 ' in done.stderr


@pytest.mark.usefixtures('_own_tree')
def test_tree(broker: str) -> None:
    done = run_minipiker('tree')
    assert (done.returncode, done.stderr) == (0, '')
    pids = re.findall(r'(pikerd|datad|samplerd)\S* pid (\d+)', done.stdout)
    assert [name for name, _ in pids] == ['pikerd', 'datad', 'samplerd']
    assert len({pid for _, pid in pids}) == 3
    assert f'piker_{broker}._symbols' in done.stdout


@pytest.mark.usefixtures('shared_pikerd')
def test_what_goes_wrong_is_one_line(fqme: str) -> None:
    for args in (
        ('quotes', 'nosuchmarket'),
        ('history', fqme, '--timeframe', '7'),
    ):
        done = run_minipiker(*args)
        assert done.returncode == 1
        assert re.fullmatch(r'error: .+\n', done.stderr), done.stderr
        assert 'Traceback' not in done.stderr


@pytest.mark.usefixtures('_own_tree')
def test_a_command_ends_with_the_pikerd_that_it_joined(fqme: str) -> None:
    with (
        open_process('minipiker', 'pikerd', '-l', 'error') as (pikerd, _),
        subprocess.Popen(
            [sys.executable, '-m', 'minipiker', 'quotes', fqme],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as joined,
    ):
        assert joined.stdout
        assert joined.stdout.readline()
        pikerd.send_signal(signal.SIGINT)
        _, stderr = joined.communicate(timeout=60)
        assert joined.returncode == 1
        assert re.fullmatch(r'error: .+ (died|was ended)\n', stderr), stderr
        assert pikerd.wait(timeout=60) == 130


@pytest.mark.usefixtures('_own_tree')
def test_pikerd_is_killed_as_a_command_takes_its_leave(fqme: str) -> None:
    """
    There is nothing more to tell whoever has pressed Ctrl-C.
    """
    with (
        open_process('minipiker', 'pikerd', '--until-eof', '-l', 'error') as (root, _),
        subprocess.Popen(
            [sys.executable, '-m', 'minipiker', 'quotes', fqme],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as joined,
    ):
        assert joined.stdout
        assert joined.stdout.readline()

        def connections() -> set[int]:
            with suppress(psutil.Error):  # it has just ended
                process = psutil.Process(joined.pid)
                return {it.laddr.port for it in process.net_connections()}
            return set()

        daemons = psutil.Process(root.pid).children(recursive=True)
        root.send_signal(signal.SIGSTOP)
        before = connections()
        joined.send_signal(signal.SIGINT)
        # it tries for half a second, which can be missed on a busy machine
        while joined.poll() is None and connections() <= before:
            pass
        root.kill()
        _, stderr = joined.communicate(timeout=60)
        assert (joined.returncode, stderr) == (130, '')
    # those who miss it end by themselves
    _, alive = psutil.wait_procs(daemons, timeout=60)
    assert not alive


@pytest.mark.usefixtures('shared_pikerd')
@pytest.mark.parametrize('command', ['quotes {}', 'search {}', 'tree'])
def test_who_reads_its_output_has_enough(session_venue: Venue, command: str) -> None:
    args = command.format(session_venue.symbol).split()
    with subprocess.Popen(
        [sys.executable, '-m', 'minipiker', *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        if command.startswith('quotes'):
            assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ''
        assert process.wait(timeout=60) == 128 + signal.SIGPIPE


@pytest.mark.usefixtures('_own_tree')
def test_too_few_files() -> None:
    command = 'ulimit -n 16; exec "$0" -m minipiker tree'
    done = subprocess.run(
        ['sh', '-c', command, sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r'error: 16 open files are too few: .+\n', done.stderr)


@pytest.mark.usefixtures('_own_tree')
@pytest.mark.parametrize(
    ('signum', 'group'),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGHUP, True)],
    ids=['terminal', 'kill', 'hangup'],
)
@pytest.mark.parametrize('booting', [True, False], ids=['booting', 'streaming'])
def test_ctrl_c_ends_it_quietly(
    fqme: str,
    booting: bool,
    signum: int,
    group: bool,
) -> None:
    """
    A terminal signals every process of the tree, `kill` just the root.
    """
    with subprocess.Popen(
        [sys.executable, '-m', 'minipiker', 'quotes', fqme],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        if booting:
            while len(children(process.pid)) < 2:  # venue and datad
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=0.01)
        else:
            assert process.stdout
            process.stdout.readline()
        if group:
            os.killpg(process.pid, signum)
        else:
            process.send_signal(signum)
        # the promise is 2 s, on an idle machine
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (128 + signum, '')


def test_no_venue_to_run_the_suite_on(session_venue: Venue) -> None:
    """
    No traceback: it may be down, or the URL be mistyped.
    """
    nobody = urlsplit(session_venue.url)._replace(netloc='127.0.0.1:1').geturl()
    for url in ('nonsense', nobody):
        options = {'--venue': url}
        option = SimpleNamespace(collectonly=False)
        config = SimpleNamespace(getoption=options.get, option=option)
        session: Any = SimpleNamespace(config=config)
        with pytest.raises(pytest.UsageError, match=re.escape(url)):
            live.pytest_sessionstart(session)


@pytest.mark.parametrize('python', ['/nowhere', '/bin/true', sys.executable])
def test_no_piker_to_run_the_suite_on(python: str, tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match=f'{re.escape(python)} is no Python'):
        shadow_piker(python, tmp_path)


@pytest.mark.parametrize('text', [b'nope', b'\xff'])
def test_a_configuration_that_is_none(
    text: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    path = config.get_conf_path()
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(ConfigurationError, match=re.escape(f'{path} is not valid')):
        config.load()


def test_a_section_that_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broker: str
) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    monkeypatch.delenv(f'{broker.upper()}_URL', raising=False)
    path = config.get_conf_path()
    path.parent.mkdir()
    path.write_text(f'{broker} = 3')
    done = run_minipiker('search', 'btc')
    assert (done.returncode, done.stdout) == (1, '')
    assert re.fullmatch(r'error: .* is no section: .*\n', done.stderr)
