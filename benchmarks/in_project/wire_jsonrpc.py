"""
What the benchmarks say of and to the venue of `--protocol jsonrpc`, in its language.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

PING = '{"jsonrpc":"2.0","id":1,"method":"public/test","params":{}}'
"""The least that there is a reply to."""
PING_PATH = ''
"""The same by HTTP, where the backend makes requests by that."""
HAS_BARE_ORDERS = True
"""Whether `bench_trading.bare_trade()` speaks this language."""


class Params(msgspec.Struct):
    channel: str
    data: msgspec.Raw


class Notification(msgspec.Struct):
    params: Params | None = None


def socket_of(url: str) -> str:
    return url


def subscribe(market: str) -> str:
    return (
        '{"jsonrpc":"2.0","id":1,"method":"public/subscribe",'
        f'"params":{{"channels":["trades.{market}.100ms"]}}}}'
    )


def subscribe_quotes(market: str) -> str:
    return subscribe(market).replace(f'trades.{market}.100ms', f'quote.{market}')


def is_quote(message: str) -> bool:
    return '"channel":"quote.' in message


def has_subscribed(said: bytes, market: str) -> bool:
    channel = f'"trades.{market}.100ms"'.encode()
    return b'"result"' in said and (b'[' + channel in said or channel + b']' in said)


def mk_read(trade: type[Any]) -> Callable[[str | bytes], int | None]:
    """
    A function that decodes a message, and returns the number of the last trade in it.
    """
    decode = msgspec.json.Decoder(Notification).decode
    decode_trades = msgspec.json.Decoder(list[trade]).decode  # type: ignore[valid-type]

    def read(message: str | bytes) -> int | None:
        params = decode(message).params
        return decode_trades(params.data)[-1].number if params else None

    return read


def mk_message(market: str, trade: dict[str, Any], first: int, count: int) -> Any:
    """
    The `count` trades that come `first` after `trade`.
    """
    rows = [
        {
            'trade_seq': trade['seq'] + number,
            'trade_id': str(trade['id'] + number),
            'timestamp': trade['timestamp'],
            'tick_direction': 0,
            'price': trade['price'],
            'mark_price': trade['price'],
            'instrument_name': market,
            'index_price': trade['price'],
            'direction': 'buy',
            'contracts': trade['amount'],
            'amount': trade['amount'],
        }
        for number in range(first, first + count)
    ]
    params = {'channel': f'trades.{market}.100ms', 'data': rows}
    return {'jsonrpc': '2.0', 'method': 'subscription', 'params': params}
