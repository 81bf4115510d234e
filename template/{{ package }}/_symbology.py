"""
What the venue lists, for the actor's life: a host asks that a pair be one and the same
object whichever client it came by. And a search among it, where the venue has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from heapq import nsmallest
from typing import Generic, Protocol, TypeVar

from ._piker import Asset


def mk_decimal(number: float) -> Decimal:
    """
    As it would be written: 0.0005, and 10 for 10.0.
    """
    decimal = Decimal(str(number))
    return decimal.quantize(Decimal(1)) if decimal == decimal.to_integral() else decimal


class Listed(Protocol):
    """
    What is asked of the author's `Pair`, which is a `Struct`. Sizes are in the unit in
    which the market counts them.
    """

    @property
    def bs_fqme(self) -> str:
        """
        Its name for the host, in lower case: base and quote currency, venue and expiry.
        """

    @property
    def bs_mktid(self) -> str:
        """
        Its name for the venue.
        """

    @property
    def base_currency(self) -> str: ...

    @property
    def quote_currency(self) -> str: ...

    @property
    def venue(self) -> str:
        """
        Or the kind of market: the second token of `bs_fqme`.
        """

    @property
    def expiry(self) -> str:
        """
        '' where it has none.
        """

    @property
    def atype(self) -> str:
        """
        As piker's `MktPair` takes it.
        """

    @property
    def price_step(self) -> Decimal:
        """
        The least one between prices.
        """

    @property
    def size_step(self) -> Decimal: ...

    @property
    def min_size(self) -> Decimal:
        """
        Of an order.
        """

    @property
    def min_cost(self) -> Decimal:
        """
        What an order must be worth, in the quote currency; 0 where there is no such
        rule.
        """

    @property
    def words(self) -> str:
        """
        What a search finds it by.
        """


P = TypeVar('P', bound=Listed)


class Symbology(Generic[P]):
    def __init__(self) -> None:
        self.pairs: dict[str, P] = {}
        """By `bs_fqme`."""
        self.assets: dict[str, Asset] = {}
        """By name, in lower case."""
        self._words: dict[str, str] = {}

    def add_pairs(self, pairs: Iterable[P]) -> None:
        for pair in pairs:
            if self.pairs.setdefault(pair.bs_fqme, pair) is pair:
                self._words[pair.bs_fqme] = pair.words

    def add_assets(self, assets: Iterable[Asset]) -> None:
        for asset in assets:
            self.assets.setdefault(asset.name, asset)

    def search(self, pattern: str, limit: int) -> dict[str, P]:
        """
        The pairs that have all words of `pattern`, in whole or in part; the best first.
        """
        return {name: self.pairs[name] for name in rank(pattern, self._words, limit)}


def rank(pattern: str, names: Mapping[str, str], limit: int) -> list[str]:
    """
    Those of `names` that a search for `pattern` finds, at most `limit`. Each has the
    words that it is found by; it needs to have all words of `pattern`, in whole or in
    part. The best first: the more words are whole, or else begin with those of the
    pattern, the better, and then the shorter the name.
    """
    words = _split(pattern)
    found: list[tuple[int, int, str]] = []
    for name, text in names.items():
        index = _index(text)
        missing = 0
        for word in words:
            if f' {word} ' in index:
                continue
            if f' {word}' in index:
                missing += 1
            elif word in index:
                missing += 2
            else:
                break
        else:
            found.append((missing, len(name), name))
    return [name for *_, name in nsmallest(limit, found)] if words else []


def _split(text: str) -> list[str]:
    return re.findall(r'[^\s./_:-]+', text.lower())


@lru_cache(maxsize=2**15)
def _index(text: str) -> str:
    # a word is whole between two blanks
    return f' {" ".join(_split(text))} '
