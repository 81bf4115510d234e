"""
The book of a market, as the channel `book` tells it: whole at first, then what changes,
each time with a checksum of what there is by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from zlib import crc32

from ._clock import Clock
from ._errors import OutOfStep
from .messages import BookNews, Level, Quote

DEPTH: int = 10
"""The best prices of each side, as many as the checksum is of."""

Best = tuple[float | None, float | None]
"""A price, and the quantity on offer there; None where nothing is."""


class Side:
    """
    The bids or the asks, the best one first.
    """

    def __init__(self, *, highest_first: bool) -> None:
        self._highest_first = highest_first
        self._levels: dict[Decimal, tuple[float, str]] = {}
        """Quantity and digits, by price."""

    @property
    def digits(self) -> Iterator[str]:
        return (digits for _, digits in self._levels.values())

    @property
    def best(self) -> Best:
        for price, (qty, _) in self._levels.items():
            return float(price), qty
        return None, None

    def take(self, levels: Iterable[Level]) -> None:
        """
        Take in what has changed, and forget what is deeper than `DEPTH`.
        """
        for it in levels:
            if it.qty:
                self._levels[it.price] = float(it.qty), it.digits
            else:
                self._levels.pop(it.price, None)
        # of those that fall out here nothing is heard any more
        best = sorted(self._levels.items(), reverse=self._highest_first)[:DEPTH]
        self._levels = dict(best)


class Book:
    """
    What is known of a market's book.
    """

    def __init__(self) -> None:
        self._bids = Side(highest_first=True)
        self._asks = Side(highest_first=False)
        self.best: tuple[Best, Best] = (None, None), (None, None)
        """The bid and the offer."""

    def take(self, news: BookNews) -> bool:
        """
        Take in what has changed. Returns whether it is the venue's book, by the
        checksum.
        """
        self._bids.take(news.bids)
        self._asks.take(news.asks)
        self.best = self._bids.best, self._asks.best
        digits = ''.join([*self._asks.digits, *self._bids.digits])
        return crc32(digits.encode()) == news.checksum


class Books:
    """
    The books of the channels that are subscribed to.

    One that bears no time is of now, by the venue's clock. Ours may be ahead of that,
    and the quotes that come next would be left out as older ones.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._books: dict[str, Book] = {}

    def take(self, channel: str, news: BookNews, kind: str) -> Quote | None:
        """
        Take in what a channel says, `kind` being `'snapshot'` or `'update'`. Returns
        the best bid and offer, if they are others than before.

        Raises `OutOfStep` where the book is not the venue's. It is forgotten then: when
        the channel begins anew, it comes whole.
        """
        if kind == 'snapshot':
            self._books[channel] = Book()
        book = self._books.get(channel)
        before = book and book.best
        if book is None or not book.take(news):
            self.forget([channel])
            raise OutOfStep(channel)
        if book.best == before:
            return None
        time = news.time or datetime.fromtimestamp(self._clock.now(), UTC)
        bid, ask = book.best
        return Quote(news.instrument_name, time, *bid, *ask)

    def forget(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self._books.pop(channel, None)
