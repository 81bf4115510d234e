"""
The venue's clock.
"""

from __future__ import annotations

import time


class Clock:
    """
    Market time, in epoch ms: it was `epoch` at the real time `since` (epoch s), both by
    default now, and runs at `speed` times the pace of real time.
    """

    def __init__(
        self,
        epoch: int | None = None,
        speed: float = 1,
        since: float | None = None,
    ) -> None:
        self.set(epoch, speed, since)

    def set(
        self,
        epoch: int | None = None,
        speed: float = 1,
        since: float | None = None,
    ) -> None:
        """
        Make it another time.
        """
        self.since = time.time() if since is None else since
        self.epoch = int(self.since * 1000) if epoch is None else epoch
        self.speed = speed
        # real time may be set back, this may not
        self._zero = time.monotonic() - (time.time() - self.since)

    def now(self) -> int:
        return self.epoch + int((time.monotonic() - self._zero) * self.speed * 1000)

    def seconds_until(self, moment: int) -> float:
        """
        Real seconds until `moment` (ms), 0 if it has passed.
        """
        return max(0, moment - self.now()) / 1000 / self.speed
