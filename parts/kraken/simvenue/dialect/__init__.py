"""
The venue's language, and nothing else: what is rewritten to simulate another venue.

`names` says what is listed, `requests` how the venue is asked, `public` what it is like
#{% if trading %}
and tells of markets; `messages` has the shapes of that. `login`, `orders`, `private`,
and `private_messages` do the same for accounts.
#{% else %}
and tells of markets; `messages` has the shapes of that.
#{% endif %}
"""

from .names import LISTING, instrument_name, order_id
#{% if trading %}
from .private import Private as Dialect
from .public import TRAITS, URL
#{% else %}
from .public import TRAITS, URL, Dialect
#{% endif %}
from .requests import LIMITS

__all__ = [
    'LIMITS',
    'LISTING',
    'TRAITS',
    'URL',
    'Dialect',
    'instrument_name',
    'order_id',
]
