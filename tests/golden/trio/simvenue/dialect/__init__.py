"""
The venue's language, and nothing else: what is rewritten to simulate another venue.

`listing` says what is listed and what the venue is like, `public` how it is asked for
market data; `messages` has the shapes of what it tells. `login`, `private` and
`private_messages` do the same for accounts and orders.
"""

from .listing import LIMITS, LISTING, TRAITS, URL, instrument_name, order_id
from .private import Private as Dialect

__all__ = [
    'LIMITS',
    'LISTING',
    'TRAITS',
    'URL',
    'Dialect',
    'instrument_name',
    'order_id',
]
