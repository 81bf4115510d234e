"""
A pytest plugin: with `--piker`, the suite for piker runs in the place of this one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ..testing import open_session_venue
from . import __brokers__, get_brokermod

(_broker,) = __brokers__


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        '--piker',
        metavar='PYTHON',
        nargs='?',
        const=sys.executable,
        help="run on piker's own pikerd: on the piker of that Python, or of this one",
    )


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """
    With `--piker`, run the suite for piker in the place of this one.
    """
    python: str | None = config.getoption('--piker')
    if not python:
        return None
    with ExitStack() as stack:
        venue = stack.enter_context(open_session_venue(config))
        shadow = Path(stack.enter_context(TemporaryDirectory()))
        shadow_piker(python, shadow)
        suite = config.rootpath / 'tests' / 'on_piker'
        # nothing of ours: neither this plugin nor its settings
        (shadow / 'pytest.ini').write_text('[pytest]\n')
        options = ['-c', 'pytest.ini', '-p', 'no:cacheprovider', '-v', '-rs']
        return subprocess.run(
            [python, '-m', 'pytest', *options, f'--confcutdir={suite}', suite],
            cwd=shadow,
            env={
                **os.environ,
                'PYTHONPATH': str(shadow),
                f'{_broker.upper()}_URL': venue.url,
                f'{_broker.upper()}_SYMBOL': venue.symbol,
            },
            stdin=subprocess.DEVNULL,
            check=False,
        ).returncode


def shadow_piker(python: str, shadow: Path) -> None:
    """
    Fill the folder `shadow` with links that make up the checkout of piker which
    `python` imports, and with the backend in its place there.
    """
    command = [python, '-c', 'import piker; print(*piker.__path__)']
    try:
        found = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True)
    except (OSError, subprocess.CalledProcessError):
        found = ''
    if not found:
        raise pytest.UsageError(
            f'{python} is no Python that has piker; name one: --piker=PYTHON'
        )
    checkout = Path(found.strip()).parent
    brokers = shadow / 'piker' / 'brokers'
    brokers.mkdir(parents=True)
    (brokers / _broker).symlink_to(get_brokermod(_broker).__path__[0])
    for folder in ('config', 'piker/*', 'piker/brokers/*'):
        for path in checkout.glob(folder):
            link = shadow / path.relative_to(checkout)
            if not link.exists() and path.name != '__pycache__':
                link.symlink_to(path)
