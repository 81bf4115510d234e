"""
What recordings of the venue are held against: the types of its replies, and what in its
messages is secret.
"""

from __future__ import annotations

from typing import Any

#{% if trading %}
from . import account, messages
#{% else %}
from . import messages
#{% endif %}

SECRETS = frozenset(
    {
        *('api-key', 'api-sign', 'apikey', 'authorization', 'nonce', 'otp', 'token'),
        *('address', 'email', 'iiban', 'sender_sub_id', 'user_id', 'username'),
    }
)
"""Fields and headers whose values are for nobody's eyes."""

REPLIES: dict[str, Any] = {
    'ping': messages.Pong,
    'public/AssetPairs': dict[str, messages.Pair],
    'public/Assets': dict[str, messages.AssetInfo],
    'public/OHLC': dict[str, list[messages.BarRow] | int],
    'public/Ticker': dict[str, messages.TickerInfo],
    'public/Time': messages.ServerTime,
    'public/Trades': dict[str, list[messages.TradeRow] | str],
    'subscribe': messages.Ack,
    'unsubscribe': messages.Ack,
#{% if trading %}
    'add_order': account.Placed,
    'amend_order': account.Amended,
    'cancel_order': account.Ended,
    'edit_order': account.Placed,
    'private/BalanceEx': dict[str, account.Balance],
    'private/ClosedOrders': account.ClosedOrders,
    'private/GetWebSocketsToken': account.Token,
    'private/OpenOrders': account.OpenOrders,
    'private/QueryOrders': dict[str, account.Order],
    'private/TradesHistory': account.TradesHistory,
#{% endif %}
}
"""Of each method that is asked for, the type of its result."""
