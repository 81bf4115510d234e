"""
Keeping to the venue's rate limits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import trio

from . import _calls
from ._config import NAME, get_pace
from ._errors import ConnectionLost, Throttled
from ._piker import BrokerError, Struct, get_logger

log = get_logger(f'{NAME}.pacer')

T = TypeVar('T')

Cost = Callable[[str, Mapping[str, object]], tuple[str, float]]
"""The pool from which a request is paid, see `Pacer.spend()`, and how much."""


class Pool(Struct, frozen=True):
    """
    Credits that requests cost, at most `size`, of which `refill` a second come back.
    """

    size: float
    refill: float


def get_pools(lowest: Mapping[str, Pool]) -> dict[str, Pool]:
    """
    Those of the account, where `lowest` are what everybody has.
    """
    pace = get_pace()
    return {
        name: Pool(pool.size * pace, pool.refill * pace)
        for name, pool in lowest.items()
    }


class Pacer:
    """
    Spends credits, and waits for new ones before the venue has to refuse.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools
        self._credits: dict[str, float] = {}
        self._since: dict[str, float] = {}

    def _pool(self, name: str) -> Pool:
        return self._pools[name.partition(' ')[0]]

    def _refill(self, name: str) -> float:
        now, pool = trio.current_time(), self._pool(name)
        earned = (now - self._since.get(name, -math.inf)) * pool.refill
        self._credits[name] = min(pool.size, self._credits.get(name, 0) + earned)
        self._since[name] = now
        return self._credits[name]

    async def spend(self, name: str, cost: float) -> None:
        """
        Take credits from a pool. They may be such that it has yet to earn: whoever
        comes first waits least. Where each market has one of its own, `name` is that
        of the pool, a blank, and that of the market.
        """
        self._refill(name)
        self._credits[name] -= cost
        debt = -self._credits[name] / self._pool(name).refill
        if debt > 0:
            if debt > 1:
                log.warning('the venue takes the next %s in %.1f s', name, debt)
            await trio.sleep(debt)

    def block(self, name: str, pause: float) -> None:
        """
        The venue says that a pool is empty, and for how long.
        """
        empty = -pause * self._pool(name).refill
        self._credits[name] = min(self._refill(name), empty)


class Connection(Protocol):
    """
    Whatever requests can be made on.
    """

    @property
    def sent(self) -> float:
        """When the last message went out, by `time.monotonic()`."""

    @property
    def heard(self) -> float:
        """When the last one came."""

    async def call(
        self, method: str, result: type[T], params: Mapping[str, object]
    ) -> T:
        """
        Make a request, and return its result.

        Raises `ConnectionLost`, or what the venue's refusal stands for.
        """


class Caller:
    """
    Makes requests on one connection, at the pace that the venue allows.
    """

    def __init__(self, connection: Connection, cost: Cost, pacer: Pacer) -> None:
        self.connection = connection
        self._cost = cost
        self._pacer = pacer
        self.given_up = trio.Event()
        self.pending: dict[object, tuple[str, float]] = {}
        """The requests that wait for their replies: methods, and since when."""

    async def call(self, method: str, result: type[T], /, **params: object) -> T:
        """
        Make a request, and return its result. Params that are None are left out, and
        one that is a function is called when the request's turn has come.

        Raises `ConnectionLost`, or what the venue's refusal stands for.
        """
        given = {name: it for name, it in params.items() if it is not None}
        pool, cost = self._cost(method, given)
        await self._pacer.spend(pool, cost)
        given |= {name: it() for name, it in given.items() if callable(it)}
        request = object()
        self.pending[request] = method, time.monotonic()
        try:
            answer = await self.connection.call(method, result, given)
        except Throttled as err:
            self._pacer.block(pool, err.pause)
            raise
        except BrokerError:
            raise
        except Exception as err:
            # one that is closed has no more to say than that
            if not self.given_up.is_set():
                raise
            raise ConnectionLost(f'{method}: the connection was given up') from err
        finally:
            del self.pending[request]
        _calls.note_call(method)
        return answer
