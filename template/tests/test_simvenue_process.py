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
from urllib.parse import urlsplit

import psutil
import pytest

from minipiker.testing import open_process
from simvenue.client import SimVenueError
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
    assert re.fullmatch(r'simvenue: .*already in use\n', refused.stderr)


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
