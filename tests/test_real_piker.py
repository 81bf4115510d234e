"""A generated backend inside a real `pikerd`.

`PIKER_NEW_PIKER` is a git checkout of piker, which is only read, and
`PIKER_NEW_PIKER_PYTHON` a Python that has all that piker needs, pytest and
trio-websocket.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import outside, run_piker_new

PIKER = os.environ.get('PIKER_NEW_PIKER', '')
PYTHON = os.environ.get('PIKER_NEW_PIKER_PYTHON', '')

pytestmark = pytest.mark.skipif(
    not (PIKER and PYTHON),
    reason='PIKER_NEW_PIKER and PIKER_NEW_PIKER_PYTHON name no piker to run on',
)


@pytest.fixture(scope='module')
def venue(project: Path) -> Iterator[str]:
    """The URL of a simulated venue."""
    with subprocess.Popen(
        [project / '.venv' / 'bin' / 'python', '-m', 'simvenue'],
        cwd=project,
        env=outside(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.mark.parametrize('how', ['backend', 'adopt'])
def test_the_suite_on_piker(
    how: str, venue: str, project: Path, tmp_path: Path
) -> None:
    checkout = tmp_path / 'piker'
    subprocess.run(['git', 'clone', '-q', PIKER, checkout], check=True)
    what = 'deribit2' if how == 'backend' else project
    made = run_piker_new(how, what, '--into', checkout)
    assert made.returncode == 0, made.stderr
    # piker's own conftest is not in step with it on all versions
    suite = ['-q', '--noconftest', '-p', 'no:cacheprovider', 'tests/test_deribit2.py']
    ran = subprocess.run(
        [PYTHON, '-m', 'pytest', *suite],
        cwd=checkout,
        env={**outside(), 'PYTHONPATH': str(checkout), 'DERIBIT2_URL': venue},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert 'skipped' not in ran.stdout
