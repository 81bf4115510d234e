"""End to end: the suite of a generated project, in an environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import MakeProject, Render, outside

from piker_new.questions import questions

FITTING = 'at this venue|only root'
"""Why a test of a generated suite may be left out: what it is about is not there."""
MAIN_PYTHON = 'PIKER_NEW_TRACTOR_MAIN_PYTHON'

# What hangs is ended by the suite itself, test by test. All of it takes two minutes
# where nothing else runs, and ten are not enough where much does.
pytestmark = pytest.mark.timeout(3600)


def assert_green(command: list[str | Path], project: Path, folder: Path) -> None:
    """
    It passes, and leaves nothing behind in the `folder` of pytest's temporary files,
    which a later session would have to remove.
    """
    env = outside() | {'PYTEST_DEBUG_TEMPROOT': str(folder)}
    done = subprocess.run(
        command, cwd=project, env=env, capture_output=True, text=True, check=False
    )
    print(done.stdout[-4000:], done.stderr[-4000:])
    assert done.returncode == 0
    closing = done.stdout.strip().splitlines()[-1]
    assert re.search(r'\d+ passed', closing)
    assert not re.search('failed|error|warning', closing)
    skipped = re.findall(r'^\d+ x (.+)$', done.stdout, re.MULTILINE)
    assert bool(skipped) == ('skipped' in closing)
    assert not [reason for reason in skipped if not re.search(FITTING, reason)]
    assert not [*folder.glob('*/pytest-*')]


# every answer with every other one, if not with all of them at once
OPTIONS = [
    (),
    ('--client', 'asyncio', '--protocol', 'rest'),
    ('--client', 'asyncio', '--no-trading'),
]


@pytest.mark.parametrize('options', OPTIONS, ids=' '.join)
def test_on_the_release_of_tractor(
    options: tuple[str, ...], make_project: MakeProject, uv: str, tmp_path: Path
) -> None:
    """What the README of the project says to type first."""
    assert_green([uv, 'run', '-q', 'pytest'], make_project(*options), tmp_path)


@pytest.mark.skipif(
    MAIN_PYTHON not in os.environ,
    reason=f"{MAIN_PYTHON} names no Python that has tractor's main branch",
)
@pytest.mark.parametrize('client', questions()['client'].choices)
@pytest.mark.parametrize('protocol', questions()['protocol'].choices)
def test_on_the_main_branch_of_tractor(
    client: str, protocol: str, rendered: Render, tmp_path: Path
) -> None:
    chosen = {'client': client, 'protocol': protocol, 'tractor': 'main'}
    answers = {'backend': 'deribit2', **chosen}
    project = shutil.copytree(rendered(answers), tmp_path / 'deribit2')
    folder = tmp_path / 'temporary'
    folder.mkdir()
    assert_green([os.environ[MAIN_PYTHON], '-m', 'pytest'], project, folder)
