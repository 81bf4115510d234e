"""
Trades through a generated backend, against a bare socket and against ccxt.

    python benchmarks/trades.py PROJECT PYTHON PROTOCOL [CCXT]

`CCXT` is the Python of an environment of its own that has ccxt.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

Row = tuple[str, str, float]
"""What was measured, its yardstick, and how many times as much it was."""


def rows(
    project: Path, python: str, protocol: str, ccxt: str | None = None
) -> list[Row]:
    """
    Measure in the generated `project`, with an interpreter that has its dependencies,
    and maybe with one that has ccxt.
    """
    for name in ('bare', 'flood', 'trades'):
        shutil.copy(HERE / 'in_project' / f'{name}.py', project / f'bench_{name}.py')
    copy_wire(project, protocol)
    other = (ccxt, str(HERE / 'in_ccxt.py')) if ccxt else ()
    done = subprocess.run(
        # not as a script: each actor would import that, too
        [python, '-c', f'import bench_trades; bench_trades.main(*{other})'],
        cwd=project,
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, dict[str, float]] = json.loads(done.stdout)
    return [
        (f'trades a second, {each} a message: {what}', yardstick, it[way] / it[than])
        for each, it in measured.items()
        for what, way, yardstick, than in (
            *(
                ('decoded', 'decode', f'{library} and msgspec alone', library)
                for library in ('trio-websocket', 'websockets')
            ),
            ('at a client of datad', 'feed', "ccxt.pro's watch_trades()", 'other'),
        )
        if than in it
    ]


def copy_wire(project: Path, protocol: str) -> None:
    """
    What the benchmarks know of the venue's language.
    """
    wire = HERE / 'in_project' / f'wire_{protocol}.py'
    shutil.copy(wire, project / 'bench_wire.py')


if __name__ == '__main__':
    for row in rows(Path(sys.argv[1]), *sys.argv[2:]):
        print('{:<60} {:<36} {:8.2f}'.format(*row))
