"""
All benchmarks, each as a ratio to its yardstick in the same run.

    uv run python -m benchmarks
"""

from __future__ import annotations

import subprocess
from itertools import product
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
            if client == 'trio':
                found += feed.rows(project, python, protocol)
            if is_deribit and client == 'asyncio':
                found += proxy.rows(project, python)
            rows += [(f'{protocol}, {client}: {it[0]}', *it[1:]) for it in found]
    for what, yardstick, ratio in rows:
        table.add_row(what, yardstick, f'{ratio:.2f}')
    Console().print(table)


if __name__ == '__main__':
    main()
