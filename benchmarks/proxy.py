"""
Calls of a client on asyncio from trio, against a round trip over the bare channel that
the actor runtime has between the two loops.

    python benchmarks/proxy.py PROJECT PYTHON [CALLS]

`PROJECT` has `client: asyncio`; its `PYTHON` also has trio-asyncio and anyio, for
comparison. With `CALLS`, such as 1000000, also the memory after so many of them, as a
multiple of that after a tenth.
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

WAYS = {
    'proxy': 'the method proxy',
    'trio_asyncio': 'trio-asyncio',
    'portal': "anyio's portal",
}
WHAT = {
    'answer': 'that answers at once',
    'wait_a_turn': 'that waits for a turn of its loop',
    '100': 'of 1 ms by 100 callers',
}


def rows(project: Path, python: str, calls: int = 0) -> list[Row]:
    """
    Measure in the generated `project`, with an interpreter that has its dependencies.
    """
    shutil.copy(HERE / 'in_project' / 'proxy.py', project / 'bench_proxy.py')
    done = subprocess.run(
        [python, '-Wignore', '-c', f'import bench_proxy; bench_proxy.main({calls})'],
        cwd=project,
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    table: list[Row] = [
        (
            f'{name}: a method {kind}',
            'a round trip over the bare channel',
            measured[f'{way}_{what}'] / measured['raw_answer'],
        )
        for way, name in WAYS.items()
        for what, kind in WHAT.items()
    ]
    if calls:
        first, rest = calls // 10, calls - calls // 10
        growth = measured[f'memory_{rest}'] / measured[f'memory_{first}']
        table.append((f'memory after {calls} calls', f'after {first}', growth))
    return table


if __name__ == '__main__':
    project, python, *calls = sys.argv[1:]
    for row in rows(Path(project), python, *map(int, calls)):
        print('{:<60} {:<36} {:8.2f}'.format(*row))
