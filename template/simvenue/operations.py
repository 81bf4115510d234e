"""
What is asked for, and what is told, whatever a dialect calls it. Faults are armed by
these names, and the suite counts on those that are marked.
"""

from __future__ import annotations

from typing import Literal

Operation = Literal[
    'balances',
    'bars',
    'book',
    'cancel',  # *
    'cancel_after',  # all orders, unless it is asked for again
    'cancel_on_disconnect',
    'currencies',
    'edit',  # *
    'fills',  # * of the account
    'heartbeat',
    'instruments',  # *
    'login',  # * by whatever a connection gets to hear of an account
    'logout',
    'open_orders',  # *
    'order',  # open or not, by its id or that of its client
    'place',  # *
    'positions',
    'status',
    'subscribe',  # *
    'test',  # that the other end is there; a replay answers it by itself
    'ticker',  # *
    'time',  # * likewise
    'trades',  # * of everybody
    'unsubscribe',
]

Topic = Literal[
    'balances',
    'bars',
    'book',
    'fills',  # *
    'instruments',
    'orders',  # *
    'positions',
    'quote',  # * the best bid and offer
    'ticker',
    'trades',  # *
]
