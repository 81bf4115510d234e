"""Between trio and asyncio."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend, Function
from ..model.scope import dotted, last
from .base import CONC, TRACTOR, Rule
from .values import items

_ID = re.compile(r'(^|_)(m?id|mids|reqid|req_id|seq|token|nonce)$|correlat')
_THREADS = {
    'Thread', 'Timer', 'run_in_executor', 'to_thread', 'run_sync', 'submit'
}  # fmt: skip
_SAFE = {
    'call_soon_threadsafe', 'run_sync_soon', 'run_coroutine_threadsafe', 'from_thread'
}  # fmt: skip


def has_id(function: Function) -> bool:
    """Whether it deals in ids, by which replies may be told apart."""
    names = {it.id for it in function.of(ast.Name)} | function.parameters
    names |= {it.attr for it in function.of(ast.Attribute)}
    names |= {it.value for it in function.of(ast.Constant) if isinstance(it.value, str)}
    return any(_ID.search(name) for name in names)


def exchanges(function: Function) -> ast.Call | None:
    """Where it waits for the reply on the very channel that it has sent on."""
    sent = {
        dotted(it.func.value)
        for it in function.of(ast.Call)
        if isinstance(it.func, ast.Attribute)
        and it.func.attr in ('send', 'send_nowait', 'put', 'put_nowait')
    }
    for call in function.of(ast.Call):
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr in ('receive', 'get'):
            on = dotted(func.value)
            if on in sent and isinstance(function.module.parents[call], ast.Await):
                return call
    return None


class Uncorrelated(Rule):
    """Replies are not matched with their requests.

    A caller that is cancelled leaves his reply in the channel, and everybody after him
    gets the answer to the question before.
    """

    id = 'PK501'
    help = 'number the requests, and hand each reply to the caller with its number'
    source = f'{CONC}: to_asyncio'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            if function.is_async and function.module.uses_asyncio:
                call = exchanges(function)
                if call is not None and not has_id(function):
                    yield self.at(
                        function.module,
                        call,
                        f'{function.qualname}() takes the next message for its reply',
                    )


class CallerReceives(Rule):
    """A caller waits in a channel that others use as well.

    It may take the reply of somebody else, and on tractor's release its cancellation
    kills the asyncio side of all of them.
    """

    id = 'PK502'
    level = 'warning'
    help = 'let one task receive, and wake the callers'
    source = f'{TRACTOR}: asyncio inside an actor'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            if function.is_async and function.module.uses_asyncio:
                call = exchanges(function)
                if call is not None and has_id(function):
                    yield self.at(
                        function.module,
                        call,
                        f'{function.qualname}() receives by itself from a channel',
                    )


class NarrowRelay(Rule):
    """A relay does not ship every exception back.

    One that escapes ends the relay, its channel and the whole dialog, past whatever its
    caller would have done about it.
    """

    id = 'PK503'
    help = 'catch Exception, or all but the cancellation, and send it to the caller'
    source = f'{CONC}: to_asyncio'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            for node in function.of(ast.Try):
                if not any(
                    isinstance(it, ast.Await) for st in node.body for it in ast.walk(st)
                ):
                    continue
                ships = [it for it in node.handlers if self._ships(it)]
                if not ships or any(self._is_broad(it) for it in node.handlers):
                    continue
                caught = ast.unparse(ships[0].type) if ships[0].type else ''
                yield self.at(
                    function.module,
                    ships[0],
                    f'{function.qualname}() sends back only {caught}',
                )

    @staticmethod
    def _ships(handler: ast.ExceptHandler) -> bool:
        """Whether it sends the exception itself to somebody."""
        if handler.name is None:
            return False
        for node in handler.body:
            for it in ast.walk(node):
                pairs: dict[str, ast.expr] = {}
                if isinstance(it, ast.Dict):
                    pairs = items(it)
                elif isinstance(it, ast.Call) and dotted(it.func) == 'dict':
                    pairs = {key.arg: key.value for key in it.keywords if key.arg}
                for key, value in pairs.items():
                    if key in ('exception', 'error', 'err', 'exc') and (
                        isinstance(value, ast.Name) and value.id == handler.name
                    ):
                        return True
        return False

    @staticmethod
    def _is_broad(handler: ast.ExceptHandler) -> bool:
        if handler.type is None:
            return True
        types = (
            handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        )
        return any(last(dotted(it)) in ('Exception', 'BaseException') for it in types)


class RunTaskUnderTimeout(Rule):
    """A `run_task()` is under a timeout.

    On tractor's main branch the asyncio task goes on when its trio side is cancelled.
    """

    id = 'PK504'
    help = 'let the asyncio side keep the time: asyncio.timeout() in the task'
    source = f'{TRACTOR}: asyncio inside an actor'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            for call in function.of(ast.Call):
                if not backend.callee(function, call).endswith('to_asyncio.run_task'):
                    continue
                for above in function.module.above(call):
                    if isinstance(above, ast.With) and any(
                        self._is_timeout(backend, function, item.context_expr)
                        for item in above.items
                    ):
                        yield self.at(
                            function.module, call, 'run_task() is under a timeout'
                        )
                        break

    @staticmethod
    def _is_timeout(backend: Backend, function: Function, value: ast.expr) -> bool:
        return backend.is_call_of(
            function,
            value,
            'move_on_after', 'move_on_at', 'fail_after', 'fail_at',
        )  # fmt: skip


class Unbounded(Rule):
    """A callback sends to trio without an end.

    The channel holds some 256 messages; `send_nowait()` raises WouldBlock after that,
    in whatever called back, and the relay dies.
    """

    id = 'PK505'
    help = 'catch WouldBlock, and say what was missed'
    source = f'{TRACTOR}: asyncio inside an actor'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            yield from self._handed_on(function)
            for call in function.of(ast.Call):
                func = call.func
                if not isinstance(func, ast.Attribute) or func.attr != 'send_nowait':
                    continue
                if dotted(func.value) == 'to_trio':
                    repeats = 'to_trio' not in function.parameters or any(
                        isinstance(it, ast.For | ast.AsyncFor | ast.Lambda)
                        for it in function.module.above(call)
                    )
                else:
                    # it minds a channel that is closed, but not one that is full
                    repeats = not function.is_async and self._catches(
                        function, call, r'BrokenResource|ClosedResource'
                    )
                if repeats and not self._catches(
                    function, call, r'WouldBlock|\bException|BaseException'
                ):
                    yield self.at(
                        function.module,
                        call,
                        f'{function.qualname}() sends and does not mind a full channel',
                    )

    def _handed_on(self, function: Function) -> Iterator[Finding]:
        """`to_trio.send_nowait` itself is the callback."""
        for attribute in function.of(ast.Attribute):
            parent = function.module.parents.get(attribute)
            if dotted(attribute) == 'to_trio.send_nowait' and not (
                isinstance(parent, ast.Call) and parent.func is attribute
            ):
                yield self.at(
                    function.module,
                    attribute,
                    f'{function.qualname}() hands on what does not mind a full channel',
                )

    @staticmethod
    def _catches(function: Function, call: ast.Call, errors: str) -> bool:
        inside: ast.AST = call
        for above in function.module.above(call):
            if isinstance(above, ast.Try) and inside in above.body:
                for handler in above.handlers:
                    text = ast.unparse(handler.type) if handler.type else 'Exception'
                    if re.search(errors, text):
                        return True
            if isinstance(above, ast.With) and any(
                re.search(errors, ast.unparse(it.context_expr)) for it in above.items
            ):
                return True
            inside = above
        return False


class FromAnotherThread(Rule):
    """A function that wakes trio or asyncio runs in another thread.

    Neither loop may be touched from another thread: the wake-up gets lost, or breaks
    the loop's state.
    """

    id = 'PK506'
    help = 'use call_soon_threadsafe(), a TrioToken or trio.from_thread'
    source = f'{TRACTOR}: asyncio inside an actor'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for call in scope.of(ast.Call):
                name = last(dotted(call.func)) or getattr(call.func, 'attr', '')
                if name not in _THREADS:
                    continue
                if name in ('run_sync', 'to_thread') and 'thread' not in ast.unparse(
                    call.func
                ):
                    continue
                given = [*call.args, *(it.value for it in call.keywords)]
                for value in given:
                    target = backend.types.meant(scope, value)
                    if isinstance(target, Function) and (
                        touched := self._touches(target)
                    ):
                        yield self.at(
                            scope.module,
                            call,
                            f'{target.qualname}() calls {touched}() in another thread',
                        )

    @staticmethod
    def _touches(function: Function) -> str | None:
        found: str | None = None
        for call in function.all_of(ast.Call):
            name = last(dotted(call.func)) or getattr(call.func, 'attr', '')
            if name in _SAFE or 'from_thread' in dotted(call.func):
                return None
            if name in ('send_nowait', 'put_nowait', 'reschedule', 'create_task'):
                found = name
        return found


RULES: list[Rule] = [
    Uncorrelated(),
    CallerReceives(),
    NarrowRelay(),
    RunTaskUnderTimeout(),
    Unbounded(),
    FromAnotherThread(),
]
