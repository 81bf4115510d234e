"""
Limits of rates.
"""

from __future__ import annotations


class Bucket:
    """
    So many requests at once, and then so many a second.
    """

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self.burst, self._rate = burst, rate
        self._left, self._filled = burst, now

    def left(self, now: float) -> float:
        """
        How many there are; fewer than none where more were spent.
        """
        gained = (now - self._filled) * self._rate
        self._left, self._filled = min(self.burst, self._left + gained), now
        return self._left

    def spend(self, now: float, amount: float) -> None:
        """
        Whether or not there are as many left.
        """
        self._left = self.left(now) - amount

    def take(self, now: float, amount: float = 1) -> bool:
        """
        Whether there were as many left.
        """
        if self.left(now) < amount:
            return False
        self._left -= amount
        return True
