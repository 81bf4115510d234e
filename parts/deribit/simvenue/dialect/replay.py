"""
What of a message counts when a recording is replayed.
"""

from __future__ import annotations

from typing import Any

ID = 'id'
"""By which a reply names its request on a socket."""
METHOD = ('method',)
"""What is asked for, in any case."""
IGNORED = frozenset(
    {
        *('id', 'nonce', 'timestamp', 'signature', 'valid_until'),
        *('access_token', 'client_id', 'client_secret', 'refresh_token'),
    }
)
"""Parts of a request that do not count: numbers, times of now, and secrets."""
TIMES = frozenset({'start_timestamp', 'end_timestamp'})
"""Those that do not have to be the same, but the nearer the better."""
NAMES = frozenset({'label'})
"""Those that a client makes up, and by which the venue calls things from then on."""


def subscribes(message: Any) -> bool:
    return str(message.get('method')).endswith('/subscribe')


def channels(message: Any) -> list[str]:
    """
    Those that a request to subscribe, or what comes unasked, is about.
    """
    match message:
        case {'params': {'channels': list(found)}}:
            return found
        case {'params': {'channel': str(found)}}:
            return [found]
    return []


def kind(channel: str) -> str:
    """
    Of what comes on it, which is alike for all channels of a kind.
    """
    first, second, *_ = [*channel.split('.'), '']
    return f'{first}.{second}' if first == 'user' else first


def refuses(message: Any) -> bool:
    return isinstance(message, dict) and 'error' in message
