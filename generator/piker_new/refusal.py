"""How bad input is refused: what is wrong, why, and what to type instead."""

from __future__ import annotations


class Refusal(Exception):
    """Three short lines, the last two headed `note:` and `help:`.

    `status` is what the process exits with: 2 for bad input, 1 where the system
    would not let the project be written.
    """

    def __init__(self, lines: str, *, status: int = 2) -> None:
        super().__init__(lines)
        self.status = status
