"""Half an hour of faults, kills and restarts, cut down to a minute: what is lost?"""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
from benchmarks.in_project import growth
from benchmarks.in_project.growth import Process
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
    '1 KB in 1000 trades': lambda minute: 0.3 * minute,
    '200 KB for each daemon that is killed': lambda minute: 0.2 * int(minute),
    '0.7 MB for each restart of the venue': lambda minute: 0.7 * int(minute / 3),
}
"""MB after so many minutes, of the half hour that it takes."""
KEPT: dict[str, Callable[[float], float]] = {
    'nothing': lambda minute: 0,
    'a peak': lambda minute: 14 * (minute > 20),
    'each peak that is higher': lambda minute: 4 * math.log(1 + minute),
}
"""MB that an allocator keeps although they are free."""


@pytest.mark.parametrize('kept', KEPT)
@pytest.mark.parametrize('leak', LEAKS)
def test_what_leaks_is_told_from_what_is_kept(leak: str, kept: str) -> None:
    random.seed(leak + kept)
    process = Process('client', 1)
    for look in range(360):
        minute = look / 12
        used = 40 + min(5, minute) + random.uniform(0, 1) + LEAKS[leak](minute)
        process.used.append(int(used * 2**20))
        process.memory.append(int((used + 25 + KEPT[kept](minute)) * 2**20))
        process.files.append(30)
    found = growth.measure([process], every=5)
    assert found
    problems = [*found.problems()]
    if leak == 'none':
        assert not problems
    else:
        assert 'keeps growing' in problems[0]


def live(looks: int, megabytes: Callable[[int], float]) -> Process:
    """
    The life of a daemon that cannot be asked what it has allocated.
    """
    sizes = [megabytes(look) + random.uniform(0, 1) for look in range(looks)]
    memory = [int(size * 2**20) for size in sizes]
    return Process('daemon', 1, memory, memory, [30] * looks)


def test_a_daemon_may_keep_one_peak() -> None:
    random.seed(0)
    found = growth.measure([live(360, lambda look: 50 + 14 * (look > 240))], every=5)
    assert found
    assert not [*found.problems()]


@pytest.mark.parametrize('leak', [0, 1], ids=['no leak', '40 bytes a trade'])
def test_a_daemon_leaks_in_each_of_its_lives(leak: float) -> None:
    """
    Two minutes each, that is 24 looks and 600 000 trades; in some an outage leaves 30
    MB. The first is shorter.
    """
    random.seed(leak)

    def grow(look: int, peak: float) -> float:
        return 50 + min(4, look / 3) + leak * look + peak * (look > 9)

    lives = [
        live(random.choice((22, 23, 24)), partial(grow, peak=30 * (life in (3, 7, 11))))
        for life in range(14)
    ]
    found = growth.measure([live(12, partial(grow, peak=0)), *lives], every=5)
    assert found
    assert found.lives == 15
    assert found.most > 80
    assert bool([*found.problems()]) == bool(leak)


def test_descriptors_leak_in_each_life() -> None:
    process = live(24, lambda look: 50)
    process.files = [*range(20, 44)]
    found = growth.measure([process] * 3, every=5)
    assert found
    assert 'its descriptors grew' in next(found.problems())


KEEPING = """
import growth

def make(count):
    return [{'price': i + 0.5, 'tick': [bytes(300), bytes(3000)]} for i in range(count)]

began = growth.allocated()
make(10_000)
garbage = make(1000)
garbage.append(garbage)
del garbage
after = growth.allocated()
kept = make(1000)
print(after - began, growth.allocated() - after)
"""


@pytest.mark.skipif(growth.allocated() is None, reason='only glibc tells')
def test_what_is_allocated_is_what_is_kept() -> None:
    done = subprocess.run(
        [sys.executable, '-c', KEEPING],
        cwd=ROOT / 'benchmarks' / 'in_project',
        env={**outside(), **growth.OWN_MALLOC},
        capture_output=True,
        text=True,
        check=True,
    )
    freed, kept = map(int, done.stdout.split())
    assert abs(freed) < 50_000
    assert 3_600_000 < kept < 4_400_000
