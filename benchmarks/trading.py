"""
Orders through a generated backend, against a bare round trip of the actor runtime and
one to the venue, over a bare socket or by HTTP; and against the same order through bare
actors, as many as the topology calls for.

    python benchmarks/trading.py PROJECT PYTHON PROTOCOL [HISTORY]

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


def rows(project: Path, python: str, protocol: str, history: int = 0) -> list[Row]:
    """
    Measure in the generated `project`, with an interpreter that has its dependencies.
    """
    for source, name in (
        ('bare', 'bare'),
        ('trading', 'trading'),
        (f'wire_{protocol}', 'wire'),
    ):
        shutil.copy(HERE / 'in_project' / f'{source}.py', project / f'bench_{name}.py')
    done = subprocess.run(
        # not as a script: each actor would import that, too
        [python, '-c', f'import bench_trading; bench_trading.main(200, {history})'],
        cwd=project,
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    through = 'the same through bare actors'
    table: list[Row] = []
    for in_flight in (1, 100):
        for name in ('ack', 'fill'):
            what, key = f'order to {name}, {in_flight} in flight', f'{name}_{in_flight}'
            for way, took in measured['round_trips_median'].items():
                both = f'a bare actor and a bare {way} round trip'
                took *= in_flight
                table.append((f'{what}, per order', both, measured[key] / took))
            if bare := measured.get(f'bare_{key}'):
                table.append((f'{what}, per order', through, measured[key] / bare))
            if in_flight > 1:
                continue
            for way, took in measured['round_trips_p99'].items():
                both = f'a bare actor and a bare {way} round trip'
                # of what else the machine does, on a busy one
                slow = measured[f'{key}_p99'] / took
                table.append((f'{what}, 99th percentile', both, slow))
    for daemon, growth in measured.get('growth', {}).items():
        what = f'memory of {daemon} after {history} orders'
        table.append((what, f'after {history // 10}', growth))
    return table


if __name__ == '__main__':
    project, python, protocol, *history = sys.argv[1:]
    for row in rows(Path(project), python, protocol, *map(int, history)):
        print('{:<50} {:<45} {:8.2f}'.format(*row))
