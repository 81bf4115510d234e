"""
What of a message counts when a recording is replayed.
"""

from __future__ import annotations

from typing import Any

ID = 'req_id'
"""By which a reply names its request on a socket."""
METHOD = ('method',)
"""What is asked for, in any case."""
IGNORED = frozenset({'req_id', 'nonce', 'token', 'deadline', 'otp'})
"""Parts of a request that do not count: numbers, times of now, and secrets."""
TIMES = frozenset({'since', 'start', 'end'})
"""Those that do not have to be the same, but the nearer the better."""
NAMES = frozenset({'cl_ord_id'})
"""Those that a client makes up, and by which the venue calls things from then on."""
_WHOLE = ('balances', 'executions', 'instrument')
"""Channels that are not of one market."""


def subscribes(message: Any) -> bool:
    return bool(message.get('method') == 'subscribe')


def channels(message: Any) -> list[str]:
    """
    Those that a request to subscribe, or what comes unasked, is about.
    """
    symbols: list[Any]
    match message:
        case {'params': {'channel': str(name), 'symbol': list(symbols)}}:
            pass
        case {'channel': str(name), 'data': list(rows)}:
            symbols = [it.get('symbol') if isinstance(it, dict) else '' for it in rows]
        case {'channel': str(name)} | {'params': {'channel': str(name)}}:
            symbols = []
        case _:
            return []
    return [name] if name in _WHOLE else [f'{name} {symbol}' for symbol in symbols]


def kind(channel: str) -> str:
    """
    Of what comes on it, which is alike for all channels of a kind.
    """
    return channel.partition(' ')[0]


def refuses(message: Any) -> bool:
    return isinstance(message, dict) and bool(message.get('error'))
