"""
The trades of a market by number, by time, or the newest first: from a venue that lists
them by time alone, ascending.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from .messages import Trade

PAGE: int = 1000
"""The most that one request brings."""

_tries: int = 30
"""How often to guess when a trade was made."""

GetPage = Callable[[int | None, int], Awaitable[tuple[list[Trade], int]]]
"""
The first trades, so many, after an epoch ns; or the last ones, where that is None. And
the ns after which the next ones are.
"""


class TradeList:
    """
    The trades of one market.
    """

    def __init__(self, get_page: GetPage) -> None:
        self._get_page = get_page
        self._pace: float = 1000
        """About how many ms are between two of them."""

    async def _load(self, after: int | None, count: int) -> tuple[list[Trade], int]:
        page, last = await self._get_page(after, count)
        if len(page) > 1:
            took = page[-1].timestamp - page[0].timestamp
            self._pace = max(took / len(page), 0.001)
        return page, last

    async def get_first(
        self, first: int, last: float, start_ms: int | None, end_ms: float, count: int
    ) -> tuple[list[Trade], bool]:
        """
        The first trades, at most `count`, with numbers and times in these ranges, and
        whether there are more.
        """
        if start_ms is None:
            start_ms = await self._find(first) if first > 1 else 0
        after = _before(start_ms)
        while True:
            page, after = await self._load(after, PAGE)
            numbered = [it for it in page if first <= it.number <= last]
            found = [it for it in numbered if start_ms <= it.timestamp <= end_ms]
            is_last = len(page) < PAGE or page[-1].number >= last
            if found or is_last or page[-1].timestamp > end_ms:
                break
        more = not is_last and page[-1].timestamp <= end_ms
        return found[:count], more or len(found) > count

    async def _find(self, number: int) -> int:
        """
        An epoch ms, not after the trade of that number, and not long before.
        """
        page, _ = await self._load(None, PAGE)
        if not page or page[0].number <= number:
            return page[0].timestamp if page else 0
        high, low = page[0], None
        start, margin = 0, 1.0
        for _ in range(_tries):
            if low:
                pace = (high.timestamp - low.timestamp) / (high.number - low.number)
                ahead = max(0.0, number - low.number - PAGE / 2)
                start = low.timestamp + int(ahead * pace)
            else:
                back = margin * (high.number - number) * self._pace
                start = max(0, high.timestamp - math.ceil(back) - 1000)
                margin *= 2
            page, _ = await self._load(_before(start), PAGE)
            if page[0].number > number:
                if start == 0:
                    break
                high = page[0]
            elif number - page[0].number < 3 * PAGE:
                break
            else:
                low = page[0]
        return start

    async def get_newest(
        self, start_ms: int, end_ms: int | None, count: int
    ) -> tuple[list[Trade], bool]:
        """
        The last trades, at most `count`, from one time to another (None: until now),
        descending, and whether there are more.
        """
        if end_ms is None:
            page, _ = await self._load(None, count)
            found = [it for it in page if it.timestamp >= start_ms]
            return found[::-1], len(found) == count
        span = self._pace * count
        while True:
            start = max(start_ms, end_ms - math.ceil(span))
            found, reached = await self._load_until(start, end_ms)
            if not reached:
                span = min(span / 2, self._pace * count)
            elif found or start == start_ms:
                break
            else:
                span *= 8
        more = start > start_ms or len(found) > count
        return found[::-1][:count], more

    async def _load_until(self, start: int, end: int) -> tuple[list[Trade], bool]:
        """
        Those of a time, and whether that is all, or there are far too many.
        """
        found: list[Trade] = []
        after = _before(start)
        while True:
            page, after = await self._load(after, PAGE)
            found += [it for it in page if start <= it.timestamp <= end]
            if len(page) < PAGE or page[-1].timestamp > end:
                return found, True
            if (end - page[-1].timestamp) / self._pace > 3 * PAGE:
                return [], False


def _before(ms: int) -> int:
    # the venue lists what comes after a time, in ns; a trade at the end of a ms may be
    # one of the next by our clock, which is rounded
    return max(0, (ms - 1) * 1_000_000 - 1)
