"""
The public trades of a market, complete and in order whatever happens to a connection,
and the paging through what is too long for one reply.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from ._config import NAME
from ._market_data import PublicTrade
from ._piker import get_logger
from ._session import insist

log = get_logger(f'{NAME}.trades')

_page: int = 1000
"""Trades to fetch with one request."""
_max_pages: int = 1000
"""Of one history."""
_max_known: int = 2**14
"""Trades to know again where they have no numbers."""

T = TypeVar('T')
GetPage = Callable[[int], Awaitable[tuple[list[T], int | None]]]


async def page_through(get_page: GetPage[T], start: int) -> AsyncIterator[list[T]]:
    """
    The pages of a history from `start` on, be that a time, a number or an offset:
    `get_page()` returns one, and where the next one starts, or None after the last.

    Waits for a venue that cannot be reached. Pages that are too many, or that do not
    get on, are cut off, and the log says so.
    """
    for _ in range(_max_pages):
        page, following = await insist(get_page, start)
        if page:
            yield page
        if following is None:
            return
        if following == start:
            log.error('the venue sends the page from %d on again and again', start)
            return
        start = following
    log.error('after %d pages, up to %d, the venue has more', _max_pages, start)


class Timed(Protocol):
    @property
    def key(self) -> str: ...

    @property
    def timestamp(self) -> int: ...


Event = TypeVar('Event', bound=Timed)


async def merge_pages(
    get_pages: Callable[[int], Awaitable[list[tuple[list[Event], bool]]]],
    start_ms: int,
) -> AsyncIterator[list[Event]]:
    """
    Several histories as one, ascending by time, each event once. `get_pages()` returns
    for each the first page from a time on, and whether there are more.
    """

    async def get_page(start_ms: int) -> tuple[list[Event], int | None]:
        pages = await get_pages(start_ms)
        found = {it.key: it for page, _ in pages for it in page}
        events = sorted(found.values(), key=lambda it: it.timestamp)
        ends = [page[-1].timestamp for page, has_more in pages if page and has_more]
        if not ends:
            return events, None
        # of its last ms a page may lack some, but for one that is full of that alone
        end = max(min(ends), start_ms + 1)
        return [it for it in events if it.timestamp < end], end

    async for page in page_through(get_page, start_ms):
        yield page


Trade = TypeVar('Trade', bound=PublicTrade)


class GetTrades(Protocol[Trade]):
    async def __call__(
        self,
        *,
        first_number: int | None = None,
        last_number: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        count: int = _page,
        newest_first: bool = False,
    ) -> tuple[list[Trade], bool]:
        """
        At most `count` trades of the market in a range of numbers or of time, ends
        included, and whether there are more: the first ones, ascending, or with
        `newest_first` the last ones, descending. A range of numbers comes with a
        `start_ms` where it is known since when they can be.
        """


Run = tuple[int, Sequence[Trade]]
"""Trades in their order, and how many before them could not be had."""


class Tape(Generic[Trade]):
    """
    The trades of a market. What its channel leaves out is fetched: at once where trades
    are numbered; where they are not, it can be noticed only when the connection is a
    new one.
    """

    def __init__(
        self,
        market: str,
        get_trades: GetTrades[Trade],
        *,
        numbered: bool,
        last_number: int | None = None,
    ) -> None:
        self._market = market
        self._get_trades = get_trades
        self.numbered = numbered
        self.last_number = last_number
        self._last_ms: int | None = None
        self._known: OrderedDict[str, None] = OrderedDict()

    async def begin(self) -> None:
        """
        Take note of the newest trade. All that comes after it is told.
        """
        newest, _ = await insist(self._get_newest)
        async for _ in self.take(newest):
            pass
        if not newest:  # the first one is yet to come
            self.last_number = 0 if self.numbered else None
            self._last_ms = 0

    async def _get_newest(self) -> tuple[list[Trade], bool]:
        return await self._get_trades(count=1, newest_first=True)

    async def take(self, trades: list[Trade]) -> AsyncIterator[Run[Trade]]:
        """
        What there is to tell when these have come: those before them, and those of
        them that are new.
        """
        numbers = [trade.number for trade in trades]
        if self.numbered and self.last_number is not None:
            first = self.last_number + 1
            if numbers == [*range(first, first + len(numbers))]:
                if numbers:
                    self.last_number = first + len(numbers) - 1
                    yield 0, trades
                return
        if self.numbered and any(trade.number is None for trade in trades):
            log.error('%s: its trades have no numbers', self._market)
            self.numbered = False
        if not self.numbered:
            if new := self._take_unknown(trades):
                yield 0, new
            return
        trades = sorted(trades, key=_number)
        if self.last_number is not None and trades:
            until = _number(trades[-1])
            count = sum(_number(it) > self.last_number for it in trades)
            if until - self.last_number > count:
                async for run in self.catch_up(until):
                    yield run
        for run in self._take_numbered(trades):
            yield run

    async def resume(self) -> AsyncIterator[Run[Trade]]:
        """
        What there is to tell after a time without a connection.
        """
        if self.numbered:
            newest, _ = await insist(self._get_newest)
            async for run in self.take(newest):
                yield run
        elif self._last_ms is not None:
            async for page in page_through(self._get_page_by_time, self._last_ms):
                if new := self._take_unknown(page):
                    yield 0, new

    async def catch_up(self, until: int) -> AsyncIterator[Run[Trade]]:
        """
        Fetch what comes after the last one, up to the number `until`; of far too many,
        the latest.
        """

        async def get_page(first: int) -> tuple[list[Trade], int | None]:
            page, _ = await self._get_trades(
                first_number=first, last_number=until, start_ms=self._last_ms
            )
            page = sorted((it for it in page if _number(it) <= until), key=_number)
            last = _number(page[-1]) if page else until
            return page, last + 1 if last < until else None

        assert self.last_number is not None
        start = max(self.last_number, until - _max_pages * _page) + 1
        async for page in page_through(get_page, start):
            for run in self._take_numbered(page):
                yield run

    async def _get_page_by_time(self, start_ms: int) -> tuple[list[Trade], int | None]:
        page, has_more = await self._get_trades(start_ms=start_ms)
        if not page or not has_more:
            return page, None
        # of its last ms it may lack some; or it is full of that alone
        return page, max(page[-1].timestamp, start_ms + 1)

    def _take_numbered(self, trades: list[Trade]) -> list[Run[Trade]]:
        runs: list[tuple[int, list[Trade]]] = []
        for trade in trades:
            number = _number(trade)
            missed = 0 if self.last_number is None else number - self.last_number - 1
            if missed < 0:
                continue  # a repeated one
            if missed:
                log.warning(
                    '%s: %d trades before %d are missing', self._market, missed, number
                )
            if missed or not runs:
                runs.append((missed, []))
            runs[-1][1].append(trade)
            self.last_number, self._last_ms = number, trade.timestamp
        return [*runs]

    def _take_unknown(self, trades: list[Trade]) -> list[Trade]:
        new: list[Trade] = []
        for trade in trades:
            if trade.trade_id not in self._known:  # it may come twice at once
                self._known[trade.trade_id] = None
                self._last_ms = max(trade.timestamp, self._last_ms or 0)
                new.append(trade)
        while len(self._known) > _max_known:
            self._known.popitem(last=False)
        return new


def _number(trade: PublicTrade) -> int:
    assert trade.number is not None
    return trade.number
