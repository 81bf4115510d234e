"""
What requests cost, by "Rate Limits" in the venue's documentation.
"""

from __future__ import annotations

#{% if trading %}
from collections.abc import Mapping

import msgspec

from ._pacer import Pool
from ._piker import Struct

_refills: dict[float, float] = {60: 1, 125: 2.34, 180: 3.75}
"""Of the pool of orders, by its size."""
_costs: dict[str, tuple[float, dict[float, float]]] = {
    'amend_order': (1, {5: 3, 10: 2, 15: 1}),
    'edit_order': (1, {5: 6, 10: 5, 15: 4, 45: 2, 90: 1}),
    'cancel_order': (0, {5: 8, 10: 6, 15: 5, 45: 4, 90: 2, 300: 1}),
}
"""Of a change of an order: in any case, and more if it is younger than so many s."""


class Change(Struct, frozen=True):
    """
    The last one of an order.
    """

    symbol: str
    when: float
    """Epoch s."""


def mk_orders_pool(size: float) -> Pool:
    return Pool(size, _refills.get(size, size / 60))


def cost(
    method: str,
    params: Mapping[str, object],
    changes: Mapping[str, Change],
    now: float,
) -> tuple[str, float]:
    """
    The pool from which a request is paid, and how much.
    """
    kind, _, name = method.partition('/')
    if kind == 'public':
        return 'requests', 1
    if kind == 'private':
        return 'account', 2 if name == 'TradesHistory' else 1
    if method == 'add_order':
        return f'orders {params["symbol"]}', 1
    if method in _costs:
        ids = msgspec.convert(params['order_id'], str | list[str])
        if change := changes.get(ids if isinstance(ids, str) else ids[0]):
            base, steps = _costs[method]
            age = now - change.when
            more = next((it for limit, it in steps.items() if age < limit), 0)
            return f'orders {change.symbol}', base + more
    return 'messages', 1
#{% else %}

def cost(method: str) -> tuple[str, float]:
    """
    The pool from which a request is paid, and how much.
    """
    return ('requests' if method.startswith('public/') else 'messages'), 1
#{% endif %}
