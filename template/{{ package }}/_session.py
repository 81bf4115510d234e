"""
A session with the venue: it stays connected, and makes up for what happens to its
connections.

Back-off, retries, subscriptions and rate limits are here; what the venue calls them is
for the author's `api.py` to say, which is a `Venue`.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager as acm
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar
from urllib.parse import urlsplit

import trio

from ._channels import ChannelStream, Disconnected, Reconnected
from ._config import NAME
from ._connection import Connection, Language, open_connection
from ._errors import AuthError, ConnectionLost, NotConnected, ReplyLost, Throttled
from ._pacer import Caller, Pacer, Pool
from ._piker import BrokerError, get_logger, open_nursery

T = TypeVar('T')

log = get_logger(f'{NAME}.session')

live: list[Session] = []
"""This process's, for a host that wants to know how they are."""


class Venue(Language, Protocol):
    """
    What a session asks of the author's `Client`, beside what a connection does.
    """

    pools: dict[str, Pool]
    """From which requests are paid, by their name."""

    async def greet(self, caller: Caller) -> float:
        """
        Say what every connection has to begin with: heartbeats, a login. Returns for
        how many seconds that holds; it is said again before.
        """

    async def subscribe(self, caller: Caller, channels: list[str]) -> Collection[str]:
        """
        Returns the channels that the venue has accepted.
        """

    async def unsubscribe(self, caller: Caller, channels: list[str]) -> object: ...

    def on_notification(
        self,
        connection: Connection,
        name: str,
        content: Any,
    ) -> tuple[str, Any] | None:
        """
        The channel and the message of what came unasked, as the connection has read
        it; None for what is no message, as a heartbeat, which is answered here.
        """

    def cost(self, method: str, params: Mapping[str, object]) -> tuple[str, float]:
        """The pool from which a request is paid, see `Pacer.spend()`, and how much."""


