"""Endpoints: what kind of function they are, and how piker calls them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ..finding import Finding
from ..model import Backend, Function
from ..model.contract import CONTEXTS, ENDPOINTS, LEGACY
from ..model.scope import dotted, last
from .base import PIKER, TRACTOR, Rule

_MANAGERS = ('asynccontextmanager', 'acm')


@dataclass
class Call:
    """How piker calls an endpoint."""

    positional: int
    keywords: tuple[str, ...] = ()


CALLS: dict[str, Call] = {
    'get_client': Call(0),
    'get_mkt_info': Call(1),
    'open_history_client': Call(1),
    'stream_quotes': Call(0, ('send_chan', 'symbols', 'feed_is_live', 'task_status')),
    'open_symbol_search': Call(1),
    'open_trade_dialog': Call(1),
    LEGACY: Call(1),
    'norm_trade': Call(2, ('pairs', 'symcache')),
    'get_cost': Call(2, ('is_taker',)),
}
GET_HIST = Call(1, ('end_dt', 'start_dt'))


def mismatch(function: Function, call: Call, bound: int = 0) -> str | None:
    """Why a function, its first `bound` arguments given, cannot be called like that."""
    if function.node is None:
        return None
    args = function.node.args
    positional = [it.arg for it in (*args.posonlyargs, *args.args)][bound:]
    if len(positional) < call.positional and not args.vararg:
        return f'takes {len(positional)} positional arguments, piker gives'
    by_keyword = [*positional[call.positional :], *(it.arg for it in args.kwonlyargs)]
    only_positional = {it.arg for it in args.posonlyargs}
    for name in call.keywords:
        if (name not in by_keyword or name in only_positional) and not args.kwarg:
            return f'has no parameter {name}, which piker gives'
    given = {it.arg for it in (*args.posonlyargs, *args.args)[:bound]}
    required = set(function.required) - given
    for name in positional[: call.positional]:
        required.discard(name)
    if extra := required - set(call.keywords):
        return f'wants {", ".join(sorted(extra))}, which piker does not give'
    if any(arg.arg in required for arg in args.posonlyargs):
        return 'takes by position what piker gives by keyword'
    return None


class WrongKind(Rule):
    """An endpoint is another kind of function than piker calls.

    It is awaited, entered or simply called; the wrong one fails at its first use.
    """

    id = 'PK111'
    help = 'make it that'
    source = f'{PIKER}: client, market types, live quotes, history'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for name in (*ENDPOINTS, 'get_cost', LEGACY):
            function = backend.endpoint(name)
            if function is None or function.node is None:
                continue
            if function.decorator_names and not function.is_decorated(
                *_MANAGERS, 'context', 'async_lifo_cache'
            ):
                continue  # who knows what the decorator makes of it
            if wanted := self._wanted(name, function):
                yield self.at(
                    function.module, function.node, f'{name}() should be {wanted}'
                )

    @staticmethod
    def _wanted(name: str, function: Function) -> str | None:
        yields = bool(function.of(ast.Yield))
        managed = function.is_decorated(*_MANAGERS)
        match name:
            case 'get_client' | 'open_history_client':
                if function.is_async and not managed and yields:
                    return 'decorated with @asynccontextmanager'
                if not yields and (function.is_async or managed):
                    return 'an async context manager, which yields'
            case 'norm_trade' | 'get_cost':
                if function.is_async:
                    return 'a plain function, which is not awaited'
            case _:
                if managed:
                    return 'a coroutine function, not a context manager'
                if not function.is_async:
                    return 'a coroutine function (async def)'
                if yields:
                    return 'a coroutine function, not a generator'
        return None


class WrongSignature(Rule):
    """An endpoint cannot be called as piker calls it.

    piker passes these arguments, by these names, and no others: anything else is a
    TypeError in a daemon.
    """

    id = 'PK112'
    help = 'take the parameters that piker gives, and give others a default'
    source = f'{PIKER}: client, live quotes, history, order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for name, call in CALLS.items():
            function = backend.endpoint(name)
            if function and function.node and (why := mismatch(function, call)):
                yield self.at(function.module, function.node, f'{name}() {why}')


class WrongGetHist(Rule):
    """The function that loads history cannot be called as piker calls it.

    `get_hist(timeframe, end_dt=..., start_dt=...)`, with exactly these names.
    """

    id = 'PK113'
    help = 'take `timeframe`, `end_dt=None` and `start_dt=None`'
    source = f'{PIKER}: history'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function, bound in history_functions(backend):
            why = mismatch(function, GET_HIST, bound)
            if not why and {'end_dt', 'start_dt'} & {*function.required}:
                why = 'wants end_dt and start_dt, which piker leaves out at times'
            if function.node and why:
                yield self.at(
                    function.module, function.node, f'{function.name}() {why}'
                )


def history_functions(backend: Backend) -> Iterator[tuple[Function, int]]:
    """
    What `open_history_client()` yields to load history with, and how many of its
    arguments are bound.
    """
    opener = backend.endpoint('open_history_client')
    if opener is None:
        return
    for node in opener.of(ast.Yield):
        match node.value:
            case ast.Tuple(elts=[ast.Call(args=[target, *bound]) as call, *_]) if (
                last(dotted(call.func)) == 'partial' and not call.keywords
            ):
                found = backend.types.meant(opener, target)
                if isinstance(found, Function):
                    yield found, len(bound)
            case ast.Tuple(elts=[ast.Name() as target, *_]):
                found = backend.types.meant(opener, target)
                if isinstance(found, Function):
                    yield found, 0


class NotAContext(Rule):
    """An endpoint that piker opens as a context is none.

    `portal.open_context()` refuses a function without `@tractor.context`.
    """

    id = 'PK114'
    help = 'decorate it with @tractor.context'
    source = f'{PIKER}: symbol search, order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for name in CONTEXTS:
            function = backend.endpoint(name)
            if function and function.node and not function.decorator_names:
                yield self.at(
                    function.module, function.node, f'{name}() is no @tractor.context'
                )


class ContextParameter(Rule):
    """The context parameter would be refused by one of tractor's versions.

    Its release wants the parameter to be named `ctx`, its main branch wants it to be
    annotated `tractor.Context`.
    """

    id = 'PK115'
    help = 'write `ctx: tractor.Context`'
    source = f'{TRACTOR}: names that differ'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.contexts:
            if function.node is None or function.node.args.vararg:
                continue
            named = [it for it in function.arguments if it.arg == 'ctx']
            if not named:
                what = 'is not named ctx'
            elif named[0].annotation is None:
                what = 'is not annotated tractor.Context'
            else:
                continue
            yield self.at(
                function.module,
                function.node,
                f'the context of {function.name}() {what}',
            )


RULES: list[Rule] = [
    WrongKind(),
    WrongSignature(),
    WrongGetHist(),
    NotAContext(),
    ContextParameter(),
]
