"""
What a backend that trades is asked to prove.

Most of it is what NautilusTrader's specification of execution tests asks of an adapter,
as far as piker has the notion.
"""

from __future__ import annotations

from .._case import Case

ORDER_RULES = [
    Case('RULE-BOOT', 'brokerd boots in one place, and not if it cannot trade'),
    Case('RULE-SECRETS', 'credentials are for brokerd, and show up nowhere'),
    Case('RULE-WARM', 'brokerd warms its own caches'),
    Case('RULE-ACK', 'an order is acknowledged before all else is told of it'),
]

EXEC = [
    Case('EXEC-PAPER', 'without credentials it says paper', 'open_trade_dialog'),
    Case('EXEC-LIMIT-BUY', 'a limit order to buy rests', 'open_trade_dialog'),
    Case('EXEC-LIMIT-SELL', 'a limit order to sell rests', 'open_trade_dialog'),
    Case('EXEC-LIMIT-PAIR', 'one of each side rests', 'open_trade_dialog'),
    Case('EXEC-MODIFY-BUY', 'an order to buy is changed', 'open_trade_dialog'),
    Case('EXEC-MODIFY-SELL', 'an order to sell is changed', 'open_trade_dialog'),
    Case('EXEC-MODIFY-REFUSED', 'a bad change leaves it open', 'open_trade_dialog'),
    Case('EXEC-REPLACE', 'one is canceled for another', 'open_trade_dialog'),
    Case('EXEC-CANCEL', 'an order is canceled', 'open_trade_dialog'),
    Case('EXEC-CANCEL-ALL', 'all orders are canceled', 'open_trade_dialog'),
    Case('EXEC-CANCEL-TWICE', 'a second cancel is refused', 'open_trade_dialog'),
    Case('EXEC-REFUSED', 'a bad order is refused, and why', 'open_trade_dialog'),
    Case('EXEC-AMBIGUOUS', 'a lost reply refuses nothing', 'open_trade_dialog'),
    Case('EXEC-FOUND-ORDERS', 'open orders are found again', 'open_trade_dialog'),
    Case('EXEC-FILL-BUY', 'a buy at the market is filled', 'open_trade_dialog'),
    Case('EXEC-FILL-SELL', 'a sale at the market is filled', 'open_trade_dialog'),
    Case('EXEC-FILL-CLOSES', 'the opposite order closes it', 'open_trade_dialog'),
    Case('EXEC-POSITION', 'what was filled is the position', 'open_trade_dialog'),
    Case('EXEC-FOUND-FILLS', 'fills are found again', 'open_trade_dialog'),
    Case('EXEC-LEDGER', 'a fill becomes a transaction', 'norm_trade'),
]

ORDER_TRAITS = [
    Case('TRAIT-CLIENT-IDS', 'ids are as unique as it says', 'TRAITS.client_ids'),
    Case('TRAIT-EDIT', 'a change keeps the id, or not', 'TRAITS.edit'),
    Case('TRAIT-FILLS', 'fills come where it says', 'TRAITS.fills'),
    Case('TRAIT-POSITIONS', 'positions are told, or not', 'TRAITS.positions'),
    Case('TRAIT-DEADLINE', 'what comes too late is refused', 'TRAITS.deadline'),
]
