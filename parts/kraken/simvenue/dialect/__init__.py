"""
The venue's language, and nothing else: what is rewritten to simulate another venue.

`listing` says what is listed and what the venue is like, `requests` how it is asked,
#{% if trading %}
and `public` tells of markets; `messages` has the shapes of that. `login`, `orders`,
`private`, and `private_messages` do the same for accounts.
#{% else %}
and `public` tells of markets; `messages` has the shapes of that.
#{% endif %}
"""

from .listing import LIMITS, LISTING, TRAITS, URL, instrument_name, order_id
#{% if trading %}
from .private import Private as Dialect
#{% else %}
from .public import Dialect
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
