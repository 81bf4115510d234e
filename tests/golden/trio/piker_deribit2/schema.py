"""
What recordings of the venue are held against: the types of its replies, and what in its
messages is secret.
"""

from __future__ import annotations

from typing import Any

from . import messages

SECRETS = frozenset(
    {
        *('access_token', 'client_id', 'client_secret', 'refresh_token', 'signature'),
        *('api_key', 'authorization', 'nonce', 'otp', 'sid', 'tfa'),
        *('address', 'email', 'result.id', 'system_name', 'user_id', 'username'),
    }
)
"""
Fields whose values are for nobody's eyes; after a point, those in the object that the
first word names.
"""

REPLIES: dict[str, Any] = {
    'public/get_currencies': list[messages.Currency],
    'public/get_instrument': messages.Pair,
    'public/get_instruments': list[messages.Pair],
    'public/get_last_trades_by_instrument': messages.TradesPage,
    'public/get_last_trades_by_instrument_and_time': messages.TradesPage,
    'public/get_time': int,
    'public/get_tradingview_chart_data': messages.Bars,
    'public/set_heartbeat': str,
    'public/subscribe': list[str],
    'public/ticker': messages.Ticker,
    'public/unsubscribe': list[str],
    'private/buy': messages.OrderReply,
    'private/cancel': messages.Order,
    'private/edit': messages.OrderReply,
    'private/get_account_summaries': messages.AccountSummaries,
    'private/get_open_orders': list[messages.Order],
    'private/get_order_state': messages.Order,
    'private/get_order_state_by_label': list[messages.Order],
    'private/get_positions': list[messages.Position],
    'private/get_user_trades_by_currency_and_time': messages.UserTradesPage,
    'private/sell': messages.OrderReply,
    'private/subscribe': list[str],
    'private/unsubscribe': list[str],
    'public/auth': messages.Login,
}
"""Of each method that is asked for, the type of its result."""
