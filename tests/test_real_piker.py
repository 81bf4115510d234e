"""A generated backend inside a real `pikerd`.

`PIKER_NEW_PIKER` is a git checkout of piker, which is only read, and
`PIKER_NEW_PIKER_PYTHON` a Python that has that checkout installed, pytest, and what
the two clients need: trio-websocket; websockets and trio-asyncio; and httpx.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from conftest import MakeProject, git, outside, run_piker_new, tree
from split_piker import split_piker

from piker_new.questions import questions

PIKER = os.environ.get('PIKER_NEW_PIKER', '')
PYTHON = os.environ.get('PIKER_NEW_PIKER_PYTHON', '')

pytestmark = pytest.mark.skipif(
    not (PIKER and PYTHON),
    reason='PIKER_NEW_PIKER and PIKER_NEW_PIKER_PYTHON name no piker to run on',
)


@pytest.fixture(
    scope='module',
    params=[
        ('--client', client, '--protocol', protocol)
        for protocol in questions()['protocol'].choices or ()
        for client in questions()['client'].choices or ()
    ],
    ids=' '.join,
)
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    chosen: tuple[str, ...] = request.param
    return chosen


@pytest.fixture(scope='module')
def project(options: tuple[str, ...], make_project: MakeProject) -> Path:
    return make_project(*options)


@pytest.fixture
def venue(project: Path) -> Iterator[dict[str, str]]:
    """A simulated venue, as the suite on piker is told of it."""
    with subprocess.Popen(
        [project / '.venv' / 'bin' / 'python', '-m', 'simvenue', '--until-eof'],
        cwd=project,
        env=outside(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            url, controls = (process.stdout.readline().strip() for _ in range(2))
            with urlopen(f'{controls}/markets') as reply:
                symbol = json.load(reply)[0]['name']
            yield {'DERIBIT2_URL': url, 'DERIBIT2_SYMBOL': symbol}
        finally:
            process.terminate()


def clone(folder: Path) -> Path:
    subprocess.run(['git', 'clone', '-q', PIKER, folder], check=True)
    return folder


def run(command: list[str | Path], **options: Any) -> None:
    """Run a suite on piker, all of it."""
    ran = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert 'passed' in ran.stdout
    assert 'skipped' not in ran.stdout.lower()


@pytest.mark.parametrize('daemons', ['as they are', 'datad and brokerd'])
def test_in_the_tree(
    daemons: str, options: tuple[str, ...], venue: dict[str, str], tmp_path: Path
) -> None:
    checkout = clone(tmp_path / 'piker')
    if daemons == 'datad and brokerd':
        split_piker(checkout)
        git(checkout, 'add', '.')
        git(checkout, 'commit', '-qm', 'Split')
    made = run_piker_new('backend', 'deribit2', *options, '--into', checkout)
    assert made.returncode == 0, made.stderr

    # piker's own conftest is not in step with it on all versions
    suite = ['-q', '-p', 'no:cacheprovider', '--confcutdir=tests/deribit2']
    run(
        [PYTHON, '-m', 'pytest', *suite, 'tests/deribit2'],
        cwd=checkout,
        env={**outside(), 'PYTHONPATH': str(checkout), **venue},
    )


def test_the_split_is_one_that_pikers_own_backends_run_on(tmp_path: Path) -> None:
    """Those that say which modules either daemon enables, and those that do not."""
    checkout = clone(tmp_path / 'piker')
    split_piker(checkout)
    script = """
import trio

import piker.accounting.cli
from piker.brokers._daemon import broker_init, spawn_brokerd
from piker.data._daemon import datad_init
from piker.service import maybe_spawn_datad, spawn_datad

whole = {
    'binance': ['api', 'feed', 'broker'],
    'kraken': ['api', 'broker', 'feed', 'symbols'],
    'kucoin': [],
}
for init, submods in (
    (datad_init, {**whole, 'ib': ['feed', 'symbols']}),
    (broker_init, {**whole, 'ib': ['api', 'broker']}),
):
    for name, expected in submods.items():
        mod, kwargs, _ = init(name)
        assert kwargs['enable_modules'] == [
            init.__module__,
            mod.__name__,
            *(f'{mod.__name__}.{it}' for it in expected),
        ]

try:
    trio.run(spawn_brokerd, 'kucoin')
except RuntimeError as refusal:
    assert 'cannot trade' in str(refusal)
else:
    raise AssertionError
"""
    env = {**outside(), 'PYTHONPATH': str(checkout), 'XDG_CONFIG_HOME': str(tmp_path)}
    subprocess.run([PYTHON, '-c', script], env=env, check=True)


def test_adopted(options: tuple[str, ...], project: Path, tmp_path: Path) -> None:
    """A project that has not grown yet comes to the same as --into."""
    made, adopted = clone(tmp_path / 'made'), clone(tmp_path / 'adopted')
    for checkout, command in (
        (made, ['backend', 'deribit2', *options]),
        (adopted, ['adopt', str(project)]),
    ):
        done = run_piker_new(*command, '--into', checkout)
        assert done.returncode == 0, done.stderr
    for place in ('piker', 'tests', 'config'):
        assert tree(made / place) == tree(adopted / place)


def test_types_beside_piker(project: Path) -> None:
    """A project uses those of a piker that can be imported."""
    script = """
import piker_deribit2._piker as seam
from piker.accounting import MktPair
from piker.clearing._messages import BrokerdFill

assert seam.MktPair is MktPair
assert seam.BrokerdFill is BrokerdFill
"""
    env = {**outside(), 'PYTHONPATH': f'{PIKER}:{project}'}
    subprocess.run([PYTHON, '-c', script], env=env, check=True)


def test_as_a_project(project: Path) -> None:
    run(
        [project / '.venv' / 'bin' / 'pytest', f'--piker={PYTHON}'],
        cwd=project,
        env=outside(),
    )
