"""
What can go wrong with a broker.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


class BrokerError(Exception):
    """
    The broker, or the way to it, failed.
    """


class SymbolNotFound(BrokerError):
    """
    The broker has no market of that name.
    """


class NoData(BrokerError):
    """
    There are no bars in the requested range; there may be earlier ones.
    """

    def __init__(self, *args: Any, info: dict[Hashable, Any] | None = None) -> None:
        super().__init__(*args)
        self.info = info or {}


class DataUnavailable(BrokerError):
    """
    There is nothing (more) to be had: the broker does not offer that timeframe, or
    history ends here.
    """


class DataThrottle(BrokerError):
    """
    The broker asks for fewer requests.
    """


NOT_NOW = ('AuthError', 'ConnectionLost', 'NotConnected', 'ReplyLost', 'Throttled')
"""
What backends call it where a venue that could be asked before cannot be just now: the
names, since the types are each backend's own. This host's alone: piker exports no such
names, so neither does `minipiker.brokers`.
"""
