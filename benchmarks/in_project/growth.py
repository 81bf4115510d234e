"""
Whether a process grows: what is made of looks at its memory and its descriptors.

How much memory a process has does not say whether it leaks: an allocator keeps part of
each peak, so that each outage which is worse than all before it leaves a step. What is
allocated at the moment does say so, but only the process itself can tell. A daemon that
is killed again and again has several lives: what leaks does so in each of them, and a
peak is in some, so they are judged by what is the median at each age.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import mean, median, median_low

from msgspec import Struct, field

_steps: int = 6
"""Parts that are compared each with the one before."""
_creep: float = 1.5
"""MB that a process may gain all along the last two thirds of its life."""
_peak: float = 16
"""MB that may be left of a peak, in the only life that there was..."""
_usual_peak: float = 4
"""... and in the median of several."""
_several: int = 3
"""Lives of which the median knows no peak that is in one of them alone."""

OWN_MALLOC: dict[str, str] = {'PYTHONMALLOC': 'malloc', 'MALLOC_ARENA_MAX': '1'}
"""The environment in which `allocated()` tells of all that there is."""


class Process(Struct):
    name: str
    pid: int
    memory: list[int] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    """What it has allocated, if it can be asked; otherwise its memory."""
    files: list[int] = field(default_factory=list)


class Growth(Struct):
    """
    Medians of the second quarter of a process's life and of its last, and what it has
    gained all along.
    """

    name: str
    lives: int
    samples: int
    most: float
    """MB, in any of its lives."""
    memory: tuple[float, float]
    """MB"""
    used: tuple[float, float]
    """MB"""
    creep: float | None
    """MB; None for a life too short."""
    files: tuple[float, float]

    def problems(self) -> Iterator[str]:
        before, after = self.memory
        if after > 1.1 * before + (_peak if self.lives < _several else _usual_peak):
            yield f'{self.name}: its memory grew, {self.memory} MB'
        if self.creep is not None and self.creep > _creep:
            yield f'{self.name}: its memory keeps growing, by {self.creep:.1f} MB'
        before, after = self.files
        if after > 1.1 * before + 8:
            yield f'{self.name}: its descriptors grew, {self.files}'


class MallInfo(ctypes.Structure):
    """
    glibc's `struct mallinfo2`.
    """

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *('arena', 'ordblks', 'smblks', 'hblks', 'hblkhd'),
            *('usmblks', 'fsmblks', 'uordblks', 'fordblks', 'keepcost'),
        )
    ]


def allocated() -> int | None:
    """
    Bytes that this process, started with `OWN_MALLOC`, has allocated and not freed,
    garbage left out. None where the C library does not tell: it must be glibc 2.33.
    """
    mallinfo2 = getattr(ctypes.CDLL(None), 'mallinfo2', None)
    if mallinfo2 is None:
        return None
    gc.collect()
    mallinfo2.restype = MallInfo
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)


def measure(several: Sequence[Process], every: float) -> Growth | None:
    """
    What a process has gained in each of its lives, in which it was looked at `every` so
    many seconds. None where all were too short to say: what was closed may take a while
    to be gone.
    """
    lives = [
        life
        for life in several
        if (samples := len(life.memory)) >= 12 and samples * every >= 30
    ]
    if not lives:
        return None
    memory = usual([[size / 2**20 for size in life.memory] for life in lives])
    used = usual([[size / 2**20 for size in life.used] for life in lives])
    return Growth(
        lives[0].name,
        len(lives),
        len(memory),
        max(max(life.memory) for life in lives) / 2**20,
        quarters(memory),
        quarters(used),
        # of each part four samples
        creep(used) if len(used) >= 6 * _steps else None,
        quarters(usual([life.files for life in lives])),
    )


def usual(lives: Sequence[Sequence[float]]) -> list[float]:
    """
    The median of all lives at each age that at least half of them have reached.
    """
    ages = range(median_low(len(life) for life in lives))
    return [median(life[age] for life in lives if age < len(life)) for age in ages]


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
