"""
Symbol search.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from typing import Any

from .._streaming import open_endpoint
from ..brokers import get_brokermod
from ._daemon import maybe_spawn_datad

Search = Callable[[str], Awaitable[dict[str, Any]]]


@acm
async def open_search(
    brokername: str,
    loglevel: str | None = None,
) -> AsyncIterator[Search]:
    """
    A function that answers a pattern with the broker's matching markets, keyed by
    bs_fqme; `{}` where nothing matches.
    """
    endpoint = get_brokermod(brokername).open_symbol_search
    datad = maybe_spawn_datad(brokername, loglevel)
    async with open_endpoint(datad, endpoint) as (_, stream):

        async def search(pattern: str) -> dict[str, Any]:
            await stream.send(pattern)
            matches = await stream.receive()
            if not isinstance(matches, dict):
                raise TypeError(f'a search answers with a dict, not {matches!r}')
            return matches

        yield search
