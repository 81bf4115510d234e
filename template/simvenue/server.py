"""
The venue's port: who is connected, and what they hear.
"""

from __future__ import annotations

import socket
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import trio

from .engine import Engine
from .events import Event
from .faults import Fault, Faults
from .hub import Dialect
from .session import Session, Subscription

_recent: int = 1000
"""Requests that are remembered in their order."""


class Server:
    """
    Everybody who is connected, and what they hear.
    """

    def __init__(self, engine: Engine, limits: dict[str, float]) -> None:
        self.engine = engine
        self.limits = limits
        """Of each connection."""
        self.dialect: Dialect
        self.faults = Faults()
        self.sessions: set[Session] = set()
        self.requests: Counter[str] = Counter()
        """How many there were, by operation."""
        self.recent: deque[str] = deque(maxlen=_recent)
        """The last ones."""
        self.behaves = trio.Event()
        """When all faults are cleared."""
        self._subscribers: defaultdict[tuple[type, str], dict[Subscription, None]] = (
            defaultdict(dict)
        )
        self._news: list[Event] = []
        self._socket: trio.socket.SocketType
        """Bound to the venue's port, whether it listens there or not."""
        self._accepts = trio.Event()
        """While it listens."""
        self._accepting = trio.CancelScope()
        self._nursery: trio.Nursery
        engine.listeners.append(self._news.append)

    def subscribe(
        self, subscription: Subscription, first: Callable[[], Iterable[Any]] = tuple
    ) -> None:
        """
        The messages that it begins with, which `first` makes, are sent behind the reply
        to the current request.
        """
        session = subscription.session
        self.unsubscribe(session, subscription.channel)
        session.subscriptions[subscription.channel] = subscription
        for market in subscription.markets:
            self.engine.watch(market)
        for key in subscription.keys:
            self._subscribers[subscription.event, key][subscription] = None
        session.after_reply.append(partial(session.send_all, first))

    def unsubscribe(self, session: Session, channel: str) -> bool:
        """
        Returns whether it was subscribed to.
        """
        if (subscription := session.subscriptions.pop(channel, None)) is None:
            return False
        for key in subscription.keys:
            del self._subscribers[subscription.event, key][subscription]
        for market in subscription.markets:
            self.engine.unwatch(market)
        return True

    def flush(self) -> None:
        """
        After something has happened: remember it, then tell the world.
        """
        self.engine.journal.commit()
        news, self._news[:] = self._news[:], []
        heard: dict[Subscription, list[Any]] = {}
        for event in news:
            for key in dict.fromkeys(('', event.key)):
                for subscription in self._subscribers.get((type(event), key), ()):
                    if subscription.wants is None or subscription.wants(event):
                        heard.setdefault(subscription, []).append(event)
        for subscription, events in heard.items():
            subscription.session.hear(subscription, events)

    def subscriptions(self) -> dict[str, dict[str, int]]:
        """
        How many there are, by topic and market.
        """
        counts: dict[str, Counter[str]] = {}
        for session in self.sessions:
            for subscription in session.subscriptions.values():
                for topic in subscription.topics:
                    markets = subscription.markets or ('',)
                    counts.setdefault(topic, Counter()).update(markets)
        return {topic: dict(markets) for topic, markets in counts.items()}

    def misbehave(self, fault: Fault) -> None:
        match fault.kind:
            case 'drop':
                for session in list(self.sessions):
                    session.abort()
            case 'silent':
                seconds = float('inf') if fault.seconds is None else fault.seconds
                for session in self.sessions:
                    session.be_silent(seconds)
            case 'refuse':
                self._refuse(fault.seconds)
            case 'forget':
                self._forget(fault)
            case _:
                self.faults.arm(fault)

    def _forget(self, fault: Fault) -> None:
        for session in self.sessions:
            for channel, it in list(session.subscriptions.items()):
                if fault.strikes('', it.topics, it.market):
                    self.unsubscribe(session, channel)

    def behave(self) -> None:
        self.faults.armed.clear()
        self.behaves.set()
        self.behaves = trio.Event()
        self._accept()
        for session in self.sessions:
            session.be_silent(0)

    async def serve(self, listener: trio.SocketListener) -> None:
        """
        Serve until cancelled.
        """
        self._socket = listener.socket
        self._accepts.set()
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self.engine.run, self.flush)
                while True:
                    while not self._accepts.is_set():
                        await self._accepts.wait()
                    listener = trio.SocketListener(self._socket)
                    with trio.CancelScope() as self._accepting:
                        await trio.serve_listeners(
                            self._connected, [listener], handler_nursery=self._nursery
                        )
        finally:
            self._socket.close()

    def _refuse(self, seconds: float | None) -> None:
        """
        Have nobody listen at the port, for that long. It stays ours: nobody else can be
        given it meanwhile.
        """
        address = self._socket.getsockname()
        before, self._accepts = self._accepts, trio.Event()
        before.set()  # whoever waits for it now waits for the other
        self._accepting.cancel()
        self._socket.close()
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        self._socket = trio.socket.from_stdlib_socket(bound)
        if seconds is not None:
            self._nursery.start_soon(self._accept_after, seconds, self._accepts)

    async def _accept_after(self, seconds: float, accepts: trio.Event) -> None:
        await trio.sleep(seconds)
        if accepts is self._accepts:
            self._accept()

    def _accept(self) -> None:
        if not self._accepts.is_set():
            self._socket.listen()
            self._accepts.set()

    async def _connected(self, stream: trio.SocketStream) -> None:
        session = Session(self, stream)
        self.sessions.add(session)
        try:
            await session.run()
        finally:
            await trio.aclose_forcefully(stream)
            self.sessions.discard(session)
            for channel in list(session.subscriptions):
                self.unsubscribe(session, channel)
            session.log_out()
            self.dialect.closed(session)
            self.flush()
