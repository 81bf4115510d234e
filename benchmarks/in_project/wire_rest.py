"""
What the benchmarks say of and to the venue of `--protocol rest`, in its language.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

PING = '{"method":"ping","req_id":1}'
"""The least that there is a reply to."""
PING_PATH = '/0/public/Time'
"""The same by HTTP, where the backend makes requests by that."""
HAS_BARE_ORDERS = False
"""Whether `bench_trading.bare_trade()` speaks this language."""


class Message(msgspec.Struct):
    channel: str = ''
    data: msgspec.Raw = msgspec.Raw()


def socket_of(url: str) -> str:
    return url.replace('http', 'ws', 1) + '/v2'


def subscribe(market: str) -> str:
    return (
        '{"method":"subscribe","req_id":1,"params":'
        f'{{"channel":"trade","symbol":["{market}"],"snapshot":false}}}}'
    )


def subscribe_quotes(market: str) -> str:
    return (
        '{"method":"subscribe","req_id":1,"params":'
        f'{{"channel":"ticker","symbol":["{market}"],"event_trigger":"bbo"}}}}'
    )


def is_quote(message: str) -> bool:
    return '"channel":"ticker","type"' in message


def has_subscribed(said: bytes, market: str) -> bool:
    return b'"subscribe"' in said and b'"channel":"trade"' in said


def mk_read(trade: type[Any]) -> Callable[[str | bytes], int | None]:
    """
    A function that decodes a message, and returns the number of the last trade in it.
    """
    decode = msgspec.json.Decoder(Message).decode
    decode_trades = msgspec.json.Decoder(list[trade]).decode  # type: ignore[valid-type]

    def read(text: str | bytes) -> int | None:
        message = decode(text)
        if message.channel != 'trade':
            return None
        return decode_trades(message.data)[-1].number

    return read


def mk_message(market: str, trade: dict[str, Any], first: int, count: int) -> Any:
    """
    The `count` trades that come `first` after `trade`.
    """
    when = datetime.fromtimestamp(trade['timestamp'] / 1000, UTC)
    rows = [
        {
            'symbol': market,
            'side': 'buy',
            'price': trade['price'],
            'qty': trade['amount'],
            'ord_type': 'limit',
            'trade_id': trade['seq'] + number,
            'timestamp': when.isoformat().replace('+00:00', 'Z'),
        }
        for number in range(first, first + count)
    ]
    return {'channel': 'trade', 'type': 'update', 'data': rows}
