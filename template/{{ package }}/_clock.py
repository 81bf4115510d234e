"""
What time it is at the venue, which may not be what it is here.
"""

from __future__ import annotations

import time


class Clock:
    """
    The venue's, as far as it is known: ours until it has been asked.
    """

    def __init__(self) -> None:
        self._ahead: float = 0

    def set(self, told: float, asked: float) -> None:
        """
        By what the venue has just told, in epoch s, to one who `asked` at that epoch
        second of ours: half of the time since then its answer was under way.
        """
        self._ahead = told - (asked + time.time()) / 2

    def now(self) -> float:
        """
        Epoch s.
        """
        return time.time() + self._ahead

    def now_ms(self) -> int:
        return int(1000 * self.now())
