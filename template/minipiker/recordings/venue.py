"""
What the suite runs on, with a recording and without.
"""

from __future__ import annotations

from typing import Literal

import pytest


def venue_command(recording: str | None) -> list[str]:
    """
    By which the recorded venue is started, or the simulated one if there is none.
    """
    options = [f'--replay={recording}'] if recording else []
    return ['simvenue', '--until-eof', *options]


def tree_scope(
    fixture_name: str, config: pytest.Config
) -> Literal['function', 'session']:
    """
    Of the shared tree. In a recording each test has its own: what an earlier one has
    begun there, as a stream, would be part of what it hears.
    """
    is_recorded = config.getoption('record') or config.getoption('replay')
    return 'function' if is_recorded else 'session'