class Session:
    """
    A connection that is made anew whenever it is lost, and what was subscribed to on
    the one before.
    """

    def __init__(self, url: str, venue: Venue) -> None:
        self._url = url
        self._venue = venue
        self._limits = venue.limits
        self._pacer = Pacer(venue.pools)
        self._connection: Connection | None = None
        self._caller: Caller | None = None
        """While there is a connection."""
        self.connected = trio.Event()
        self._last_error: Exception | None = None
        """Why there is no connection."""
        self._is_out = False
        """Whether consumers have been told so."""
        self._bug: Exception | None = None
        self.closed = False
        self._streams: dict[str, list[ChannelStream[Any]]] = {}
        """Who reads a channel."""
        self._unread: set[str] = set()
        """Channels that nobody reads any more, and which are to be left."""
        self._tidy = trio.Event()

    # requests

    async def request(self, method: str, result: type[T], /, **params: object) -> T:
        """
        Make a request that does no harm when it is made twice. Returns its result;
        params that are None are left out.
        """
        return await self._repeat(partial(self.request_once, method, result, **params))

    async def request_once(
        self, method: str, result: type[T], /, **params: object
    ) -> T:
        """
        Make a request that is not to be made twice: it is made again only where the
        venue cannot have carried it out.
        """
        for is_last in (False, True):
            caller = await self._wait_connected()
            try:
                return await caller.call(method, result, **params)
            except ReplyLost:
                raise
            except ConnectionLost:
                self._disconnect(caller)
                raise
            except AuthError:
                # a login may have run out, and a new connection has a new one
                if is_last:
                    raise
                self._disconnect(caller)
        raise AssertionError('unreachable')

    async def _repeat(self, query: Callable[[], Awaitable[T]]) -> T:
        pause = self._limits.min_backoff
        for _ in range(self._limits.attempts - 1):
            try:
                return await query()
            except NotConnected:
                raise
            except ReplyLost as err:
                delay = pause * random.uniform(0.5, 1)
                log.info('%s; trying again in %.1f s', err, delay)
                await trio.sleep(delay)
                pause = min(2 * pause, self._limits.max_backoff)
            except ConnectionLost as err:
                log.info('%s; trying again', err)
            except Throttled as err:
                log.info('%s; trying again in %g s', err, err.pause)
                await trio.sleep(err.pause)
        return await query()

    async def _wait_connected(self) -> Caller:
        with trio.move_on_after(self._limits.patience):
            while self._caller is None:
                self._check()
                await self.connected.wait()
            self._check()
            return self._caller
        raise NotConnected(
            f'no connection to {self._url} for {self._limits.patience:g} s: '
            f'{self._last_error}'
        )

    def _check(self) -> None:
        if self._bug:
            raise BrokerError(f'{NAME} broke: {self._bug!r}') from self._bug
        if self.closed:  # no `ConnectionLost`: there is no use in trying again
            raise BrokerError('the client is closed')

    # channels

    @acm
    async def open_channel(self, *channels: str) -> AsyncIterator[ChannelStream[Any]]:
        """
        Subscribe to channels, any number of them in one stream, while the block is
        open. Raises `BrokerError` for one that the venue does not have.
        """
        stream: ChannelStream[Any] = ChannelStream(channels, self._limits.unread)
        for channel in channels:
            self._streams.setdefault(channel, []).append(stream)
            self._unread.discard(channel)
        try:
            await self._repeat(partial(self._subscribe, [*channels]))
            yield stream
        finally:
            for channel in channels:
                streams = self._streams[channel]
                streams.remove(stream)
                if not streams:
                    del self._streams[channel]
                    self._unread.add(channel)
            self._tidy.set()

    async def _subscribe(self, channels: list[str]) -> None:
        caller = await self._wait_connected()
        try:
            accepted = await self._venue.subscribe(caller, channels)
        except ReplyLost:
            raise
        except ConnectionLost:
            self._disconnect(caller)
            raise
        if missing := set(channels) - set(accepted):
            raise BrokerError(f'the venue has no channel {", ".join(sorted(missing))}')

    async def _resubscribe(self, caller: Caller) -> None:
        self._unread.clear()
        if not self._streams:
            return
        # a consumer that asks for what it missed gets its answer after we are
        # subscribed again, so that nothing falls in between
        for stream in self._consumers():
            stream.push(Reconnected())
        accepted = await self._venue.subscribe(caller, [*self._streams])
        for channel in self._streams.keys() - set(accepted):
            for stream in self._streams[channel]:
                stream.fail(BrokerError(f'the venue has no channel {channel} any more'))

    def _consumers(self) -> set[ChannelStream[Any]]:
        return {it for streams in self._streams.values() for it in streams}

    def _on_notification(
        self,
        connection: Connection,
        name: str,
        content: Any,
    ) -> None:
        if event := self._venue.on_notification(connection, name, content):
            channel, msg = event
            for stream in self._streams.get(channel, ()):
                stream.push(msg)

    # connections

    async def run(self) -> NoReturn:
        """
        Keep a connection. Raises `BrokerError` where the first one fails, and whatever
        is a mistake of ours: everybody who waits is told which.
        """
        was_connected = False
        pause = self._limits.min_backoff
        while True:
            since = trio.current_time()
            try:
                async with open_connection(
                    self._url, self._venue, self._on_notification
                ) as connection:
                    self._connection = connection
                    caller = Caller(connection, self._venue.cost, self._pacer)
                    holds = await self._venue.greet(caller)
                    await self._resubscribe(caller)
                    was_connected = True
                    self._last_error, self._is_out = None, False
                    self._caller = caller
                    self.connected.set()
                    try:
                        await self._stay(caller, holds)
                    finally:
                        # closing it may take a while, in which nobody is to use it
                        self._disconnect(caller)
            except* Exception as errors:
                error = _gravest(errors)
            finally:
                self._connection = None

            if not isinstance(error, _expected):
                self._fail(error)
                raise error
            if not was_connected:
                if isinstance(error, BrokerError) and not isinstance(
                    error, ConnectionLost | Throttled
                ):
                    raise error
                raise BrokerError(f'no connection to {self._url}: {error}') from error
            if self._last_error and not self._is_out:
                # most connections are made again at once, and nobody need know
                self._is_out = True
                for stream in self._consumers():
                    stream.push(Disconnected(str(error) or repr(error)))
            self._last_error = error
            # pauses grow for as long as no connection lasts
            if trio.current_time() - since > self._limits.stable:
                pause = self._limits.min_backoff
            pause = min(2 * pause, self._limits.max_backoff)
            delay = pause * random.uniform(0.5, 1)
            log.warning('%s; connecting again in %.1f s', error or repr(error), delay)
            await trio.sleep(delay)

    async def _stay(self, caller: Caller, holds: float) -> None:
        """
        Do what a connection needs, until it is lost or given up.
        """
        async with open_nursery() as tn:
            tn.start_soon(self._renew, caller, holds)
            tn.start_soon(self._leave_channels, caller)
            await caller.given_up.wait()
            raise ConnectionLost('giving up the connection')

    async def _renew(self, caller: Caller, holds: float) -> NoReturn:
        while True:
            await trio.sleep(0.8 * holds)
            holds = await self._venue.greet(caller)

    async def _leave_channels(self, caller: Caller) -> NoReturn:
        while True:
            await self._tidy.wait()
            self._tidy = trio.Event()
            if unread := [*self._unread]:
                self._unread.clear()
                try:
                    await self._venue.unsubscribe(caller, unread)
                except BrokerError as err:
                    log.warning('%s', err)

    def _disconnect(self, caller: Caller | None) -> None:
        """
        Give a connection up, and let requests wait for the next, unless there is one
        already.
        """
        if caller:
            caller.given_up.set()
        if caller is self._caller:
            self._caller = None
            # nobody waits for one that is set
            if self.connected.is_set():
                self.connected = trio.Event()

    def _fail(self, error: Exception) -> None:
        self._bug = error
        self.connected.set()
        for stream in self._consumers():
            broken = BrokerError(f'{NAME} broke: {error!r}')
            broken.__cause__ = error
            stream.fail(broken)

    def report(self) -> dict[str, Any]:
        """
        How the connection is, for whoever looks at a program that hangs: from any
        thread, since the one that it runs in may not get to anything else any more.
        Times are ages in s. There is nothing secret in it.
        """
        url = urlsplit(self._url)
        place = f'{url.scheme}://{url.netloc.rpartition("@")[2]}'
        error = str(self._last_error or '').replace(self._url, place)
        now, connection = time.monotonic(), self._connection
        return {
            'url': place,
            'connected': self._caller is not None,
            'error': re.sub(r'//[^/\s]*@', '//', error)[:200],
            'heard': connection and now - connection.heard,
            'sent': connection and now - connection.sent,
            'silence': self._limits.silence,
            'pending': [
                (method, now - since)
                for method, since in (connection.pending() if connection else ())
            ],
        }

    def close(self) -> None:
        """
        Fail all requests that are made from here on, or wait for a connection.
        """
        self.closed = True
        self._caller = None
        self.connected.set()


