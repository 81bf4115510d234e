"""
Notes what the venue has answered and told, where somebody wants to know it: a line each
in the file that the environment variable `CALLS_OF_<NAME>` names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ._config import NAME

_variable = f'CALLS_OF_{NAME.upper()}'
_package = Path(__file__).parent


def is_noted() -> bool:
    return bool(os.environ.get(_variable))


def note_call(method: str) -> None:
    """
    With the author's function that it was called from.
    """
    if is_noted():
        _note('call', method, _find_author())


def note_channel(name: str) -> None:
    _note('channel', name)


def _note(*words: str) -> None:
    # one write, which does not mix with those of other actors
    with open(os.environ[_variable], 'a') as file:
        file.write(' '.join(words) + '\n')


def _find_author() -> str:
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        file, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        # a comprehension is a part of its function
        if file.parent == _package and file.name[0] != '_' and name[0] != '<':
            return f'{file.stem}.{name}'
    return '?'
