"""
Whether a process grows: what is made of looks at its memory and its descriptors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import mean, median

from msgspec import Struct, field

_steps: int = 6
"""Parts that are compared each with the one before."""
_creep: float = 1.5
"""MB that a process may gain all along the last two thirds of its life."""


class Process(Struct):
    name: str
    pid: int
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)


class Growth(Struct):
    """
    Medians of the second quarter of a process's life and of its last, and what it has
    gained all along.
    """

    name: str
    samples: int
    memory: tuple[float, float]
    """MB"""
    creep: float | None
    """MB; None for a life too short."""
    files: tuple[float, float]

    def problems(self) -> Iterator[str]:
        before, after = self.memory
        if after > 1.1 * before + 16:
            yield f'{self.name}: its memory grew, {self.memory} MB'
        if self.creep is not None and self.creep > _creep:
            yield f'{self.name}: its memory keeps growing, by {self.creep:.1f} MB'
        before, after = self.files
        if after > 1.1 * before + 8:
            yield f'{self.name}: its descriptors grew, {self.files}'


def measure(it: Process, every: float) -> Growth | None:
    """
    What a process has gained, that was looked at `every` so many seconds. None where
    its life was too short to say: what was closed may take a while to be gone.
    """
    samples = len(it.memory)
    if samples < 12 or samples * every < 30:
        return None
    memory = [size / 2**20 for size in it.memory]
    # of each part four samples
    gained = creep(memory) if samples >= 6 * _steps else None
    return Growth(it.name, samples, quarters(memory), gained, quarters(it.files))


def quarters(samples: Sequence[float]) -> tuple[float, float]:
    quarter = len(samples) // 4
    return median(samples[quarter : 2 * quarter]), median(samples[-quarter:])


def creep(samples: Sequence[float]) -> float:
    """
    By how much the last two thirds have grown, if all of it grew as the median part or,
    where that is less, as the mean: a leak counts in full, but not the peak after an
    outage, which an allocator keeps.
    """
    rest = samples[len(samples) // 3 :]
    at = [len(rest) * part // _steps for part in range(_steps + 1)]
    parts = [median(rest[start:stop]) for start, stop in pairwise(at)]
    steps = [after - before for before, after in pairwise(parts)]
    return _steps * min(median(steps), mean(steps))
