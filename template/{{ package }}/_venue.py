"""
What a session asks of others: of the author's `Client`, and of a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from ._connection import Language
from ._pacer import Caller, Connection, Pool

OpenConnection = Callable[
    [str, Any, Callable[[Any, str, Any], None]],
    AbstractAsyncContextManager[Connection],
]
"""
A connection to a URL, for a `Venue`, as long as the block is open, out of which
`ConnectionLost` is raised. What comes unasked is handed to a callback, as
`Venue.on_notification()` takes it.
"""


class Venue(Language, Protocol):
    """
    What a session asks of the author's `Client`, beside what a connection does.
    """

    pools: dict[str, Pool]
    """From which requests are paid, by their name."""

    @property
    def open_connection(self) -> OpenConnection:
        """That of `_connection.py`, or one by the vendor's own client."""

    async def greet(self, caller: Caller) -> float:
        """
        Say what every connection has to begin with: heartbeats, a login. Returns for
        how many seconds that holds; it is said again before.
        """

    async def subscribe(self, caller: Caller, channels: list[str]) -> Collection[str]:
        """
        Returns the channels that the venue has accepted. What they are called is the
        author's choice: their kind, and after a dot what they are of, if anything.
        """

    async def unsubscribe(self, caller: Caller, channels: list[str]) -> object: ...

    def on_notification(
        self,
        connection: Any,
        name: str,
        content: Any,
    ) -> tuple[str, Any] | None:
        """
        The channel of what came unasked, as the connection has read it, and the message
        for those who read that: None where there is nothing new for them. Or else None
        for what is of no channel, as a heartbeat, which is answered here.

        Raises `OutOfStep` for a channel that is to begin anew, since something that it
        said is missing.
        """

    def cost(self, method: str, params: Mapping[str, object]) -> tuple[str, float]:
        """The pool from which a request is paid, see `Pacer.spend()`, and how much."""