@acm
async def open_session(url: str, venue: Venue) -> AsyncIterator[Session]:
    """
    A connected session, for as long as the block is open. Raises `BrokerError` where
    the venue cannot be reached.
    """
    session = Session(url, venue)
    live.append(session)
    try:
        async with open_nursery() as tn:
            tn.start_soon(session.run)
            await session.connected.wait()
            try:
                yield session
            finally:
                session.close()
                tn.cancel_scope.cancel()
    finally:
        live.remove(session)


async def insist(query: Callable[..., Awaitable[T]], *args: Any) -> T:
    """
    What the venue says, however long that takes. For questions only: each is asked
    until there is an answer.
    """
    while True:
        try:
            return await query(*args)
        except ConnectionLost as err:
            log.warning('asking the venue again: %s', err)
        except Throttled as err:
            log.warning('asking the venue again in %.1f s: %s', err.pause, err)
            await trio.sleep(err.pause)


_expected = (BrokerError, OSError, trio.TooSlowError)
"""What a venue or a network may cause. The rest are mistakes of ours."""


def _gravest(errors: BaseExceptionGroup[Exception]) -> Exception:
    """
    One of those that came at once: a mistake of ours, if there is one.
    """
    if unexpected := errors.split(_expected)[1]:
        errors = unexpected
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
