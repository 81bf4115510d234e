"""
Misbehaviour on request, in terms of transport and engine.

Of the venue's connections
drop           all are cut off, now
silent         all hear nothing for `seconds` (default: for ever), and nobody listens to
               them; those made later do
refuse         nobody listens to new ones, for `seconds`
slow_reads     what clients send is read `seconds` late, message by message
forget         subscriptions, by `topic` and `market`, are dropped without a word

Of requests, by `operation` and `market`
maintenance    refused as the venue does it, for `seconds`
rate_limit     refused, to be tried again after `seconds`; where there are none, as the
               venue does it, which may be without a word about that
throttle       answered with an HTTP 429, with a Retry-After where there are `seconds`;
               on a socket, with its end
server_error   answered with an HTTP 502; on a socket, with its end
stale_nonce    taken for one that comes after a later one, where they are numbered
unauthorized   the connection is logged out before the request is looked at
expired_token  refused, for the login has run out
lose_request   not carried out, and the connection cut off
lose_reply     carried out, and the connection cut off before the reply
delay          carried out, and the reply is `seconds` late
defer          carried out `seconds` late (default: for ever)

Of the messages of a stream, by `topic` and `market`
repeat         it comes twice
reorder        it comes after the one that follows it
skip           it never comes

Of both, that is of messages, by any of these
malformed      cut in half
partial_frame  half of its bytes come, then the connection ends
nested         with a field that is 10 000 deep
huge           with 50 MB of white space
wrong_type     its fields are of other types
unknown_field  it has fields that nobody knows
missing_field  it has lost its fields

Each strikes `count` times, those with a duration for as long as that, or until they are
cleared, when what is late comes at once. The control port is never struck.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

ConnectionFault = Literal['drop', 'silent', 'refuse', 'slow_reads', 'forget']
RequestFault = Literal[
    'maintenance',
    'rate_limit',
    'stale_nonce',
    'expired_token',
    'throttle',
    'server_error',
    'unauthorized',
    'lose_request',
    'lose_reply',
    'delay',
    'defer',
]
StreamFault = Literal['repeat', 'reorder', 'skip']
MessageFault = Literal[
    'malformed',
    'partial_frame',
    'nested',
    'huge',
    'wrong_type',
    'unknown_field',
    'missing_field',
]
Kind = ConnectionFault | RequestFault | StreamFault | MessageFault

CONNECTION: tuple[str, ...] = get_args(ConnectionFault)
REQUEST: tuple[str, ...] = get_args(RequestFault)
STREAM: tuple[str, ...] = get_args(StreamFault)
MESSAGE: tuple[str, ...] = get_args(MessageFault)
KINDS = CONNECTION + REQUEST + STREAM + MESSAGE

_LASTING = ('maintenance', 'slow_reads')
"""Those that strike again and again."""
_ALTERING = ('wrong_type', 'unknown_field', 'missing_field')
_OTHER = {'not': 'what it was'}
_DEPTH = 10_000
_SIZE = 50 * 2**20


class Fault(Struct, eq=False):
    kind: str
    count: int = 1
    seconds: float | None = None
    operation: str | None = None
    topic: str | None = None
    market: str | None = None
    until: float | None = None

    def strikes(self, operation: str, topics: tuple[str, ...], market: str) -> bool:
        return (
            self.operation in (None, operation)
            and (self.topic is None or self.topic in topics)
            and self.market in (None, market)
        )


class Faults:
    """
    Those that wait for their occasion.
    """

    def __init__(self) -> None:
        self.armed: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        if fault.kind in _LASTING:
            wait = fault.seconds
            if wait is not None and fault.kind != 'slow_reads':
                fault.until = time.monotonic() + wait
        self.armed.append(fault)

    def take(
        self,
        *kinds: str,
        operation: str = '',
        topics: tuple[str, ...] = (),
        market: str = '',
    ) -> Fault | None:
        """
        The fault of one of these kinds, if any, that strikes this message.
        """
        if not self.armed:
            return None
        now = time.monotonic()
        self.armed = [it for it in self.armed if it.until is None or it.until > now]
        for fault in self.armed:
            if fault.kind in kinds and fault.strikes(operation, topics, market):
                if fault.kind not in _LASTING:
                    fault.count -= 1
                    if not fault.count:
                        self.armed.remove(fault)
                return fault
        return None


def alter(fault: Fault | None, content: Any) -> Any:
    """
    What a message is about, as the fault, if any, has it: the rows or the innermost
    object that make up most of it are changed.
    """
    if fault is None or fault.kind not in _ALTERING:
        return content
    content = msgspec.to_builtins(content, builtin_types=(Decimal,))
    if isinstance(content, list):
        return [alter(fault, it) for it in content]
    if not isinstance(content, dict):
        return content if fault.kind == 'unknown_field' else dict(_OTHER)
    name = max(
        content, key=lambda it: len(msgspec.json.encode(content[it])), default=''
    )
    inner = content.get(name)
    first = inner[0] if isinstance(inner, list) and inner else inner
    if isinstance(first, dict):
        return {**content, name: alter(fault, inner)}
    match fault.kind:
        case 'unknown_field':
            return {**content, 'unheard_of': {'nobody': ['knows', 1, None]}}
        case 'missing_field':
            return {}
    return dict.fromkeys(content, _OTHER)


def spoil(fault: Fault | None, message: bytes) -> bytes:
    """
    The message, as the fault, if any, has it.
    """
    match fault:
        case Fault(kind='nested'):
            deep = b'[' * _DEPTH + b']' * _DEPTH
            return message[:-1] + b',"nested":' + deep + b'}'
        case Fault(kind='malformed'):
            return message[: len(message) // 2]
        case Fault(kind='huge'):
            return message + b' ' * _SIZE
    return message
