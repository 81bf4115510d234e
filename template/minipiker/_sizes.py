"""
What the suite orders, so that it is neither too little nor more than need be.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Protocol


class Rules(Protocol):
    """
    A market's, as the author's `Pair` has them: see `_symbology.Listed` of the backend.
    """

    @property
    def size_step(self) -> Decimal: ...

    @property
    def min_size(self) -> Decimal: ...

    @property
    def min_cost(self) -> Decimal:
        """
        The least that an order may be worth; 0 where the venue has no such rule.
        """


def smallest_size(rules: Rules, last: float) -> Decimal:
    """
    The least that an order may be of, down to a tenth of the price `last`.
    """
    steps = rules.min_cost / (Decimal(str(last)) / 10 * rules.size_step)
    worth = steps.to_integral_value(ROUND_CEILING) * rules.size_step
    return max(rules.min_size, worth)
