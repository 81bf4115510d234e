"""
Limits of rates.
"""

from __future__ import annotations


class Bucket:
    """
    So many requests at once, and then so many a second.
    """

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst, self._rate = burst, rate
        self._left, self._filled = burst, now

    def take(self, now: float) -> bool:
        """
        Whether there was one left.
        """
        gained = (now - self._filled) * self._rate
        self._left, self._filled = min(self._burst, self._left + gained), now
        if self._left < 1:
            return False
        self._left -= 1
        return True
