"""
What connections have in common, and what is asked of a dialect.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import trio

from .engine import Engine
from .faults import Faults
from .transport import HttpRequest

if TYPE_CHECKING:
    from .session import Call, Session, Subscription

Status = int
Fields = Any
"""What becomes a JSON document."""


class Dialect(Protocol):
    """
    What is said on the wire.
    """

    def is_socket(self, path: str) -> bool: ...

    def opened(self, session: Session) -> None:
        """
        A socket is.
        """

    def read(self, session: Session, message: bytes) -> Call: ...

    def read_http(self, session: Session, request: HttpRequest) -> Call: ...

    def tell(self, subscription: Subscription, events: Sequence[Any]) -> list[Fields]:
        """
        The messages that say what happened.
        """

    def logged_out(self, session: Session) -> None: ...

    def closed(self, session: Session) -> None: ...

    def operation_names(self) -> set[str]:
        """
        The neutral names of what may be asked for.
        """


class Hub(Protocol):
    """
    What connections have in common.
    """

    engine: Engine
    dialect: Dialect
    faults: Faults
    requests: Counter[str]
    recent: deque[str]
    behaves: trio.Event
    limits: dict[str, float]

    def unsubscribe(self, session: Session, channel: str) -> bool: ...

    def flush(self) -> None: ...
