"""
The venue's port: who is connected, and what they hear.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import trio

from .engine import Engine
from .faults import Fault, Faults
from .session import Dialect, Session, Subscription


class Server:
    """
    Everybody who is connected, and what they hear.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect: Dialect
        self.faults = Faults()
        self.sessions: set[Session] = set()
        self.requests: Counter[str] = Counter()
        """How many there were, by operation."""
        self._subscribers: defaultdict[tuple[type, str], dict[Subscription, None]] = (
            defaultdict(dict)
        )
        self._news: list[Any] = []
        self._refusals = 0
        self._is_open, self._shall_open = False, True
        self._changed = trio.Event()
        """Set when either of them does."""
        self._listening: trio.Nursery
        self._nursery: trio.Nursery
        engine.listeners.append(self._news.append)

    def subscribe(self, subscription: Subscription) -> None:
        session = subscription.session
        self.unsubscribe(session, subscription.channel)
        session.subscriptions[subscription.channel] = subscription
        for market in subscription.markets:
            self.engine.watch(market)
        for market in subscription.markets or ('',):
            self._subscribers[subscription.event, market][subscription] = None

    def unsubscribe(self, session: Session, channel: str) -> bool:
        """
        Returns whether it was subscribed to.
        """
        if (subscription := session.subscriptions.pop(channel, None)) is None:
            return False
        for market in subscription.markets or ('',):
            del self._subscribers[subscription.event, market][subscription]
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
            market = getattr(event, 'market', None)
            names = ['', market.name] if market is not None else ['']
            for name in names:
                for subscription in self._subscribers.get((type(event), name), ()):
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
            case _:
                self.faults.arm(fault)

    def behave(self) -> None:
        self.faults.armed.clear()
        self._set(shall_open=True)
        for session in self.sessions:
            session.be_silent(0)

    async def serve(self, listener: trio.SocketListener) -> None:
        """
        Serve until cancelled.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self.engine.run, self.flush)
            port = listener.socket.getsockname()[1]
            while True:
                async with listener, trio.open_nursery() as self._listening:
                    self._set(is_open=True)
                    await trio.serve_listeners(
                        self._connected, [listener], handler_nursery=nursery
                    )
                self._set(is_open=False)
                while not self._shall_open:
                    await self._changed.wait()
                (listener,) = await trio.open_tcp_listeners(port, host='127.0.0.1')

    async def settle(self) -> None:
        """
        Wait until the port is open, or closed, as it shall be.
        """
        while self._is_open != self._shall_open:
            await self._changed.wait()

    def _set(self, is_open: bool | None = None, shall_open: bool | None = None) -> None:
        if is_open is not None:
            self._is_open = is_open
        if shall_open is not None:
            self._shall_open = shall_open
        self._changed.set()
        self._changed = trio.Event()

    def _refuse(self, seconds: float | None) -> None:
        """
        Have nobody listen at the port, for that long.
        """
        self._refusals += 1
        self._set(shall_open=False)
        self._listening.cancel_scope.cancel()
        if seconds is not None:
            self._nursery.start_soon(self._listen_again, seconds, self._refusals)

    async def _listen_again(self, seconds: float, refusal: int) -> None:
        await trio.sleep(seconds)
        if refusal == self._refusals:
            self._set(shall_open=True)

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
            self.dialect.closed(session)
            self.flush()
