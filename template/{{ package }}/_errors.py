"""
What can go wrong between this backend and its venue.
"""

from __future__ import annotations

import math

import trio

from ._piker import BrokerError, DataThrottle

_min_pause: float = 0.05
_usual_pause: float = 1
_max_pause: float = 60


class ConnectionLost(BrokerError):
    """
    The connection broke down, or what came over it made no sense. The venue may or may
    not have carried out a request that was under way.
    """


class ReplyLost(ConnectionLost):
    """
    The same of one request, while others go on: there is no need of a new connection.
    """


class NotConnected(ConnectionLost):
    """
    There is no connection that could be used, and has not been for a while: a request
    was not made.
    """


class Unexpected(BrokerError):
    """
    A message from the venue that nobody here has a use for.
    """


class OutOfStep(BrokerError):
    """
    What a `channel` says does not go together with what it has said before: something
    is missing.
    """

    def __init__(self, channel: str) -> None:
        super().__init__(f'{channel} does not add up')
        self.channel = channel


class Overrun(BrokerError):
    """
    The consumer of a channel was too slow, and has missed messages.
    """


class Throttled(DataThrottle):
    """
    The venue does not take requests just now: there were too many, or it is under
    maintenance. This one was not carried out.
    """

    def __init__(self, message: str, pause: float | None = None) -> None:
        told = _usual_pause if pause is None else pause
        self.pause = _usual_pause
        """Seconds until the next attempt: what the venue says, within reason."""
        if not math.isnan(told):
            self.pause = min(max(told, _min_pause), _max_pause)
        if self.pause != told:
            message += f', for {told:g} s as it says; trying again in {self.pause:g} s'
        super().__init__(message)


class AuthError(BrokerError):
    """
    The venue does not accept the credentials, or there are none.
    """


class OrderRejected(BrokerError):
    """
    The venue refuses an order, or has none of that name.
    """

    def __init__(self, message: str, code: int | str) -> None:
        super().__init__(message)
        self.code = code
        """The venue's own."""


class Expired(BrokerError):
    """
    The venue heard of a request later than it was allowed to carry it out, by its
    clock, which may not be what it was.
    """


class OrderExpired(OrderRejected, Expired):
    """
    The same of an order.
    """


class QueryExpired(Throttled, Expired):
    """
    The same of a question, which is asked again.
    """


EXPECTED = (BrokerError, OSError, trio.TooSlowError)
"""What a venue or a network may cause. The rest are mistakes of ours."""


def gravest(errors: BaseExceptionGroup[Exception]) -> Exception:
    """
    One of those that came at once: a mistake of ours, if there is one.
    """
    if unexpected := errors.split(EXPECTED)[1]:
        errors = unexpected
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
