"""
A thing that a test has to show.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """
    By an id that stays.
    """

    id: str
    claim: str
    about: str = ''
    """The endpoint, or the trait as `TRAITS.<name>`, of which it is a part."""
