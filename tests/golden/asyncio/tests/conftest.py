"""
The conformance suite runs on minipiker's actor tree; see its plugins for the fixtures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager as acm
from types import ModuleType
from typing import Any

import pytest

from simvenue.process import SimVenue, open_simvenue

# it needs piker: `pytest --piker`
collect_ignore = ['on_piker']

pytest_plugins = [
    'minipiker.processes',
    'minipiker.testing',
    'minipiker.proof',
    'minipiker.live',
    'minipiker.brokers.testing',
    'minipiker.data.testing',
    'minipiker.recordings.testing',
    'minipiker.guest',
    'minipiker.clearing.testing',
    'minipiker.clearing.desk',
    'minipiker.clearing.live',
]


@pytest.fixture
def open_client(monkeypatch: pytest.MonkeyPatch, mod: ModuleType) -> Callable[..., Any]:
    """
    `async with open_client(**options) as (venue, client):` the backend's client of a
    venue of its own, where nothing happens by itself.
    """

    @acm
    async def open_client(**options: Any) -> AsyncIterator[tuple[SimVenue, Any]]:
        log_in = {'credentials': options.pop('credentials', None)}
        async with open_simvenue(**{'rate': 0, **options}) as venue:
            monkeypatch.setenv('DERIBIT2_URL', venue.url)
            async with mod.get_client(**log_in) as client:
                yield venue, client

    return open_client
