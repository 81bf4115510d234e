"""A stand-in for a checkout of piker: the places that a backend is written to."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import git, tree

REGISTRY = """\
# Broker clients.
__all__ = ['get_brokermod']

__brokers__: list[str] = [
    'binance',
    'ib',  # the big one
    'kraken'

    # broken but used to work
    # 'questrade',
]
"""

# What tells a linter that names below `piker` are of this checkout.
MODULES = [
    '_cacheables.py',
    'accounting/__init__.py',
    'brokers/core.py',
    'clearing/__init__.py',
    'clearing/_messages.py',
    'config.py',
    'data/__init__.py',
    'data/_source.py',
    'data/_symcache.py',
    'data/feed.py',
    'data/validate.py',
    'log.py',
    'service.py',
    'types.py',
]

CONFIG = """\
################
# ---- CEXY ----
################
[binance]
accounts.paper = 'paper'


[ib]
hosts = [
    '127.0.0.1',
]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The places of a piker checkout that a backend is written to."""
    folder = tmp_path / 'piker checkout'
    files = {
        'piker/__init__.py': '',
        **{f'piker/{path}': '' for path in MODULES},
        'piker/brokers/__init__.py': REGISTRY,
        'config/brokers.toml': CONFIG,
        'tests/conftest.py': '',
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    git(folder, 'init', '-q')
    git(folder, 'add', '.')
    git(folder, 'commit', '-qm', 'As it stands')
    return folder


def visible(checkout: Path) -> dict[str, bytes]:
    return {
        path: content
        for path, content in tree(checkout).items()
        if not path.startswith('.git/')
    }
