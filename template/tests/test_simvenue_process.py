"""
The simulated venue's process: how it starts, and that it leaves nothing behind.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from minipiker.testing import open_process
from simvenue.__main__ import parse_options
from simvenue.client import SimVenueError
from simvenue.journal import Journal
from simvenue.process import open_simvenue


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_ends_quietly(signum: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, '-m', 'simvenue'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert '://127.0.0.1:' in process.stdout.readline()
        assert process.stdout.readline().startswith('http://127.0.0.1:')
        process.send_signal(signum)
        assert process.communicate(timeout=60) == ('', '')
    assert process.returncode == 0


def test_dies_with_its_parent() -> None:
    parent = """
import trio
from simvenue.process import open_simvenue

async def main():
    async with open_simvenue() as venue:
        print(venue.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""
    with subprocess.Popen(
        [sys.executable, '-c', parent], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        started = psutil.Process(process.pid).children(recursive=True)
        assert pid in {it.pid for it in started}
        process.kill()
    _, left = psutil.wait_procs(started, timeout=60)
    assert not left


async def test_one_ends_while_another_goes_on() -> None:
    async with open_simvenue(rate=0) as first, open_simvenue(rate=0) as second:
        process = psutil.Process(first.pid)
        await first.kill()
        process.wait(timeout=10)
        assert await second.markets()


async def test_says_why_it_does_not_start() -> None:
    with pytest.raises(SimVenueError, match=r'nowhere\.csv: No such file'):
        async with open_simvenue(trades='/nowhere.csv'):
            pass


@pytest.mark.parametrize(
    'option',
    [
        *('--port=99999', '--port=-1', '--rate=nan', '--rate=-1', '--speed=0'),
        *('--epoch=1', '--markets=-1', '--markets=999999999', '--request-burst=x'),
    ],
)
def test_an_option_that_is_none(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_options([option])
    name, _, value = option.partition('=')
    why = rf'argument {name}: {value!r} is not a (whole )?number from \S+ to \S+\n'
    assert re.search(why, capsys.readouterr().err)


@pytest.mark.parametrize('text', ['notes\nof mine', 'notes', '[["a", 1]]\nof mine\n'])
def test_a_state_that_is_none_is_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / 'notes'
    path.write_text(text)
    with pytest.raises(ValueError, match=f'{re.escape(str(path))} is not the state'):
        Journal(path)
    assert path.read_text() == text


@pytest.fixture
def url() -> Iterator[str]:
    with open_process('simvenue', '--until-eof') as (_, it):
        yield it


def test_says_that_its_port_is_taken(url: str) -> None:
    port = re.findall(r':(\d+)', url)[0]
    refused = subprocess.run(
        [sys.executable, '-m', 'simvenue', '--port', port],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (1, '')
    assert refused.stderr == f'simvenue: port {port}: Address already in use\n'


def test_a_signal_while_it_boots(tmp_path: Path) -> None:
    pipe = tmp_path / 'state'
    os.mkfifo(pipe)
    with (
        subprocess.Popen(
            [sys.executable, '-m', 'simvenue', f'--trades={pipe}'],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        pipe.open('w'),  # from here on it reads
    ):
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ('', '')
    assert process.returncode == 130


def test_ends_quietly_where_nobody_reads_its_url() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with subprocess.Popen(
        [sys.executable, '-m', 'simvenue'],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(write_end)
        _, stderr = process.communicate(timeout=60)
        assert stderr == ''
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere its ports are not kept')
async def test_a_dead_ones_ports_are_nobody_elses() -> None:
    async with open_simvenue(rate=0) as venue:
        urls = venue.url, venue.controls_url
        await venue.kill()
        for url in urls:
            port = urlsplit(url).port or 0
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(('127.0.0.1', port))
            with socket.socket() as other, pytest.raises(OSError, match='in use'):
                other.bind(('127.0.0.1', port))
        await venue.restart()
        assert (venue.url, venue.controls_url) == urls
        assert await venue.markets()
