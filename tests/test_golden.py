"""The default project, file by file: a change of the template is read as a diff."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Render, tree

GOLDEN = Path(__file__).parent / 'golden'


def test_the_default_project(rendered: Render, request: pytest.FixtureRequest) -> None:
    project = rendered({'backend': 'deribit2'})
    if request.config.getoption('--update-golden'):
        shutil.rmtree(GOLDEN, ignore_errors=True)
        shutil.copytree(
            project, GOLDEN, ignore=shutil.ignore_patterns('__pycache__', '.*_cache')
        )
    now, golden = tree(project), tree(GOLDEN)
    assert now.keys() == golden.keys(), 'rewrite it with: pytest --update-golden'
    for path in golden:
        assert now[path].decode() == golden[path].decode(), path
