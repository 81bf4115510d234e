"""The command `piker-new split`: the patch it prints, and what it leaves to a human."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import pytest
from conftest import Render, git, outside, run_piker_new
from split_piker import split_piker

from piker_new.check.engine import check
from piker_new.check.find import load
from piker_new.check.rules import RULES

PIKER = os.environ.get('PIKER_NEW_PIKER', '')
PYTHON = os.environ.get('PIKER_NEW_PIKER_PYTHON', '')

FILES = {
    '__init__.py': """\
'''A venue.'''
from .broker import norm_trade, open_trade_dialog
from .feed import get_client, get_mkt_info, open_history_client
from .feed import open_symbol_search, stream_quotes

# tractor RPC enable arg
__enable_modules__: list[str] = [
    'broker',
    'feed',
]
LIMIT = 3
""",
    'feed.py': """\
import tractor
known = {}
async def get_client(): ...
async def get_mkt_info(fqme):
    known[fqme] = 1
async def open_history_client(mkt): ...
async def stream_quotes(): ...
@tractor.context
async def open_symbol_search(ctx: tractor.Context): ...
""",
    'broker.py': """\
import tractor
from .feed import known
def norm_trade(): ...
@tractor.context
async def open_trade_dialog(ctx: tractor.Context):
    known['a']
""",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / 'venue'
    folder.mkdir()
    for name, source in FILES.items():
        (folder / name).write_text(source)
    git(tmp_path, 'init', '-q')
    return folder


def apply(patch: str, folder: Path) -> None:
    command = ['git', 'apply', '-']
    subprocess.run(command, input=patch, cwd=folder, text=True, check=True)


def test_the_patch_splits_it(package: Path) -> None:
    split = run_piker_new('split', 'venue', cwd=package.parent)
    assert split.returncode == 0
    apply(split.stdout, package.parent)
    assert (package / '__init__.py').read_text() == FILES['__init__.py'].replace(
        """\
__enable_modules__: list[str] = [
    'broker',
    'feed',
]
""",
        """\
_datad_mods: list[str] = ['feed']
_brokerd_mods: list[str] = ['broker']
__enable_modules__: list[str] = [*_datad_mods, *_brokerd_mods]
""",
    )
    rules = [rule for rule in RULES if rule.id.startswith('PK2')]
    assert check([load(package)], rules) == []

    again = run_piker_new('split', 'venue', cwd=package.parent)
    assert (again.returncode, again.stdout) == (0, '')
    assert 'nothing to patch' in again.stderr


def test_says_what_is_left_to_a_human(package: Path) -> None:
    split = run_piker_new('split', 'venue', cwd=package.parent)
    [hazard, help] = split.stderr.splitlines()
    assert hazard.startswith('venue/broker.py:6: PK401 known is read in brokerd')
    assert help.startswith('  help: ')


def test_modules_that_serve_both_are_told(package: Path) -> None:
    source = (package / 'feed.py').read_text()
    broker = FILES['broker.py'].replace('from .feed import known\n', '')
    (package / 'feed.py').write_text(source + broker)
    (package / 'broker.py').unlink()
    init = FILES['__init__.py'].replace('from .broker', 'from .feed')
    (package / '__init__.py').write_text(init)
    split = run_piker_new('split', 'venue', cwd=package.parent)
    assert "'feed' has contexts of both daemons" in split.stderr
    assert "+_brokerd_mods: list[str] = ['feed']" in split.stdout


def test_what_is_generated_is_split(rendered: Render) -> None:
    project = rendered({'backend': 'deribit2', 'trading': True})
    split = run_piker_new('split', project)
    assert (split.returncode, split.stdout) == (0, '')


@pytest.mark.parametrize(
    ('target', 'what'),
    [('single.py', 'is a single module'), ('.', 'has 2 backends'), ('x', 'no')],
)
def test_bad_input_is_refused(target: str, what: str, package: Path) -> None:
    (package.parent / 'single.py').write_text('async def get_client(): ...\n')
    refused = run_piker_new('split', target, cwd=package.parent)
    assert (refused.returncode, refused.stdout) == (2, '')
    error, note, help = refused.stderr.splitlines()
    assert what in error
    assert (note[:6], help[:6]) == ('note: ', 'help: ')


BOOT = """
import sys

import tractor
import trio

import piker.accounting.cli
from piker.brokers import get_brokermod
from piker.service import (
    maybe_open_pikerd,
    maybe_spawn_brokerd,
    maybe_spawn_datad,
)

name, *pairs = sys.argv[1:]


async def main():
    mod = get_brokermod(name)
    async with maybe_open_pikerd(registry_addrs=[('127.0.0.1', 6116)]):
        async with (
            maybe_spawn_datad(name) as datad,
            maybe_spawn_brokerd(name) as brokerd,
        ):
            for portal, other in (
                (datad, mod.open_trade_dialog),
                (brokerd, mod.open_symbol_search),
            ):
                try:
                    async with portal.open_context(other):
                        raise AssertionError(f'{portal} runs {other}')
                except tractor.RemoteActorError as error:
                    assert 'ModuleNotExposed' in str(error), error
            print('booted', flush=True)
            # its own teardown raises on some versions, which is not what is asked
            for portal in (datad, brokerd):
                await portal.cancel_actor()


try:
    trio.run(main)
except BaseException as error:
    print(repr(error), file=sys.stderr)
"""


@pytest.fixture
def registry() -> Iterator[None]:
    """piker's port is one for all: wait for it."""
    with Path(gettempdir(), 'piker-registry.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.skipif(
    not (PIKER and PYTHON),
    reason='PIKER_NEW_PIKER and PIKER_NEW_PIKER_PYTHON name no piker to run on',
)
@pytest.mark.usefixtures('registry')
def test_pikers_own_boot_when_they_are_split(tmp_path: Path) -> None:
    """Each daemon, and neither runs the endpoint of the other."""
    checkout = tmp_path / 'piker'
    subprocess.run(['git', 'clone', '-q', PIKER, checkout], check=True)
    split_piker(checkout)
    config = tmp_path / 'config' / 'piker'
    config.mkdir(parents=True)
    (config / 'conf.toml').touch()
    (tmp_path / 'boot.py').write_text(BOOT)
    env = {
        **outside(),
        'PYTHONPATH': str(checkout),
        'XDG_CONFIG_HOME': str(tmp_path / 'config'),
    }
    for name in ('kraken', 'binance', 'ib'):
        split = run_piker_new('split', f'piker/brokers/{name}', cwd=checkout)
        assert split.returncode == 0, split.stderr
        if name != 'ib':  # which says it already
            apply(split.stdout, checkout)
        booted = subprocess.run(
            [PYTHON, tmp_path / 'boot.py', name],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert booted.stdout.strip() == 'booted', booted.stdout + booted.stderr
