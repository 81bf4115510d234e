"""
What the venue must not forget when it is killed.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar('T')


class Journal:
    """
    An append-only file of JSON lines, each an entry of some kind. What `append()`
    has returned from survives `kill -9`; without a `path` nothing is kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file: int | None = None
        self._found: defaultdict[str, list[msgspec.Raw]] = defaultdict(list)
        if path is None:
            return
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        text = path.read_bytes()
        # a line that was cut short was never acknowledged
        whole = text.rfind(b'\n') + 1
        os.truncate(self._file, whole)
        for line in text[:whole].splitlines():
            kind, entry = msgspec.json.decode(line, type=tuple[str, msgspec.Raw])
            self._found[kind].append(entry)

    def append(self, kind: str, entry: Any) -> None:
        if self._file is not None:
            os.write(self._file, msgspec.json.encode((kind, entry)) + b'\n')

    def take(self, kind: str, type: type[T]) -> list[T]:
        """
        The entries of a kind that an earlier run left, for their one reader.
        """
        return [
            msgspec.json.decode(entry, type=type) for entry in self._found.pop(kind, ())
        ]
