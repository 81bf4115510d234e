"""
A session with the venue: it stays connected, and makes up for what happens to its
connections.

Back-off, retries, subscriptions and rate limits are here; what the venue calls them is
for the author's `api.py` to say, see `_venue.py`.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import trio

from ._channels import ChannelStream, Disconnected
from ._config import NAME
from ._errors import (
    EXPECTED,
    AuthError,
    ConnectionLost,
    Expired,
    NotConnected,
    ReplyLost,
    Throttled,
    gravest,
)
from ._pacer import Caller, Pacer
from ._piker import BrokerError, get_logger, open_nursery
from ._redaction import hide_userinfo
from ._subscriptions import Subscriptions
from ._venue import Venue

T = TypeVar('T')

log = get_logger(f'{NAME}.session')

live: list[Session] = []
"""The sessions of this process, for a host that wants to know how they are."""


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
        self._latest: Caller | None = None
        """The newest connection, from the moment that it is open."""
        self._caller: Caller | None = None
        """The one that requests go over, while there is one that can be used."""
        self.connected = trio.Event()
        self._last_error: Exception | None = None
        """Why there is no connection."""
        self._is_out = False
        """Whether consumers have been told so."""
        self._bug: Exception | None = None
        self.closed = False
        self._subscriptions = Subscriptions(venue, self._limits)

    # requests

    async def request(self, method: str, result: type[T], /, **params: object) -> T:
        """
        Make a request that does no harm when it is made twice: one that got lost, or
        came too soon, is made again. Returns its result; params that are None are left
        out. Raises what the last attempt has: `ConnectionLost`, or what the venue's
        refusal stands for.
        """
        wait = self._wait_connected
        return await self._repeat(partial(self._ask, wait, method, result, params))

    async def request_once(
        self, method: str, result: type[T], /, **params: object
    ) -> T:
        """
        Make a request that is not to be made twice: it is made again only where the
        venue cannot have carried it out, for the login had run out. On a new connection
        it waits for those consumers of channels that are to know first what they have
        missed.
        """
        return await self._ask(self._wait_caught_up, method, result, params)

    async def _ask(
        self,
        wait: Callable[[], Awaitable[Caller]],
        method: str,
        result: type[T],
        params: Mapping[str, object],
    ) -> T:
        for is_last in (False, True):
            caller = await wait()
            try:
                return await caller.call(method, result, **params)
            except ReplyLost:
                raise
            except Expired:
                # the venue's clock is asked for once more
                with suppress(BrokerError):
                    await self._venue.greet(caller)
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
            hide_userinfo(
                f'no connection to {self._url} for {self._limits.patience:g} s: '
                f'{self._last_error}'
            )
        )

    async def _wait_caught_up(self) -> Caller:
        caller = await self._wait_connected()
        with trio.move_on_after(self._limits.patience):
            while True:
                await self._subscriptions.wait_caught_up()
                if caller is self._caller:
                    return caller
                caller = await self._wait_connected()
        waited = f'for {self._limits.patience:g} s'
        raise NotConnected(f'{waited} it was not found out what happened meanwhile')

    def _check(self) -> None:
        if self._bug:
            raise BrokerError(f'{NAME} broke: {self._bug!r}') from self._bug
        if self.closed:  # no `ConnectionLost`: there is no use in trying again
            raise BrokerError('the client is closed')

    # channels

    @acm
    async def open_channel(
        self, *channels: str, before_orders: bool = False
    ) -> AsyncIterator[ChannelStream[Any]]:
        """
        Subscribe to channels, any number of them in one stream, while the block is
        open. With `before_orders`, its consumer deals with each `Reconnected` before
        anything is ordered. Raises `BrokerError` for a channel that the venue does not
        have.
        """
        stream: ChannelStream[Any] = ChannelStream(
            channels, self._limits.unread, before_orders
        )
        self._subscriptions.add(stream)
        try:
            await self._repeat(partial(self._subscribe, [*channels]))
            yield stream
        finally:
            self._subscriptions.remove(stream)

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

    async def _resubscribe(self, caller: Caller, channels: list[str]) -> None:
        """
        Make `caller` the one of all requests, when it is subscribed to these channels.
        """
        await self._subscriptions.restore(caller, channels)
        if not caller.given_up.is_set():
            self._caller = caller
            self.connected.set()

    async def _probe_quiet(self, caller: Caller) -> NoReturn:
        """
        Subscribe anew to channels of which nothing is heard for long: the venue may
        have forgotten them, and nothing else would show that.
        """
        while True:
            quiet = await self._subscriptions.wait_quiet()
            self._suspend()
            await self._resubscribe(caller, quiet)
            # whoever needs longer for that would be behind for ever, and no order sent
            await self._subscriptions.wait_caught_up()

    # connections

    async def run(self) -> NoReturn:
        """
        Keep a connection. Raises `NotConnected` where the first one fails, and whatever
        is a mistake of ours: everybody who waits is told which.
        """
        was_connected = False
        pause = self._limits.min_backoff
        while True:
            since = trio.current_time()
            try:
                async with self._venue.open_connection(
                    self._url, self._venue, self._subscriptions.on_notification
                ) as connection:
                    caller = Caller(connection, self._venue.cost, self._pacer)
                    self._latest = caller
                    holds = await self._venue.greet(caller)
                    self._subscriptions.begin()
                    try:
                        await self._resubscribe(caller, self._subscriptions.channels)
                        was_connected = True
                        self._last_error, self._is_out = None, False
                        await self._stay(caller, holds)
                    finally:
                        # closing it may take a while, in which nobody is to use it
                        self._disconnect(caller)
            except* Exception as errors:
                error = gravest(errors)
            finally:
                self._latest = None

            if not isinstance(error, EXPECTED):
                self._fail(error)
                raise error
            reason = hide_userinfo(str(error) or repr(error))
            if not was_connected:
                if isinstance(error, BrokerError) and not isinstance(
                    error, ConnectionLost | Throttled
                ):
                    raise error
                where = hide_userinfo(self._url)
                raise NotConnected(f'no connection to {where}: {reason}') from error
            if self._last_error and not self._is_out:
                # most connections are made again at once, and nobody need know
                self._is_out = True
                for stream in self._subscriptions.consumers():
                    stream.push(Disconnected(reason))
            self._last_error = error
            # pauses grow for as long as no connection lasts
            if trio.current_time() - since > self._limits.stable:
                pause = self._limits.min_backoff
            pause = min(2 * pause, self._limits.max_backoff)
            delay = pause * random.uniform(0.5, 1)
            log.warning('%s; connecting again in %.1f s', reason, delay)
            await trio.sleep(delay)

    async def _stay(self, caller: Caller, holds: float) -> None:
        """
        Do what a connection needs, until it is lost or given up.
        """
        async with open_nursery() as tn:
            tn.start_soon(self._renew, caller, holds)
            tn.start_soon(self._subscriptions.tidy, caller)
            tn.start_soon(self._probe_quiet, caller)
            await caller.given_up.wait()
            raise ConnectionLost('giving up the connection')

    async def _renew(self, caller: Caller, holds: float) -> NoReturn:
        while True:
            await trio.sleep(0.8 * holds)
            holds = await self._venue.greet(caller)

    def _disconnect(self, caller: Caller | None) -> None:
        """
        Give a connection up, and let requests wait for the next, unless there is one
        already.
        """
        if caller:
            caller.given_up.set()
        if caller is self._caller:
            self._suspend()

    def _suspend(self) -> None:
        """
        Let requests wait until `_resubscribe()` has a connection for them.
        """
        self._caller = None
        # nobody waits for one that is set
        if self.connected.is_set():
            self.connected = trio.Event()

    def _fail(self, error: Exception) -> None:
        self._bug = error
        self.connected.set()
        self._subscriptions.fail(error)

    def report(self) -> dict[str, Any]:
        """
        How the connection is, for whoever looks at a program that hangs: from any
        thread, since the one that it runs in may not get to anything else any more.
        Times are ages in s. There is nothing secret in it.
        """
        url = urlsplit(self._url)
        place = f'{url.scheme}://{url.netloc.rpartition("@")[2]}'
        error = hide_userinfo(str(self._last_error or ''))
        now, latest = time.monotonic(), self._latest
        return {
            'url': place,
            'connected': self._caller is not None,
            'error': error.replace(hide_userinfo(self._url), place)[:200],
            'heard': latest and now - latest.connection.heard,
            'sent': latest and now - latest.connection.sent,
            'silence': self._limits.silence,
            'pending': [
                (method, now - since)
                for method, since in (list(latest.pending.values()) if latest else ())
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
