"""
All benchmarks, each as a ratio to its yardstick in the same run.

    uv run python -m benchmarks
"""

from __future__ import annotations

import os
import subprocess
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from piker_new.render import render

from . import command, feed, proxy, trades, trading

UV = os.environ.get('UV', 'uv')  # `uv run` says which, wherever it is


def open_project(folder: Path, packages: list[str], **answers: str | bool) -> str:
    """
    Generate a project in `folder`, with an environment that holds its dependencies
    and `packages`, whose interpreter is returned.
    """
    render({'backend': 'deribit2', **answers}, folder, ask=False)
    python = str(folder / '.venv' / 'bin' / 'python')
    subprocess.run([UV, 'sync', '-q'], cwd=folder, check=True)
    install(python, *packages)
    return python


def install(python: str, *packages: str) -> None:
    subprocess.run([UV, 'pip', 'install', '-q', '-p', python, *packages], check=True)


def main() -> None:
    table = Table('measured', 'yardstick')
    table.add_column('times', justify='right')
    rows = command.rows()
    with TemporaryDirectory() as tmp:
        ccxt = Path(tmp) / 'ccxt'
        subprocess.run([UV, 'venv', '-q', '-p', '3.11', ccxt], check=True)
        install(ccxt_python := str(ccxt / 'bin' / 'python'), 'ccxt')
        for protocol, client in product(('jsonrpc', 'rest'), ('trio', 'asyncio')):
            project = Path(tmp) / f'{protocol}-{client}'
            python = open_project(
                project,
                ['pytest', 'trio-websocket', 'trio-asyncio', 'anyio'],
                trading=True,
                protocol=protocol,
                client=client,
            )
            found = trading.rows(project, python, protocol)
            is_deribit = protocol == 'jsonrpc'  # which ccxt has
            other = [ccxt_python] if is_deribit and client == 'trio' else []
            found += trades.rows(project, python, protocol, *other)
            if is_deribit and client == 'trio':
                found += feed.rows(project, python)
            if is_deribit and client == 'asyncio':
                found += proxy.rows(project, python)
            rows += [(f'{protocol}, {client}: {it[0]}', *it[1:]) for it in found]
    for what, yardstick, ratio in rows:
        table.add_row(what, yardstick, f'{ratio:.2f}')
    Console().print(table)


if __name__ == '__main__':
    main()
