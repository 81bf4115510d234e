"""
A piker backend for deribit2.

The endpoints that a host's daemons look up, by the kind of daemon.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .api import get_client
from .feed import open_history_client, replay_trades, stream_quotes
from .symbols import get_mkt_info, open_symbol_search

if TYPE_CHECKING:
    from .broker import open_trade_dialog
    from .ledger import get_cost, norm_trade

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

# What is for trading alone, and where it is. It is imported by whoever trades: without
# it, because it is still to be written, there are quotes all the same.
_trading: dict[str, str] = {
    'get_cost': 'ledger',
    'norm_trade': 'ledger',
    'open_trade_dialog': 'broker',
}


def __getattr__(name: str) -> Any:
    if name not in _trading:
        raise AttributeError(f'{__name__} has no {name}')
    module = f'{__name__}.{_trading[name]}'
    try:
        return getattr(import_module(module), name)
    except Exception as err:
        # the one error that a host takes for the lack of an endpoint
        raise AttributeError(
            f'no {name}: {module} cannot be imported: {type(err).__name__}: {err}'
        ) from err
