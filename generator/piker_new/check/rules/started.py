"""Who waits for an endpoint or a task to start, and whether it ever says so."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from ..finding import Finding
from ..model import Backend, Class, Function
from ..model.contract import CONTEXTS
from ..model.flow import ends_before, skips
from ..model.scope import dotted, last
from .base import PIKER, TRACTOR, Rule

_OPENERS = {'open_cached_client', 'get_client', 'open_cached_symcache'}


def says(
    backend: Backend, function: Function, name: str, method: str
) -> Callable[[ast.AST], bool]:
    """
    Whether a node calls `<name>.<method>()`, or hands `name` to somebody who may. One
    of the backend's own is looked at.
    """

    def happens(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        if dotted(node.func) == f'{name}.{method}':
            return True
        given = [*node.args, *(it.value for it in node.keywords)]
        if not any(isinstance(it, ast.Name) and it.id == name for it in given):
            if any(
                isinstance(inner, ast.Attribute) and dotted(inner) == f'{name}.{method}'
                for it in given
                for inner in ast.walk(it)
            ):
                return True
            # a closure of it
            called = backend.types.called(function, node)
            return (
                isinstance(called, Function)
                and called.outer is function
                and _may(backend, called, name, method)
            )
        called = backend.types.called(function, node)
        if not isinstance(called, Function):
            return True  # who knows what becomes of it
        handed = parameter_for(called, node, name)
        return handed is None or _may(backend, called, handed, method)

    return happens


def _may(
    backend: Backend, function: Function, name: str, method: str, depth: int = 0
) -> bool:
    if depth > 6:
        return True
    for attribute in function.all_of(ast.Attribute):
        if dotted(attribute) == f'{name}.{method}':
            return True
    for call in function.all_of(ast.Call):
        given = [*call.args, *(it.value for it in call.keywords)]
        if any(isinstance(it, ast.Name) and it.id == name for it in given):
            called = backend.types.called(function, call)
            if not isinstance(called, Function) or called is function:
                return True
            handed = parameter_for(called, call, name)
            if handed is None or _may(backend, called, handed, method, depth + 1):
                return True
    return False


def parameter_for(called: Function, call: ast.Call, name: str) -> str | None:
    """The parameter of `called` that is given `name`."""
    names = [it.arg for it in called.arguments]
    if called.owner and names:
        names.pop(0)
    for parameter, value in zip(names, call.args, strict=False):
        if isinstance(value, ast.Name) and value.id == name:
            return parameter
    for keyword in call.keywords:
        if isinstance(keyword.value, ast.Name) and keyword.value.id == name:
            return keyword.arg
    return None


class _NeverStarted(Rule):
    def _unstarted(self, backend: Backend, function: Function) -> Iterator[Finding]:
        if 'ctx' not in function.parameters or function.node is None:
            return
        at, name = function, 'ctx'
        while True:
            if end := ends_before(at, says(backend, at, name, 'started')):
                how = 'returns' if isinstance(end, ast.Return) else 'can end'
                yield self.at(
                    at.module, end, f'{at.name}() {how} before {name}.started()'
                )
                return
            handed = _handed_on(backend, at, name)
            if handed is None or handed[0] is at:
                return
            at, name = handed


def _handed_on(
    backend: Backend, function: Function, name: str
) -> tuple[Function, str] | None:
    """
    To whom `function` leaves it to start, if it does not itself, and what `name` is
    called there.
    """
    to: list[tuple[Function, str]] = []
    for call in function.all_of(ast.Call):
        given = [*call.args, *(it.value for it in call.keywords)]
        if not any(isinstance(it, ast.Name) and it.id == name for it in given):
            continue
        called = backend.types.called(function, call)
        if not isinstance(called, Function):
            return None
        if parameter := parameter_for(called, call, name):
            to.append((called, parameter))
    own = any(dotted(it) == f'{name}.started' for it in function.all_of(ast.Attribute))
    return to[0] if len(to) == 1 and not own else None


class EndpointNeverStarted(_NeverStarted):
    """An endpoint may end without having started.

    Whoever opens it waits for `started()`: the release of tractor raises an error about
    messages there, its main branch hangs.
    """

    id = 'PK121'
    help = 'call `await ctx.started(...)` on every way out, or raise'
    source = f'{TRACTOR}: what happens when things end'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for name in CONTEXTS:
            if (function := backend.endpoint(name)) and function.is_endpoint:
                yield from self._unstarted(backend, function)


class StartedTooEarly(Rule):
    """An endpoint says that it has started before it has a client.

    Whoever opens it goes on, and hears of a connection that fails only later, as the
    death of a stream, where `open_context()` would have raised.
    """

    id = 'PK122'
    level = 'warning'
    help = 'open the client first, then call ctx.started()'
    source = f'{PIKER}: symbol search, order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for name in CONTEXTS:
            function = backend.endpoint(name)
            if function is None or not function.is_endpoint:
                continue
            starts = [
                it.lineno
                for it in function.of(ast.Call)
                if dotted(it.func) == 'ctx.started'
            ]
            if not starts:
                continue
            opened = [
                item.context_expr
                for node in function.of(ast.AsyncWith)
                for item in node.items
                if self._is_opener(backend, function, item.context_expr)
            ]
            # the first of either: a dialog without credentials has no client
            if opened and min(starts) < min(it.lineno for it in opened):
                first = min(opened, key=lambda it: it.lineno)
                early = next(
                    it
                    for it in function.of(ast.Call)
                    if dotted(it.func) == 'ctx.started' and it.lineno == min(starts)
                )
                if not self._in_same_branch(function, early, first):
                    continue
                yield self.at(
                    function.module,
                    early,
                    f'{name}() starts before it opens {ast.unparse(first)}',
                )

    @staticmethod
    def _is_opener(backend: Backend, function: Function, value: ast.expr) -> bool:
        if not isinstance(value, ast.Call):
            return False
        if last(backend.callee(function, value)) in _OPENERS:
            return True
        called = backend.types.called(function, value)
        return (
            isinstance(called, Function)
            and called.is_decorated('asynccontextmanager', 'acm')
            and 'client' in called.name
        )

    @staticmethod
    def _in_same_branch(function: Function, one: ast.AST, other: ast.AST) -> bool:
        """Whether what comes to the first comes to the second as well."""
        module = function.module
        others = {other, *module.above(other)}
        at = one
        for above in module.above(one):
            if above in others:
                return True
            if isinstance(above, ast.If | ast.Match | ast.ExceptHandler):
                body = getattr(above, 'body', [])
                ends = body and isinstance(body[-1], ast.Return | ast.Raise)
                if ends or isinstance(above, ast.Match):
                    return False
            at = above
        return at is not None


class QuotesNeverStarted(Rule):
    """The stream of quotes may end without having started.

    `nursery.start()` raises then, and the feed is not there.
    """

    id = 'PK123'
    help = 'call task_status.started(([FeedInit(...)], first_quote))'
    source = f'{PIKER}: live quotes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        function = backend.endpoint('stream_quotes')
        if function is None or function.node is None:
            return
        if 'task_status' not in function.parameters:
            return
        happens = says(backend, function, 'task_status', 'started')
        if not any(happens(call) for call in function.all_of(ast.Call)):
            yield self.at(
                function.module,
                function.node,
                'stream_quotes() never calls task_status.started()',
            )


class NeverLive(Rule):
    """A feed is never said to be live.

    piker waits for `feed_is_live` before it shows anything, for ever and in silence.
    """

    id = 'PK124'
    help = 'call feed_is_live.set() when the first quote is there'
    source = f'{PIKER}: live quotes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        function = backend.endpoint('stream_quotes')
        if function is None or 'feed_is_live' not in function.parameters:
            return
        happens = says(backend, function, 'feed_is_live', 'set')
        if not any(happens(call) for call in function.all_of(ast.Call)):
            assert function.node
            yield self.at(
                function.module,
                function.node,
                'stream_quotes() never calls feed_is_live.set()',
            )


class ChildNeverStarted(_NeverStarted):
    """A context may end without having started.

    Whoever opens it waits for `started()`: the release of tractor raises an error about
    messages there, its main branch hangs.
    """

    id = 'PK125'
    help = 'call `await ctx.started()` on every way out, or raise'
    source = f'{TRACTOR}: what happens when things end'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            if function.is_endpoint and function.name not in CONTEXTS:
                yield from self._unstarted(backend, function)


class TaskNeverStarted(Rule):
    """A task that is waited for with `nursery.start()` never says that it has started.

    trio raises `child exited without calling task_status.started()` as it ends, and
    until then whoever started it waits.
    """

    id = 'PK126'
    help = 'call task_status.started(), or use start_soon()'
    source = f'{TRACTOR}: what happens when things end'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for call in scope.of(ast.Call):
                match call:
                    case ast.Call(
                        func=ast.Attribute(attr='start'), args=[target, *_]
                    ) if isinstance(scope.module.parents.get(call), ast.Await):
                        yield from self._look_at(backend, scope, call, target)

    def _look_at(
        self, backend: Backend, scope: Function, call: ast.Call, target: ast.expr
    ) -> Iterator[Finding]:
        if isinstance(target, ast.Call) and last(dotted(target.func)) == 'partial':
            target = target.args[0] if target.args else target
        started = backend.types.meant(scope, target)
        if (
            isinstance(started, Class | None)
            or 'task_status' not in started.parameters
            or _may(backend, started, 'task_status', 'started')
        ):
            return
        yield self.at(
            scope.module, call, f'{started.name}() never calls task_status.started()'
        )


class Unanswered(Rule):
    """A search does not answer every pattern.

    The other side waits for one dict after each pattern that it sends, and nothing is
    found any more, in any backend.
    """

    id = 'PK127'
    help = 'send one dict for each pattern, `{}` where nothing matches'
    source = f'{PIKER}: symbol search'

    def check(self, backend: Backend) -> Iterator[Finding]:
        function = backend.endpoint('open_symbol_search')
        if function is None:
            return
        for loop in function.of(ast.AsyncFor):
            stream = dotted(loop.iter)
            if not stream:
                continue

            def answers(node: ast.AST, stream: str = stream) -> bool:
                if not isinstance(node, ast.Call):
                    return False
                given = [*node.args, *(it.value for it in node.keywords)]
                return dotted(node.func) == f'{stream}.send' or any(
                    dotted(it).partition('.')[0] == stream for it in given
                )

            if any(answers(it) for node in loop.body for it in ast.walk(node)) and (
                skipped := skips(loop, answers)
            ):
                yield self.at(
                    function.module, skipped, 'goes on without an answer to the pattern'
                )


RULES: list[Rule] = [
    EndpointNeverStarted(),
    StartedTooEarly(),
    QuotesNeverStarted(),
    NeverLive(),
    ChildNeverStarted(),
    TaskNeverStarted(),
    Unanswered(),
]
