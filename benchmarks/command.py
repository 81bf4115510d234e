"""
The command itself: how soon it answers, and what it adds to copier.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
ROUNDS = 9

Row = tuple[str, str, float]
"""What was measured, its yardstick, and how many times that it took."""


def rows() -> list[Row]:
    """
    Medians of interleaved rounds.
    """
    with TemporaryDirectory() as folder:
        python = [sys.executable, '-c', 'pass']
        command = [sys.executable, '-m', 'piker_new']
        copier = (
            'import sys; from copier import run_copy;'
            " run_copy(*sys.argv[1:], data={'backend': 'deribit2'},"
            " vcs_ref='HEAD', defaults=True, quiet=True)"
        )
        took = _interleave(
            {
                'python': python,
                'version': [*command, '--version'],
                'help': [*command, '--help'],
                'copier': [sys.executable, '-c', copier, _template(folder), 'NEW'],
                'generate': [*command, 'backend', 'deribit2', 'NEW'],
            },
            Path(folder),
        )
    return [
        ('piker-new --version', 'python -c pass', took['version'] / took['python']),
        ('piker-new --help', 'python -c pass', took['help'] / took['python']),
        ('piker-new backend', 'copier alone', took['generate'] / took['copier']),
    ]


def _template(folder: str) -> str:
    """
    The template without its repository, which copier would clone first.
    """
    archive = subprocess.run(
        ['git', 'archive', 'HEAD'], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    template = Path(folder) / 'template'
    template.mkdir()
    subprocess.run(['tar', 'x'], cwd=template, input=archive.stdout, check=True)
    return str(template)


def _interleave(commands: dict[str, list[str]], folder: Path) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(ROUNDS):
        for name, command in commands.items():
            new = str(folder / f'{name}{round_}')
            begin = time.perf_counter()
            subprocess.run(
                [new if word == 'NEW' else word for word in command],
                stdout=subprocess.DEVNULL,
                check=True,
            )
            took[name].append(time.perf_counter() - begin)
    return {name: median(times) for name, times in took.items()}
