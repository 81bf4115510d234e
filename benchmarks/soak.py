"""
A soak of a generated project: are trades lost, do daemons grow, how long does it take
to recover?

    uv run python -m benchmarks.soak --protocol rest --client asyncio

takes half an hour, prints what it found, and fails where that is not as it should be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from .in_project.growth import OWN_MALLOC
from .project import open_project

HERE = Path(__file__).parent
PLAN = {
    'seconds': (1800.0, 'how long'),
    'rate': (5000.0, 'trades a second, of all markets together'),
    'markets': (20, 'how many'),
    'fault_every': (10.0, 'seconds between faults'),
    'kill_every': (60.0, 'seconds between the deaths of daemons'),
    'restart_every': (180.0, 'seconds between restarts of the venue'),
    'sample_every': (5.0, 'seconds between looks at memory and descriptors'),
}
"""What there is to choose, its default, and what it means."""


def parse_options() -> Namespace:
    parser = ArgumentParser(prog='benchmarks.soak')
    parser.add_argument('--protocol', default='jsonrpc')
    parser.add_argument('--client', default='trio')
    parser.add_argument(
        '--project', type=Path, help='an existing one, instead of one of these answers'
    )
    for name, (default, meaning) in PLAN.items():
        parser.add_argument(
            f'--{name.replace("_", "-")}',
            type=type(default),
            default=default,
            help=f'{meaning} ({default:g})',
        )
    return parser.parse_args()


def run(project: Path, python: str, plan: dict[str, float]) -> dict[str, Any]:
    """
    What a soak in the generated `project` comes to, with an interpreter that has its
    dependencies: a `Report` of `in_project/soak.py`.
    """
    done = subprocess.run(
        # not as a script: each actor would import that, too
        [python, '-c', f'import soak; soak.main({json.dumps(plan)!r})'],
        cwd=project,
        env={**os.environ, **OWN_MALLOC, 'PYTHONPATH': str(HERE / 'in_project')},
        stdout=subprocess.PIPE,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def show(report: dict[str, Any]) -> None:
    table = Table('what', 'times', 'median, s', 'longest, s')
    for what, times in sorted(report['recoveries'].items()):
        middle = sorted(times)[len(times) // 2]
        table.add_row(what, f'{len(times)}', f'{middle:.1f}', f'{max(times):.1f}')
    console = Console()
    console.print(table)
    columns = (
        *('MB, before', 'after', 'most', 'in use, before', 'after', 'gained all along'),
        *('descriptors', 'after'),
    )
    table = Table('process', 'lives', 'looks', *columns)
    for it in report['growth']:
        memory, files = (
            [f'{size:.0f}' for size in it[of]] for of in ('memory', 'files')
        )
        used = [f'{size:.1f}' for size in it['used']]
        gained = '' if it['creep'] is None else f'{it["creep"]:.1f}'
        lives = (f'{it["lives"]}', f'{it["samples"]}')
        most = f'{it["most"]:.0f}'
        table.add_row(it['name'], *lives, *memory, most, *used, gained, *files)
    console.print(table)
    for name, value in report.items():
        if name not in ('recoveries', 'growth', 'problems'):
            console.print(f'{name.replace("_", " ")}: {value}')


def main() -> None:
    options = parse_options()
    plan = {name: getattr(options, name) for name in PLAN}
    with TemporaryDirectory() as tmp:
        if project := options.project:
            python = str(project / '.venv' / 'bin' / 'python')
        else:
            project = Path(tmp) / 'project'
            answers = {'protocol': options.protocol, 'client': options.client}
            python = open_project(project, [], **answers)
        report = run(project, python, plan)
    show(report)
    if problems := report['problems']:
        sys.exit('\n'.join(problems))


if __name__ == '__main__':
    main()
