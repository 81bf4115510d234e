"""
The lifecycles of this backend's daemons: `datad`, which serves market data, and
`brokerd`, which controls orders.

They are the host's own, by one name each whatever it calls them.
"""

from __future__ import annotations

from ._piker import lifecycle

(
    _setup_persistent_datad,
    datad_init,
    spawn_datad,
    maybe_spawn_datad,
) = lifecycle('datad')
(
    _setup_persistent_brokerd,
    brokerd_init,
    spawn_brokerd,
    maybe_spawn_brokerd,
) = lifecycle('brokerd')
broker_init = brokerd_init
