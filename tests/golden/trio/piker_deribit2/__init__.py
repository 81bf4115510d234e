"""
A piker backend for deribit2.

The endpoints that a host's daemons look up, by the kind of daemon.
"""

from typing import TYPE_CHECKING, Any

from ._client import get_client
from ._feed import open_history_client, replay_trades, stream_quotes
from ._late import import_late
from ._symbols import get_mkt_info, open_symbol_search

if TYPE_CHECKING:
    from ._broker import open_trade_dialog
    from ._ledger import get_cost, norm_trade

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
_datad_mods: list[str] = ['_symbols']
_brokerd_mods: list[str] = ['_broker']

# For hosts that know one daemon for everything.
__enable_modules__: list[str] = [*_datad_mods, *_brokerd_mods]

# Arguments of `start_actor()`, the same in every kind of daemon.
_spawn_kwargs: dict[str, Any] = {}

# What is for trading alone, and where it is. It is imported by whoever trades: without
# it, because it is still to be written, there are quotes all the same.
_trading: dict[str, str] = {
    'get_cost': '_ledger',
    'norm_trade': '_ledger',
    'open_trade_dialog': '_broker',
}


def __getattr__(name: str) -> Any:
    return import_late(__name__, _trading, name)
