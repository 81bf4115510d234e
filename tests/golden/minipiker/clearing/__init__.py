"""
Clearing: from an order to its fills.
"""

from ._client import OrderClient, TradesStream, open_ems
from ._ems import open_brokerd_dialog
from ._messages import Cancel, Error, Order, Status

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
