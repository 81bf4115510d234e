"""
Misbehaviour on request.

drop        the others are cut off, now
silent      they hear nothing, not even replies, for `seconds` (default: for ever);
            connections made later do
repeat      the next `count` notifications (of `channel`) come twice
reorder     the next notification (of `channel`) comes after the one that follows it
skip        the next `count` notifications (of `channel`) never come: a gap in `seq`
malformed   the next `count` messages (of `channel`, or in reply to `method`) are cut
            in half
rate_limit  the next `count` requests (of `method`) are refused, to be tried again
            after `seconds`
delay       the replies to the next `count` requests (of `method`) are `seconds` late
maintenance they are cut off, and the next `count` requests are refused
nested      the next `count` messages (of `channel`, or in reply to `method`) are
            nested without end
endless     the next `count` requests (of `method`) for trades from some id on get full
            pages, with trades that have never been
lose_reply  the next `count` requests (of `method`) are carried out, and the connection
            cut off before the reply
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from .server import Session

Kind = Literal[
    'drop',
    'silent',
    'repeat',
    'reorder',
    'skip',
    'malformed',
    'maintenance',
    'nested',
    'endless',
    'rate_limit',
    'delay',
    'lose_reply',
]


class Fault(Struct, eq=False):
    kind: Kind
    count: int
    seconds: float
    channel: str | None
    method: str | None
    author: Session
    """Whoever asked for it is spared."""


class Faults:
    """
    Those that wait for their occasion.
    """

    def __init__(self) -> None:
        self.armed: list[Fault] = []

    def take(
        self,
        session: Session,
        *kinds: Kind,
        channel: str | None = None,
        method: str | None = None,
    ) -> Fault | None:
        """
        The fault of one of these kinds, if any, that strikes this message.
        """
        for fault in self.armed:
            if (
                fault.kind in kinds
                and fault.author is not session
                and fault.channel in (None, channel)
                and fault.method in (None, method)
            ):
                fault.count -= 1
                if not fault.count:
                    self.armed.remove(fault)
                return fault
        return None
