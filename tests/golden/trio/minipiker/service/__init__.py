"""
The actor tree: its root, its daemons, and how one finds the other.
"""

from ..brokers._daemon import maybe_spawn_brokerd, spawn_brokerd
from ..data._daemon import maybe_spawn_datad, spawn_datad
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
    'maybe_spawn_brokerd',
    'maybe_spawn_daemon',
    'maybe_spawn_datad',
    'open_pikerd',
    'spawn_brokerd',
    'spawn_datad',
]
