"""
Market data of a generated backend, against the bare actor runtime.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

Row = tuple[str, str, float]
"""What was measured, its yardstick, and how many times that it took."""


def rows(project: Path, python: str, protocol: str) -> list[Row]:
    """
    Measure in the generated `project`, which is changed by it, with an interpreter
    that has its dependencies.
    """
    for source, name in (
        ('bare', 'bare'),
        ('feed', 'feed'),
        (f'wire_{protocol}', 'wire'),
    ):
        shutil.copy(HERE / 'in_project' / f'{source}.py', project / f'bench_{name}.py')
    boot = _run(project, python, 'boot_bare', 'boot_feed', 'boot_large')

    # from here on, the backend streams as fast as it can
    (package,) = project.glob('piker_*')
    with (package / '__init__.py').open('a') as file:
        file.write('\nfrom bench_feed import stream_quotes  # noqa\n')
    rate = _run(project, python, 'rate_bare', 'rate_feed')
    return [
        (
            'boot to the first quote',
            'an actor with a socket',
            boot['boot_feed'] / boot['boot_bare'],
        ),
        (
            'boot to the first quote, of 2000 instruments',
            'the same, of 20',
            boot['boot_large'] / boot['boot_feed'],
        ),
        (
            'a quote through datad',
            'a message of a bare stream',
            rate['rate_feed'] / rate['rate_bare'],
        ),
    ]


def _run(project: Path, python: str, *names: str) -> dict[str, float]:
    done = subprocess.run(
        # not as a script: each actor would import that, too
        [python, '-c', f'import bench_feed; bench_feed.main(*{names})'],
        cwd=project,
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


if __name__ == '__main__':
    for row in rows(Path(sys.argv[1]), *sys.argv[2:]):
        print(*row, sep='\t')
