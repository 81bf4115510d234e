"""
Why something is not done, whatever a dialect calls it.
"""

from __future__ import annotations

from typing import Literal

Reason = Literal[
    'amount_step',  # not a multiple of the step
    'amount_too_low',
    'bad_login',  # unknown key, or wrong secret
    'bad_params',
    'bad_request',
    'bad_signature',
    'client_id_used',
    'cost_too_low',
    'forbidden',  # the login does not go so far
    'internal',
    'login_needed',
    'maintenance',
    'market_closed',  # expired, or delisted
    'no_funds',
    'no_liquidity',  # nothing to trade with
    'not_open',  # the order is filled or cancelled
    'order_not_found',
    'price_step',  # not a multiple of the tick size
    'socket_login_needed',  # that channel is not for everybody
    'socket_needed',  # not by HTTP
    'stale_nonce',  # not above that of an earlier request
    'token_expired',
    'too_big',
    'too_late',  # the request was good until an earlier time
    'too_many',  # requests
    'unknown_currency',
    'unknown_market',
    'unknown_operation',
    'unparsable',
    'would_take',
]


class Refusal(Exception):
    """
    A request that is not carried out. `wait` says in how many seconds it might be.
    """

    def __init__(
        self, reason: Reason, text: str = '', wait: float | None = None
    ) -> None:
        super().__init__(reason, text)
        self.reason = reason
        self.text = text
        self.wait = wait
