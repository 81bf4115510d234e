"""
HTTP, as it is with any venue: a client, and how long it may ask us to wait.
"""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import urlsplit

import httpx

from ._config import Limits
from ._piker import BrokerError
from ._redaction import hide_userinfo

_keep_alive: float = 30
"""Seconds for which a connection that is not used is kept..."""
_kept_alive: int = 4
"""... and how many are, after many requests at once."""


def check_url(url: str) -> None:
    """
    Raises `BrokerError` for one that is none of HTTP.
    """
    try:
        parts = urlsplit(url)
        if parts.port != 0 and parts.scheme in ('http', 'https') and parts.hostname:
            return
    except ValueError:
        pass
    raise BrokerError(f'{hide_userinfo(url)!r} is no HTTP URL')


def open_http(url: str, limits: Limits) -> httpx.AsyncClient:
    """
    A client for what lies below that URL, which goes there directly, by no proxy.
    """
    return httpx.AsyncClient(
        base_url=url,
        verify=_tls() if url.startswith('https') else False,
        timeout=httpx.Timeout(limits.reply, connect=limits.connect),
        limits=httpx.Limits(
            max_connections=limits.in_flight,
            max_keepalive_connections=_kept_alive,
            keepalive_expiry=_keep_alive,
        ),
        trust_env=False,
    )


@lru_cache
def _tls() -> ssl.SSLContext:
    # it takes longer to make than a connection does
    return ssl.create_default_context()


def read_pause(retry_after: str | None) -> float | None:
    """
    The seconds that a `Retry-After` asks for, which says them or a date.
    """
    if retry_after is None:
        return None
    with suppress(ValueError):
        return float(retry_after)
    with suppress(ValueError):
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    return None
