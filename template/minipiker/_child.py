"""
Where the process of a daemon begins: the runtime's own beginning, behind the gate.
"""

from __future__ import annotations

import runpy

from . import _gate, _spawn

if __name__ == '__main__':
    with _gate.use_key(_spawn.take_key()):
        runpy.run_module('tractor._child', run_name='__main__', alter_sys=True)
