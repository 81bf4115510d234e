"""What a rule finds, and where."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Place:
    """A place in a file; lines and columns count from 1."""

    path: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f'{self.path}:{self.line}'


@dataclass(frozen=True, order=True)
class Finding:
    """A rule that is not kept."""

    place: Place
    id: str
    what: str
    why: str = field(compare=False)
    help: str = field(compare=False)
    level: str = field(compare=False, default='error')
    """`error` or `warning`."""
