"""
The venue's language, and nothing else: what is rewritten to simulate another venue.

`public` says what is listed, what the venue is like, and how it is asked for market
#{% if trading %}
data; `messages` has the shapes of what it tells. `login`, `private` and
`private_messages` do the same for accounts and orders.
#{% else %}
data; `messages` has the shapes of what it tells.
#{% endif %}
"""

#{% if trading %}
from .private import Private as Dialect
from .public import LIMITS, LISTING, TRAITS, URL, instrument_name, order_id
#{% else %}
from .public import LIMITS, LISTING, TRAITS, URL, Dialect, instrument_name, order_id
#{% endif %}

__all__ = [
    'LIMITS',
    'LISTING',
    'TRAITS',
    'URL',
    'Dialect',
    'instrument_name',
    'order_id',
]
