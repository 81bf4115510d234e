"""Rules on the comments that excuse findings; `engine` applies them."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend
from .base import Rule


class _OnIgnores(Rule):
    """Of all ignores, when everything else has been checked."""

    source = 'piker-new'

    def check(self, backend: Backend) -> Iterator[Finding]:
        yield from ()


class Unused(_OnIgnores):
    """An ignore excuses nothing.

    What it once excused is mended or has moved, and it would hide the next finding.
    """

    id = 'PK001'
    help = 'take the comment out'


class WithoutReason(_OnIgnores):
    """An ignore gives no reason.

    Whoever reads it later cannot tell whether it still holds; so it excuses nothing.
    """

    id = 'PK002'
    help = 'write `# piker: ignore[ID] reason`'


class UnknownRule(_OnIgnores):
    """An ignore names no rule.

    It excuses nothing, whatever it was meant for.
    """

    id = 'PK003'
    help = '`piker-new check --list` shows the ids'


RULES: list[Rule] = [Unused(), WithoutReason(), UnknownRule()]
