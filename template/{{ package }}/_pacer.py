"""
Keeping to the venue's rate limits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import trio

from ._config import NAME
from ._piker import Struct, get_logger

log = get_logger(f'{NAME}.pacer')


class Pool(Struct, frozen=True):
    """
    Credits that requests cost, at most `size`, of which `refill` a second come back.
    """

    size: float
    refill: float


class Pacer:
    """
    Spends credits, and waits for new ones before the venue has to refuse.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools
        self._credits = {name: pool.size for name, pool in pools.items()}
        self._since = dict.fromkeys(pools, -math.inf)

    def _refill(self, name: str) -> float:
        now, pool = trio.current_time(), self._pools[name]
        if self._since[name] < now:
            earned = (now - self._since[name]) * pool.refill
            self._credits[name] = min(pool.size, self._credits[name] + earned)
            self._since[name] = now
        return self._credits[name]

    async def spend(self, name: str, cost: float) -> None:
        """
        Take credits from a pool. They may be such that it has yet to earn: whoever
        comes first waits least.
        """
        self._refill(name)
        self._credits[name] -= cost
        debt = -self._credits[name] / self._pools[name].refill
        if debt > 0:
            if debt > 1:
                log.warning('the venue takes the next %s in %.1f s', name, debt)
            await trio.sleep(debt)

    def block(self, name: str, pause: float) -> None:
        """
        The venue says that a pool is empty, and for how long.
        """
        empty = -pause * self._pools[name].refill
        self._credits[name] = min(self._refill(name), empty)
