"""Recorded messages and our own: where ours say less."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get('PIKER_NEW_FRAMES', ROOT.parent / 'shared' / 'frames'))
"""Where there are recorded messages, in a folder for each exchange, if anywhere."""

Skip = Callable[[Any], bool]


def differences(
    theirs: Any, ours: Any, skip: Skip = lambda row: False, path: str = ''
) -> Iterator[tuple[str, str]]:
    """
    Where ours lacks something, or has it of another type; rows that we `skip` aside.
    """
    if theirs is None or (path.endswith('_map') and isinstance(ours, dict)):
        return
    if json_type(theirs) is not json_type(ours):
        yield path, f'{ours!r} is no {json_type(theirs).__name__}'
    elif isinstance(theirs, dict):
        for key, value in theirs.items():
            if key in ours:
                yield from differences(value, ours[key], skip, f'{path}.{key}')
            else:
                yield f'{path}.{key}', 'missing'
    elif isinstance(theirs, list):
        if theirs and not ours:
            yield path, 'empty'
        else:
            yield from rows(theirs, ours, skip, path)


def json_type(value: Any) -> type:
    # whether a number is written with a point says nothing
    return float if type(value) is int else type(value)


def rows(
    theirs: list[Any], ours: list[Any], skip: Skip, path: str
) -> Iterator[tuple[str, str]]:
    if not theirs:
        return
    if not isinstance(theirs[0], dict):
        for at, value in enumerate(theirs[:10]):
            yield from differences(value, ours[min(at, len(ours) - 1)], skip, path)
        return
    for row in theirs:
        if skip(row):
            continue
        # rows of one kind are alike
        alike = [it for it in ours if it.get('kind') == row.get('kind')]
        found = [dict(differences(row, it, skip, path)) for it in alike]
        yield from min(found, key=len).items() if found else [(path, 'no such row')]
