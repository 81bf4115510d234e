"""
Where the process of a daemon begins: the runtime's own beginning, behind the gate.
"""

from __future__ import annotations

import atexit
import gc
import runpy

from . import _gate, _spawn

if __name__ == '__main__':
    # a search for cycles in all that was imported is a fifth of what a start costs
    atexit.register(gc.freeze)
    with _gate.use_key(_spawn.take_key()):
        runpy.run_module('tractor._child', run_name='__main__', alter_sys=True)
