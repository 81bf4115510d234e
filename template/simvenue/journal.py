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
    An append-only file with one JSON line for each thing that happened: the entries,
    of several kinds, that it consists of. `kill -9` leaves a line whole or not at all.
    Without a `path` nothing is kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file: int | None = None
        self._new: list[tuple[str, Any]] = []
        self._found: defaultdict[str, list[msgspec.Raw]] = defaultdict(list)
        if path is None:
            return
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        # not from its position, which `/dev/fd/N` shares with its file but on Linux
        text = os.pread(self._file, os.fstat(self._file).st_size, 0)
        whole = text.rfind(b'\n') + 1
        try:
            for line in text[:whole].splitlines():
                for kind, entry in msgspec.json.decode(line, type=_Line):
                    self._found[kind].append(entry)
            if not text.startswith(_first[: len(text)]):
                raise ValueError
        except ValueError:
            os.close(self._file)
            raise ValueError(f'{path} is not the state of a venue') from None
        os.truncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)

    def take(self, kind: str, type: type[T]) -> list[T]:
        """
        The entries of a kind that an earlier run left, for their one reader.
        """
        return [
            msgspec.json.decode(entry, type=type) for entry in self._found.pop(kind, ())
        ]

    def append(self, kind: str, entry: Any) -> None:
        """
        Have `entry`, as it is now, written at the next `commit()`.
        """
        if self._file is not None:
            self._new.append((kind, msgspec.Raw(msgspec.json.encode(entry))))

    def commit(self) -> None:
        if self._file is not None and self._new:
            os.write(self._file, msgspec.json.encode(self._new) + b'\n')
            self._new.clear()


_first = b'[["'
"""Each line begins so, be it whole or not."""
_Line = list[tuple[str, msgspec.Raw]]
