"""
Search among names, where a venue has none of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from heapq import nsmallest


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
