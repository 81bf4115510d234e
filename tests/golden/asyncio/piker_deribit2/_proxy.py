"""
Trio tasks call a client that lives on asyncio.

Both loops run in one thread, so what passes between them are plain function calls: a
request starts an asyncio task, and its reply wakes the trio task that waits for that
`mid`. Nobody waits on a channel shared with others, where whoever is cancelled leaves
his reply to the next.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager as acm
from contextlib import contextmanager as cm
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import tractor
import trio
from tractor.to_asyncio import AsyncioCancelled, open_channel_from
from tractor.trionics import Lagged

from ._piker import get_logger, open_nursery

log = get_logger('deribit2.proxy')

T = TypeVar('T')

Request = tuple[int, str, tuple[Any, ...], dict[str, Any]]
"""`(mid, method, args, kwargs)`"""

Reply = dict[str, Any]
"""`{'result': value}` or `{'exception': err}`"""


class RelayDown(Exception):
    """
    The asyncio side is gone: it died of `__cause__` or, if there is none, the block
    of `open_client_proxy()` was left.
    """


@acm
async def open_client_proxy(
    client: T,
    *,
    events: EventRelay[Any] | None = None,
    slots: int = 256,
    grace: float = 3,
) -> AsyncIterator[T]:
    """
    Yield `client` as trio tasks can use it: with coroutine methods that they await.

    - `slots` calls run at once; the others wait for one of them to be answered.
    - A cancelled caller leaves at once, and its call alone is cancelled, once. The
      slot is free when that call has cleaned up.
    - Leaving the block cancels the calls that still run and waits for them, up to
      `grace` s. The subscribers of `events` are then told, too.

    Any exception of a method but a cancellation is raised in its caller as it is;
    `AsyncioCancelled` where a call was cancelled by other than its caller;
    `RelayDown` in every caller, and out of the block, when the asyncio side dies.
    """
    events = EventRelay() if events is None else events
    events.start()
    proxy = _mk_proxy_type(type(client))(client, events, slots, grace)
    relay = proxy._relay
    async with open_nursery() as tn:
        tn.start_soon(relay.run, tn.cancel_scope)
        try:
            await relay.started.wait()
            yield cast(T, proxy)
        finally:
            relay.stop()
    if relay.cause is not None:
        raise relay.mk_down()


def _mk_proxy_type(client_type: type) -> type[MethodProxy]:
    return type(
        f'{client_type.__name__}Proxy',
        (MethodProxy,),
        {
            name: _mk_method(name, method)
            for name, method in inspect.getmembers(
                client_type, inspect.iscoroutinefunction
            )
            if not name.startswith('_')
        },
    )


def _mk_method(
    name: str,
    method: Callable[..., Awaitable[Any]],
) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def proxied(self: MethodProxy, /, *args: Any, **kwargs: Any) -> Any:
        return await self._run_method(name, *args, **kwargs)

    return proxied


@dataclass(eq=False, slots=True)
class Call:
    """
    A call in flight: its `caller`, once asleep, and its `reply`, once there.
    """

    caller: trio.lowlevel.Task | None = None
    reply: Reply = field(default_factory=dict)


class MethodProxy:
    """
    The trio side: sends requests, and hands every reply to the caller with its `mid`.
    """

    def __init__(
        self,
        client: object,
        events: EventRelay[Any],
        slots: int,
        grace: float,
    ) -> None:
        self._mids: Iterator[int] = itertools.count()
        self._calls: dict[int, Call] = {}
        self._relay = MethodRelay(client, self._receive, events, slots, grace)

    def __getattr__(self, name: str) -> Any:
        """
        What is no coroutine method needs no loop, and is the client's own.
        """
        if name.startswith('_'):
            raise AttributeError(f'{type(self).__name__} has no {name!r}')
        return getattr(self._relay.client, name)

    async def _run_method(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()
        mid = next(self._mids)
        self._calls[mid] = call = Call()
        self._relay.send((mid, method, args, kwargs))

        # Many a method is done with its first step. Letting the loop take that costs
        # one turn; to sleep and be woken, a hand-over between threads.
        await trio.lowlevel.cancel_shielded_checkpoint()
        if not call.reply:

            def leave(_: object) -> trio.lowlevel.Abort:
                del self._calls[mid]
                self._relay.cancel(mid)
                return trio.lowlevel.Abort.SUCCEEDED

            call.caller = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(leave)

        if 'exception' in call.reply:
            # popped, or its traceback and this frame would keep each other alive
            raise call.reply.pop('exception')
        return call.reply['result']

    def _receive(self, mid: int, reply: Reply) -> None:
        """
        The one receiver. Runs on the asyncio side.
        """
        call = self._calls.pop(mid, None)
        if call is None:
            return  # its caller was cancelled, or told that the relay is down
        call.reply = reply
        if call.caller is not None:
            trio.lowlevel.reschedule(call.caller)


class MethodRelay:
    """
    The asyncio side: runs each request in a task of its own.
    """

    def __init__(
        self,
        client: object,
        reply: Callable[[int, Reply], None],
        events: EventRelay[Any],
        slots: int,
        grace: float,
    ) -> None:
        self.client = client
        self._reply = reply
        self._events = events
        self._slots = slots
        self._grace = grace

        self._loop: asyncio.AbstractEventLoop
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[int] = set()
        self._backlog: OrderedDict[int, Request] = OrderedDict()
        self.started = trio.Event()
        self._stopping = asyncio.Event()
        self._stopped = trio.Event()
        self.cause: BaseException | None = None

    async def run(self, callers: trio.CancelScope) -> None:
        """
        Tie the two sides together, from a trio task: no asyncio task outlives it, and
        `callers` is cancelled if the asyncio side dies.
        """
        # Shielded, and not in the task that uses the proxy: tractor's channel unwinds
        # without a word only if neither a cancel nor an error comes through it and its
        # asyncio task is done.
        with trio.CancelScope(shield=True):
            async with open_on_asyncio(self._serve):
                self.started.set()
                await self._stopped.wait()
        if self.cause is not None:
            callers.cancel()

    def send(self, request: Request) -> None:
        mid, *_ = request
        if self._stopping.is_set():
            self._reply(mid, {'exception': self.mk_down()})
        elif len(self._tasks) < self._slots:
            self._start(*request)
        else:
            self._backlog[mid] = request

    def cancel(self, mid: int) -> None:
        """
        Cancel a call, once: a second cancel would cut short the clean-up that the
        first began.
        """
        if mid in self._backlog:
            del self._backlog[mid]
        elif mid not in self._cancelled:
            self._cancelled.add(mid)
            self._tasks[mid].cancel()

    def stop(self, cause: BaseException | None = None) -> None:
        """
        Tell everybody who still waits, and cancel what still runs.
        """
        if self._stopping.is_set():
            return
        self.cause = cause
        self._stopping.set()
        for mid in (*self._tasks, *self._backlog):
            self._reply(mid, {'exception': self.mk_down()})
            self.cancel(mid)
        self._events.fail(self.mk_down)

    async def _serve(self, to_trio: trio.MemorySendChannel[None]) -> None:
        self._loop = asyncio.get_running_loop()
        to_trio.send_nowait(None)
        try:
            await self._stopping.wait()
        except BaseException as err:
            self.stop(err)  # not raised on, or tractor prints it
        try:
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=self._grace)
        except asyncio.CancelledError:
            pass
        finally:
            for task in self._tasks.values():
                log.error(f'{task.get_name()} ignores that it was cancelled')
            self._stopped.set()

    def _start(
        self,
        mid: int,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        task = self._loop.create_task(
            self._call(mid, method, args, kwargs),
            name=f'{method}:{mid}',
            # in the caller's, trio 0.22 names itself to sniffio: httpx would believe it
            context=contextvars.Context(),
        )
        self._tasks[mid] = task
        task.add_done_callback(functools.partial(self._done, mid))

    async def _call(
        self,
        mid: int,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        try:
            result = await getattr(self.client, method)(*args, **kwargs)
        except asyncio.CancelledError:
            raise
        except (SystemExit, KeyboardInterrupt) as err:
            # out of a task, these two stop the loop that both sides run on
            wrapped = RuntimeError(f'{method} raised {err!r}')
            wrapped.__cause__ = err
            self._reply(mid, {'exception': wrapped})
        except BaseException as err:
            self._reply(mid, {'exception': err})
        else:
            self._reply(mid, {'result': result})

    def _done(self, mid: int, task: asyncio.Task[None]) -> None:
        del self._tasks[mid]
        self._cancelled.discard(mid)
        if task.cancelled():
            # not in `_call()`, of which a task that is cancelled before its first
            # step runs nothing
            err = AsyncioCancelled(f'{task.get_name()} was cancelled')
            self._reply(mid, {'exception': err})
        if self._backlog:
            _, request = self._backlog.popitem(last=False)
            self._start(*request)

    def mk_down(self) -> RelayDown:
        down = RelayDown(
            'the asyncio side is closed'
            if self.cause is None
            else f'the asyncio side died of {self.cause!r}'
        )
        down.__cause__ = self.cause
        return down


@acm
async def open_on_asyncio(
    target: Callable[[trio.MemorySendChannel[None]], Awaitable[None]],
) -> AsyncIterator[None]:
    """
    Run `target` on asyncio, until it ends by itself. Enters as it sends.

    The loop is that of the actor's daemon, whose guest trio is (`infect_asyncio`).
    Hosts open clients elsewhere too: in their command lines, and in piker's paper
    engine. There it is the other way round, and a loop is trio's guest.
    """
    if tractor.current_actor().is_infected_aio():
        async with open_channel_from(target):
            yield
    else:
        from trio_asyncio import aio_as_trio, open_loop

        to_trio, from_target = trio.open_memory_channel[None](1)
        async with open_loop(), trio.open_nursery() as tn:
            tn.start_soon(aio_as_trio(target), to_trio)
            await from_target.receive()
            yield


class EventStream(trio.abc.ReceiveChannel[T]):
    """
    The events that one subscriber has not read yet, the newest `maxlen` of them.
    """

    def __init__(self, maxlen: int) -> None:
        self._send, self._recv = trio.open_memory_channel[T](maxlen)
        self._missed: int = 0
        self._down: RelayDown

    async def receive(self) -> T:
        """
        The next event. Raises `Lagged`, once, where the subscriber was too slow and
        missed some, and `RelayDown` after the last one.
        """
        if self._missed:
            await trio.lowlevel.checkpoint()
            missed, self._missed = self._missed, 0
            raise Lagged(f'{missed} events missed')
        try:
            return await self._recv.receive()
        except trio.EndOfChannel:
            raise self._down from self._down.__cause__

    async def aclose(self) -> None:
        await self._recv.aclose()

    def push(self, event: T) -> None:
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            self._recv.receive_nowait()
            self._send.send_nowait(event)
            self._missed += 1
        except trio.BrokenResourceError:
            pass  # closed by its subscriber

    def fail(self, down: RelayDown) -> None:
        self._down = down
        self._send.close()


class EventRelay(Generic[T]):
    """
    Fans out what a client calls back with: `emit` is the callback to give it, and
    each trio task that listens has a `subscribe()` of its own.
    """

    def __init__(self) -> None:
        self._streams: set[EventStream[T]] = set()
        self._mk_down: Callable[[], RelayDown] | None = None

    def emit(self, event: T) -> None:
        for stream in self._streams:
            stream.push(event)

    @cm
    def subscribe(self, maxlen: int = 256) -> Iterator[EventStream[T]]:
        stream = EventStream[T](maxlen)
        if self._mk_down is None:
            self._streams.add(stream)
        else:
            stream.fail(self._mk_down())
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    def start(self) -> None:
        self._mk_down = None

    def fail(self, mk_down: Callable[[], RelayDown]) -> None:
        self._mk_down = mk_down
        while self._streams:
            self._streams.pop().fail(mk_down())
