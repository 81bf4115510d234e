"""
All benchmarks, each as a ratio to its yardstick in the same run.

    uv run python -m benchmarks
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from . import command, feed, proxy, trades, trading
from .project import UV, install, open_project


def main() -> None:
    table = Table('measured', 'yardstick')
    table.add_column('times', justify='right')
    rows = command.rows()
    with TemporaryDirectory() as tmp:
        project = Path(tmp) / 'trio'
        python = open_project(project, ['pytest'], trading=True)
        rows += trading.rows(project, python)
        ccxt = Path(tmp) / 'ccxt'
        subprocess.run([UV, 'venv', '-q', '-p', python, ccxt], check=True)
        install(ccxt_python := str(ccxt / 'bin' / 'python'), 'ccxt')
        rows += trades.rows(project, python, ccxt_python)
        rows += feed.rows(project, python)
        project = Path(tmp) / 'asyncio'
        python = open_project(project, ['trio-asyncio', 'anyio'], client='asyncio')
        rows += proxy.rows(project, python)
    for what, yardstick, ratio in rows:
        table.add_row(what, yardstick, f'{ratio:.2f}')
    Console().print(table)


if __name__ == '__main__':
    main()
