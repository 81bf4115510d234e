"""
How long a process lives.
"""

from __future__ import annotations

import os
import sys

import trio


async def wait_for_eof() -> None:
    """
    Block until stdin ends: with the process that holds its other end, however that
    ends.
    """
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
        while await stdin.receive_some():
            pass
