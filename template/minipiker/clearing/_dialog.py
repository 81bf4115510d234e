"""
The life of an order as `emsd` sees it, and the clients who are told of it.
"""

from __future__ import annotations

from time import time_ns

import trio
from msgspec import Struct, field

from ._messages import BrokerdPosition, Order, Status

_max_lag: int = 2**15
"""Messages that a client may be behind."""

transitions: dict[str, tuple[str, ...]] = {
    # emsd has it, and watches the market
    'dark_open': ('dark_open', 'triggered', 'canceled'),
    # of an alert this is the end; an order is sent to the broker now
    'triggered': (
        'triggered',
        'pending',
        'open',
        'fill',
        'closed',
        'canceled',
        'error',
    ),
    # the broker's daemon has it; whether the broker does is not known (any more)
    'pending': ('pending', 'open', 'fill', 'closed', 'canceled', 'error'),
    # the broker has it: what is refused from now on is a change, and no error of it
    'open': ('pending', 'open', 'fill', 'closed', 'canceled'),
    'fill': ('pending', 'open', 'fill', 'closed', 'canceled'),
    # it is over
    'closed': (),
    'canceled': (),
    'error': (),
}
"""What an order may be next, by what it is; each a `Status.resp`."""

fixed: dict[str, str] = {
    'symbol': 'market',
    'account': 'account',
    'action': 'side',
}
"""What no change of an order may touch, and what to call it."""


class EmsLagged(RuntimeError):
    """
    A client is too slow to be told what happens to its orders.
    """


class IllegalTransition(ValueError):
    """
    An order cannot become what it is said to be.
    """


class Client:
    """
    A client of `emsd`, and what it has not been told yet.
    """

    def __init__(self, fqme: str | None) -> None:
        self.fqme = fqme
        """The market whose orders it wants to hear of; None: all."""
        self.since = time_ns()
        """What is older it was not told..."""
        self._caught_up: set[str] = set()
        """... but of these orders, by oid."""
        self._queue, self.unsent = trio.open_memory_channel[Status | BrokerdPosition](
            _max_lag
        )
        self.error: Exception | None = None

    def push(self, msg: Status | BrokerdPosition) -> None:
        try:
            self._queue.send_nowait(msg)
        except trio.WouldBlock:
            self.fail(EmsLagged(f'more than {_max_lag} messages behind'))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it is leaving

    def catch_up(self, dialog: Dialog) -> bool:
        """
        Tell it what was said of an order before it came: when it asks for that again,
        as after a restart, or else before it hears of the end. Once: what it asks for
        after that is a change. Whether it was.
        """
        statuses = list(dialog.fills.values())
        if dialog.status.resp != 'fill':
            statuses.append(dialog.status)
        untold = [status for status in statuses if status.time_ns < self.since]
        if not untold or dialog.status.oid in self._caught_up:
            return False
        self._caught_up.add(dialog.status.oid)
        for status in untold:
            self.push(status)
        return True

    def fail(self, error: Exception) -> None:
        """
        Raise `error` in it, loud rather than lossy.
        """
        self.error = self.error or error
        self._queue.close()


class Dialog(Struct):
    """
    An order from its first request to its end.
    """

    status: Status
    """The latest that clients were told."""
    order: Order
    """As clients want it, whether or not the broker has it like that yet."""
    client: Client | None = None
    """Who opened it."""
    time_ns: int = field(default_factory=time_ns)
    sent: Order | None = None
    """What the broker's daemon was asked for last, or is to be when there is one."""
    accepted: Order | None = None
    """The order as the broker has it; None until it has."""
    fills: dict[str, Status] = {}
    """Those that clients were told, by trade."""

    @property
    def is_dark(self) -> bool:
        """
        Whether it is none of the broker's business (yet).
        """
        return self.status.resp == 'dark_open' or self.order.action == 'alert'

    @property
    def is_over(self) -> bool:
        resp = self.status.resp
        is_alert = self.order.action == 'alert'
        return not transitions[resp] or (is_alert and resp == 'triggered')

    def check(self, resp: str) -> None:
        """
        Raise `IllegalTransition` unless it may be `resp` next.
        """
        if resp not in transitions[self.status.resp]:
            raise IllegalTransition(
                f'order {self.order.oid} is {self.status.resp!r} and cannot become '
                f'{resp!r}'
            )

    def advance(self, status: Status) -> None:
        self.check(status.resp)
        self.status = status

    def change(self, order: Order) -> None:
        """
        Take note that a client wants it like `order` from now on. Raises `ValueError`
        where that would be another order.
        """
        for name, word in fixed.items():
            if getattr(order, name) != getattr(self.order, name):
                raise ValueError(
                    f'cannot change the {word} of an order; cancel it and place another'
                )
        self.order = order
