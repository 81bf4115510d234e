"""The module that `--wrap` writes: its layout, its types, and calls through it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, outside
from sdks import SDKS

pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning')

ACTOR = """
import tractor
import trio
from minipiker._tractor import root_kwargs
from minipiker.service._registry import free_addr
from nasty_sdk import Client, Signal
from piker_nasty.sdk import EventRelay, open_sdk
from tractor.to_asyncio import run_as_asyncio_guest


class Event(Signal):
    def connect(self, listener):
        self.emit = listener


class Nice(Client):
    ticked = Event()

    def __init__(self):
        self.traded = Event()
        self.said = []

    def later(self):
        import asyncio

        return asyncio.sleep(0.01, 5)

    def maybe(self, now):
        return 6 if now else self.later()

    def add_trade_callback(self, callback):
        self.call_back = callback

    async def stars(self, *a, b=-1):
        self.traded.emit(*a)
        self.call_back(b)

    def disconnect(self):
        self.said.append('closed')


async def main():
    with free_addr() as addr:
        await call(root_kwargs(addr))


async def call(kwargs):
    async with tractor.open_root_actor(loglevel='critical', **kwargs) as actor:
        actor._infected_aio = True
        client, events = Nice(), EventRelay()
        with trio.fail_after(30), events.subscribe() as stream:
            async with open_sdk(client, events) as proxy:
                assert await proxy.later() == 5
                assert await proxy.maybe(False) == 5
                assert await proxy.maybe(True) == 6
                await proxy.stars(1, 2, b=3)
                assert await stream.receive() == ('traded', (1, 2))
                assert await stream.receive() == ('add_trade_callback', (3,))
                proxy.sdk.ticked.emit()
                assert await stream.receive() == ('ticked', ())
    print('called, traded, ticked,', *client.said)


run_as_asyncio_guest(main)
"""


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, '-m', *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_is_laid_out_and_typed(written: Path) -> None:
    style = ('--config', str(ROOT / 'pyproject.toml'))
    written_here = sorted(map(str, written.glob('*/sdk.py')))
    assert run('ruff', 'check', *style, *written_here, cwd=written) == (
        'All checks passed!\n'
    )
    assert run('ruff', 'format', *style, '--check', *written_here, cwd=written) == (
        f'{len(SDKS)} files already formatted\n'
    )


def test_calls_are_checked(written: Path) -> None:
    (written / 'calls.py').write_text(
        """\
from ib_async import IB, Contract
from piker_ib._proxy import EventRelay
from piker_ib.sdk import Event, open_sdk


async def call(sdk: IB, events: EventRelay[Event]) -> None:
    async with open_sdk(sdk, events) as proxy:
        (await proxy.reqPositionsAsync())[0].minTick
        await proxy.reqContractDetailsAsync('AAPL')
        await proxy.reqContractDetailsAsync(Contract(), wrong=1)
        await proxy.requestContractDetailsAsync(Contract())
        reveal_type(await proxy.reqContractDetailsAsync(Contract()))
        reveal_type(proxy.sdk.isConnected())
"""
    )
    checked = run(
        'mypy',
        '--strict',
        '--follow-imports=silent',
        '--ignore-missing-imports',
        '--no-error-summary',
        'calls.py',
        *(f'piker_{name}/sdk.py' for name in SDKS),
        cwd=written,
    )
    said = [line for line in checked.splitlines() if 'defined in' not in line]
    assert said == [
        'calls.py:8: error: "Position" has no attribute "minTick"  [attr-defined]',
        'calls.py:9: error: Argument 1 to "reqContractDetailsAsync" of "IBMethods" has'
        ' incompatible type "str"; expected "Contract"  [arg-type]',
        'calls.py:10: error: Unexpected keyword argument "wrong" for'
        ' "reqContractDetailsAsync" of "IBMethods"  [call-arg]',
        'calls.py:11: error: "IBMethods" has no attribute'
        ' "requestContractDetailsAsync"; maybe "reqContractDetailsAsync"?'
        '  [attr-defined]',
        'calls.py:12: note: Revealed type is "list[ib_async.contract.ContractDetails]"',
        'calls.py:13: note: Revealed type is "bool"',
    ]


def test_calls_and_events_pass(written: Path, project: Path) -> None:
    """In an actor, between the two loops, with a client that is there."""
    package = written / 'piker_nasty'
    shutil.copy(project / 'piker_deribit2' / '_piker.py', package)
    (written / 'actor.py').write_text(ACTOR)
    done = subprocess.run(
        [project / '.venv' / 'bin' / 'python', '-W', 'ignore', 'actor.py'],
        cwd=written,
        env={**outside(), 'PYTHONPATH': str(project)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ('called, traded, ticked, closed\n', '')
