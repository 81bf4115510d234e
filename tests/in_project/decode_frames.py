"""Decode recorded messages with the backend's own types, in the project's environment.

Reads the paths of the messages from its arguments; prints, as JSON, what each is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import minipiker  # noqa: F401 the host that the backend's seam is to find
import msgspec
from piker_deribit2 import messages as types
from piker_deribit2._market_data import Bars
from piker_deribit2.api import Client
from piker_deribit2.messages import mk_error

# What each reply is read as.
REPLIES: dict[str, Any] = {
    'http_get_instrument': types.Pair,
    'http_get_instrument_option': types.Pair,
    'http_get_instruments': list[types.Pair],
    'http_get_instruments_future_combo': list[types.Pair],
    'http_get_instruments_option_combo': list[types.Pair],
    'http_get_last_trades': types.TradesPage,
    'http_get_last_trades_future_combo': types.TradesPage,
    'http_get_last_trades_historical_combo': types.TradesPage,
    'http_get_last_trades_option_combo': types.TradesPage,
    'http_get_last_trades_perpetual_with_combo_tags': types.TradesPage,
    'http_get_time': int,
    'http_get_tradingview_chart_data': Bars,
    'ws_order_buy_response': types.OrderReply,
    'ws_order_cancel_response': types.Order,
    'ws_order_edit_response': types.OrderReply,
    'ws_order_sell_response': types.OrderReply,
    'ws_order_stop_market_no_filled_amount': types.OrderReply,
    'ws_order_stop_market_response': types.OrderReply,
    'ws_subscribe_response': list[str],
    # an order book has all that a ticker has
    'http_get_order_book': types.Ticker,
}


class Answers:
    """A connection of which nothing is known but what is said on it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def post(self, method: str) -> None:
        self.said.append(method)


def decode(name: str, message: dict[str, msgspec.Raw]) -> Any:
    if name in REPLIES:
        return msgspec.json.decode(message['result'], type=REPLIES[name])
    if 'error' in message:
        error = msgspec.json.decode(message['error'])
        return repr(mk_error('a_method', error['code'], error['message'], None))
    client, answers = Client.__new__(Client), Answers()
    method = msgspec.json.decode(message['method'], type=str)
    event = client.on_notification(answers, method, message['params'])  # type: ignore
    return answers.said if event is None else event[1]


def main() -> None:
    found = {}
    for argument in sys.argv[1:]:
        path = Path(argument)
        message = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        found[path.stem] = msgspec.to_builtins(decode(path.stem, message))
    print(msgspec.json.encode(found).decode())


if __name__ == '__main__':
    main()
