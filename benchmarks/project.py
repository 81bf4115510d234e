"""
Generated projects to measure in, each with an environment of its own.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from piker_new.render import render

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
    if packages:
        subprocess.run(
            [UV, 'pip', 'install', '-q', '-p', python, *packages], check=True
        )
