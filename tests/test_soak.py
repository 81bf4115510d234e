"""Half an hour of faults, kills and restarts, cut down to a minute: what is lost?"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable

import pytest
from benchmarks.in_project import growth
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


LEAKS: dict[str, Callable[[float], float]] = {
    'none': lambda minute: 0,
    'a peak': lambda minute: 14 * (minute > 20),
    '1 KB in 1000 trades': lambda minute: 0.3 * minute,
    '200 KB for each daemon that is killed': lambda minute: 0.2 * int(minute),
    '0.7 MB for each restart of the venue': lambda minute: 0.7 * int(minute / 3),
}
"""MB after so many minutes, of the half hour that it takes."""


@pytest.mark.parametrize('leak', LEAKS)
def test_what_leaks_is_told_from_a_peak(leak: str) -> None:
    random.seed(leak)
    process = growth.Process('client', 1)
    for look in range(360):
        minute = look / 12
        warm = min(5, minute) + random.uniform(-1, 1)
        process.memory.append(int((80 + warm + LEAKS[leak](minute)) * 2**20))
        process.files.append(30)
    found = growth.measure(process, every=5)
    assert found
    problems = [*found.problems()]
    if leak in ('none', 'a peak'):
        assert not problems
    else:
        assert 'keeps growing' in problems[0]
