"""
Clearing: from an order to its fills.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._messages import Cancel, Error, Order, Status

if TYPE_CHECKING:
    from ._client import OrderClient, TradesStream, open_ems
    from ._ems import open_brokerd_dialog
else:
    # A backend needs the messages, in daemons that know nothing of orders, too. The
    # rest is imported by who uses it.
    _modules = {
        'OrderClient': '_client',
        'TradesStream': '_client',
        'open_brokerd_dialog': '_ems',
        'open_ems': '_client',
    }

    def __getattr__(name: str) -> Any:
        if name not in _modules:
            raise AttributeError(f'{__name__} has no {name}')
        return getattr(import_module(f'.{_modules[name]}', __name__), name)


__all__ = [
    'Cancel',
    'Error',
    'Order',
    'OrderClient',
    'Status',
    'TradesStream',
    'open_brokerd_dialog',
    'open_ems',
]
