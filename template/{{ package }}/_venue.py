"""
What is asked of the author's `Client`, and of a connection: by a session, and by the
endpoints of markets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from ._clock import Clock
from ._config import Traits
from ._connection import Language
from ._market_data import Bars, PublicTicker
from ._pacer import Caller, Connection, Pool
from ._piker import Asset
from ._symbology import Listed

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
    """From which requests are paid, by their names; a ticker by `requests`."""

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


class MarketApi(Protocol):
    """
    What symbols, feeds and history ask of the author's `Client`. It names markets as
    the venue does, by their `bs_mktid`.

    All methods raise `SymbolNotFound` for a market that the venue does not have, and
    else `BrokerError` where it refuses, or cannot be reached.
    """

    traits: Traits
    clock: Clock

    async def get_assets(self, reload: bool = False) -> Mapping[str, Asset]:
        """
        All assets in which a market is quoted or traded, by their names in lower case.
        What was asked for once is kept; with `reload` the venue is asked anew.
        """

    async def get_mkt_pairs(self, reload: bool = False) -> Mapping[str, Listed]:
        """
        All pairs that are listed, by `bs_fqme`; `reload` as above. Each is one and the
        same object at every call, whichever client is asked: `Symbology` sees to it.
        """

    async def find_expired(self, name: str, /) -> Listed:
        """
        The pair of that `bs_fqme` or `bs_mktid`, in lower case, that is not listed any
        more. Raises `SymbolNotFound`, always where nothing expires.
        """

    async def search_symbols(
        self, pattern: str, limit: int = 30
    ) -> Mapping[str, Listed]:
        """
        The pairs that `pattern` finds, by `bs_fqme`, at most `limit`, the best first;
        see `Symbology.search()`.
        """

    async def get_ticker(self, name: str, /) -> PublicTicker:
        """
        How a market stands now.
        """

    async def get_bars(
        self, name: str, seconds: int, start_ms: int, end_ms: int, /
    ) -> Bars:
        """
        The bars of a length in `TRAITS.bar_seconds` that open in
        [`start_ms`, `end_ms`]: no more than `TRAITS.bars_per_call` are asked for.
        """

    async def get_trades(
        self,
        name: str,
        /,
        *,
        first_number: int | None = None,
        last_number: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        count: int = 1000,
        newest_first: bool = False,
    ) -> tuple[list[Any], bool]:
        """
        Trades of a market, each a `PublicTrade`, and whether there are more: as
        `_trades.GetTrades` says.
        """
