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
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import trio
from tractor.to_asyncio import AsyncioCancelled

from ._asyncio import TaskFactory, open_on_asyncio, starts_task
from ._config import NAME
from ._events import EventRelay, EventStream, RelayDown
from ._piker import get_logger, open_nursery

__all__ = ['EventRelay', 'EventStream', 'RelayDown', 'open_client_proxy']

log = get_logger(f'{NAME}.proxy')

T = TypeVar('T')

Request = tuple[int, str, tuple[Any, ...], dict[str, Any]]
"""`(mid, method, args, kwargs)`"""

Reply = dict[str, Any]
"""`{'result': value}` or `{'exception': err}`"""


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

    Its other attributes are read, set and deleted on `client` itself, and `async with`
    enters and leaves `client`, if that can be.

    - `slots` calls run at once; the others wait for one of them to be answered.
    - A cancelled caller leaves at once, and its call alone is cancelled, once. The
      slot is free when that call has cleaned up.
    - Leaving the block cancels the calls that still run and waits for them, up to
      `grace` s; then, in the same way, the tasks that calls have left behind. What
      ignores that is logged and abandoned.
    - The subscribers of `events` are told when the last block that feeds it is left.

    Any exception of a method but a cancellation is raised in its caller as it is;
    `AsyncioCancelled` where a call was cancelled by other than its caller;
    `RelayDown` in every caller, and out of the block, when the asyncio side dies.
    `ValueError` for `slots` below 1, which no call could ever have.
    """
    if slots < 1:
        raise ValueError(f'slots must be at least 1, not {slots}')
    events = EventRelay() if events is None else events
    proxy = _mk_proxy_type(type(client))(client, events, slots, grace)
    relay = proxy._relay
    events.start()
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
    methods: dict[str, Any] = {'__slots__': ()}
    for name in dir(client_type):
        if name.startswith('_'):
            continue
        try:
            method = getattr(client_type, name)
        except Exception:
            continue  # a descriptor's own; whoever asks the proxy for it gets the error
        if inspect.iscoroutinefunction(method):
            methods[name] = _mk_method(name, method)
    if hasattr(client_type, '__aenter__'):
        methods |= {'__aenter__': MethodProxy._enter, '__aexit__': MethodProxy._exit}
    return type(f'{client_type.__name__}Proxy', (MethodProxy,), methods)


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

    __slots__ = ('_calls', '_mids', '_relay')

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
        value = getattr(self._relay.client, name)
        if inspect.iscoroutinefunction(value):
            # not seen on the class: set on the client, or made by a descriptor
            return functools.partial(self._run_method, name)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith('_'):
            super().__setattr__(name, value)  # refused, but for the proxy's own slots
        else:
            setattr(self._relay.client, name, value)

    def __delattr__(self, name: str) -> None:
        if name.startswith('_'):
            super().__delattr__(name)
        else:
            delattr(self._relay.client, name)

    async def _enter(self) -> Any:
        entered = await self._run_method('__aenter__')
        return self if entered is self._relay.client else entered

    async def _exit(self, *error: object) -> Any:
        # a block that is cancelled is left all the same, if it does not take for ever
        with trio.move_on_after(self._relay.grace) as scope:
            scope.shield = True
            handled = await self._run_method('__aexit__', *error)
        if scope.cancelled_caught:
            raise trio.TooSlowError(f'__aexit__ took more than {self._relay.grace} s')
        if handled:
            # what it handles may be the cancel, which is not its own
            await trio.lowlevel.checkpoint_if_cancelled()
        return handled

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
        self.grace = grace

        self._loop: asyncio.AbstractEventLoop
        self._context = contextvars.Context()
        self._context.run(starts_task.set, self._adopt)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._subtasks: dict[asyncio.Task[Any], None] = {}
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
        TaskFactory.install(self._loop)
        to_trio.send_nowait(None)
        try:
            await self._stopping.wait()
        except BaseException as err:
            self.stop(err)  # not raised on, or tractor prints it
        try:
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=self.grace)
            await self._end_subtasks()
        except asyncio.CancelledError:
            pass
        finally:
            self._stopped.set()
            for task in (*self._tasks.values(), *self._subtasks):
                log.error(f'ignores that it was cancelled: {task!r}')
                # or whoever closes the loop waits for it
                asyncio.tasks._unregister_task(task)

    async def _end_subtasks(self) -> None:
        """
        Cancel each of them once. What they start as they clean up has its turn later.
        """
        deadline = self._loop.time() + self.grace
        cancelled: set[asyncio.Task[Any]] = set()
        while left := self._subtasks.keys() - cancelled:
            for task in self._subtasks:
                if task in left:
                    task.cancel()
            cancelled |= left
            patience = deadline - self._loop.time()
            if patience <= 0:
                break  # there is always another one
            await asyncio.wait(left, timeout=patience)

    def _adopt(self, task: asyncio.Task[Any]) -> None:
        """
        A call has started `task`, or a task of its has.
        """
        if self._stopped.is_set():
            log.error(f'started after its client was left: {task!r}')
            task.cancel()
            return
        self._subtasks[task] = None
        task.add_done_callback(self._subtasks.pop)

    def _start(
        self,
        mid: int,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        # not `create_task()`, which notes what calls start
        task = asyncio.Task(
            self._call(mid, method, args, kwargs),
            loop=self._loop,
            name=f'{method}:{mid}',
            # in the caller's, trio 0.22 names itself to sniffio: httpx would believe it
            context=self._context.copy(),
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
