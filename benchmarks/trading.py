"""
Orders through a generated backend, against a bare round trip of the actor runtime and
one over a bare socket to the venue; and against the same order through bare actors, as
many as the topology calls for.

    python benchmarks/trading.py PROJECT PYTHON [HISTORY]

With `HISTORY`, such as 100000, also the memory that each daemon takes after so many
orders, as a multiple of that after a tenth of them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

Row = tuple[str, str, float]
"""What was measured, its yardstick, and how many times that it took."""


def rows(project: Path, python: str, history: int = 0) -> list[Row]:
    """
    Measure in the generated `project`, with an interpreter that has its dependencies.
    """
    shutil.copy(HERE / 'in_project' / 'trading.py', project / 'bench_trading.py')
    done = subprocess.run(
        # not as a script: each actor would import that, too
        [python, '-c', f'import bench_trading; bench_trading.main(200, {history})'],
        cwd=project,
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    # medians: a percentile is that of whatever else the machine does
    round_trips = measured['actor'] + measured['socket']
    table: list[Row] = [
        (f'order to {name}, {in_flight} in flight, per order', yardstick, took / bare)
        for in_flight in (1, 100)
        for name in ('ack', 'fill')
        for took in [measured[f'{name}_{in_flight}']]
        for yardstick, bare in (
            ('a bare actor and a bare socket round trip', round_trips * in_flight),
            ('the same through bare actors', measured[f'bare_{name}_{in_flight}']),
        )
    ]
    for daemon, growth in measured.get('growth', {}).items():
        what = f'memory of {daemon} after {history} orders'
        table.append((what, f'after {history // 10}', growth))
    return table


if __name__ == '__main__':
    project, python, *history = sys.argv[1:]
    for row in rows(Path(project), python, *map(int, history)):
        print('{:<50} {:<45} {:8.2f}'.format(*row))
