"""
The endpoint that gives a host the author's `Client`, connected.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from typing import Any

from ._config import Credentials, get_url
from ._session import open_session
from .api import TEST_URLS, URLS, Client


@acm
async def get_client(
    credentials: Credentials | None = None,
    **_: Any,
) -> AsyncIterator[Client]:
    """
    A connected client, for as long as the block is open; raises `BrokerError` where the
    venue cannot be reached. Takes, and ignores, what else hosts pass on occasion
    (`is_brokercheck`).

    With `credentials` it is logged in as well; raises `AuthError`.
    """
    client = Client()
    client.credentials = credentials
    async with open_session(get_url((*URLS, *TEST_URLS)), client) as client.session:
        yield client
