"""Half an hour of faults, kills and restarts, cut down to a minute: what is lost?"""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT, MakeProject, outside


@pytest.mark.parametrize(
    'options',
    [(), ('--client', 'asyncio', '--protocol', 'rest')],
    ids=['jsonrpc-trio', 'rest-asyncio'],
)
def test_nothing_is_lost(options: tuple[str, ...], make_project: MakeProject) -> None:
    plan = (
        '--seconds=45 --rate=400 --fault-every=3 --kill-every=14 --restart-every=30 '
        '--sample-every=1'
    )
    project = make_project(*options)
    command = [sys.executable, '-m', 'benchmarks.soak', f'--project={project}']
    done = subprocess.run(
        [*command, *plan.split()],
        cwd=ROOT,
        env=outside(),
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr[-4000:])
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    for said in ('lost: 0', 'doubled: 0', 'wrong: 0', 'kills: 3', 'restarts: 1'):
        assert said in done.stdout.splitlines()
