"""
The actor tree: its root, its daemons, and how one finds the other.
"""

from ._actor_runtime import maybe_open_pikerd, open_pikerd
from ._daemon import maybe_spawn_daemon
from ._liveness import ServiceDied
from ._mngr import Services
from ._registry import find_service

__all__ = [
    'ServiceDied',
    'Services',
    'find_service',
    'maybe_open_pikerd',
    'maybe_spawn_daemon',
    'open_pikerd',
]
