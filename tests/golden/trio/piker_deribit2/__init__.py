"""
A piker backend for deribit2.

The endpoints that a host's daemons look up, by the kind of daemon.
"""

from typing import Any

from .api import get_client
from .broker import open_trade_dialog
from .feed import open_history_client, replay_trades, stream_quotes
from .ledger import get_cost, norm_trade
from .symbols import get_mkt_info, open_symbol_search

__all__ = [
    'get_client',
    'get_cost',
    'get_mkt_info',
    'norm_trade',
    'open_history_client',
    'open_symbol_search',
    'open_trade_dialog',
    'replay_trades',
    'stream_quotes',
]

# Submodules that each kind of daemon lets other actors call into: those that define
# a `@tractor.context` endpoint of that kind, and no others.
_datad_mods: list[str] = ['symbols']
_brokerd_mods: list[str] = ['broker']

# For hosts that know one daemon for everything.
__enable_modules__: list[str] = [*_datad_mods, *_brokerd_mods]

# Arguments of `start_actor()`, the same in every kind of daemon.
_spawn_kwargs: dict[str, Any] = {}
