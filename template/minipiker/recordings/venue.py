"""
A venue that says what was recorded.
"""

from __future__ import annotations


def venue_command(recording: str | None) -> list[str]:
    """
    By which it is started, or the simulated one where there is no recording.
    """
    options = [f'--replay={recording}'] if recording else []
    return ['simvenue', '--until-eof', *options]
