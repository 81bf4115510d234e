"""State and caches, of which each actor has its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend, Function
from ..model.scope import dotted, last
from ..model.state import Access, State, read_state
from .base import CONC, PIKER, Rule

_CACHES = ('async_lifo_cache', 'lru_cache', 'cache', 'alru_cache')
_NAMES = {'fqme', 'bs_fqme', 'bs_mktid', 'symbol'}
_CONFIG = {'load_accounts', 'get_config', 'load_config'}


class SharedState(Rule):
    """State is filled in one daemon and relied upon in the other.

    Globals and the attributes of clients are an actor's own. What worked while quotes
    and orders shared a process finds nothing once datad and brokerd are apart.
    """

    id = 'PK401'
    help = 'fill it on the path of the daemon that needs it, as cache_contract() does'
    source = f'{CONC}: actor-local state'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for state in read_state(backend):
            for kind, other in (('brokerd', 'datad'), ('datad', 'brokerd')):
                yield from self._between(backend, state, kind, other)

    def _between(
        self, backend: Backend, state: State, kind: str, other: str
    ) -> Iterator[Finding]:
        graph = backend.graph
        ours, loosely = graph.reached(kind), graph.reached(kind, loose=True)
        theirs = graph.reached(other)
        readers = [it for it in state.reads if it.function in ours]
        if not readers:
            return
        fillers = [it for it in state.fills if it.function in theirs]
        if not fillers or any(it.function in loosely for it in state.fills):
            return
        reader = self._first(readers)
        filler = self._first(fillers)
        yield self.at(
            reader.function.module,
            reader.node,
            f'{state.label} is read in {kind} and filled only in {other}: '
            f'{graph.path(kind, reader.function)} reads what '
            f'{graph.path(other, filler.function)} fills',
        )

    @staticmethod
    def _first(accesses: list[Access]) -> Access:
        return min(accesses, key=lambda it: (it.function.module.name, _line(it.node)))


def _line(node: ast.AST) -> int:
    return int(getattr(node, 'lineno', 0))


class OtherKey(Rule):
    """A cache is filled under one name of a market and read under another.

    `fqme` ends with the broker, `bs_fqme` does not; who asks by the other one never
    finds what is there.
    """

    id = 'PK402'
    help = 'store it under every name that is asked for'
    source = f'{CONC}: actor-local state'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for state in read_state(backend):
            stored = {self._kind(it) for it in state.fills}
            if not stored or '' in stored:
                continue
            for read in state.reads:
                kind = self._kind(read)
                if kind and kind not in stored:
                    yield self.at(
                        read.function.module,
                        read.node,
                        f'{state.label} is read by {kind} and filled by '
                        f'{", ".join(sorted(stored))}',
                    )

    @staticmethod
    def _kind(access: Access) -> str:
        key = access.key
        if isinstance(key, ast.Name):
            values = access.function.locals.get(key.id, [])
            if len(values) == 1 and access.function.bindings[key.id] == 1:
                key = values[0]
        if isinstance(key, ast.Attribute) and key.attr in _NAMES - {'symbol'}:
            return key.attr
        return ''


def is_cached(function: Function) -> bool:
    return function.is_decorated(*_CACHES)


class SideEffect(Rule):
    """A cached function has a side effect.

    A hit skips the body, and with it whatever else it does; in another actor that may
    be the very thing that is needed.
    """

    id = 'PK403'
    help = 'do it in a function that is not cached'
    source = f'{CONC}: actor-local state'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            if is_cached(function):
                for node, what in self._effects(function):
                    yield self.at(
                        function.module,
                        node,
                        f'{function.name}() is cached, and changes {what}',
                    )
                    break

    def _effects(self, function: Function) -> Iterator[tuple[ast.AST, str]]:
        own = self._made_here(function)
        targets: list[tuple[ast.stmt, ast.expr]] = [
            (node, target) for node, target, _ in function.assignments
        ]
        targets += [(it, it.target) for it in function.of(ast.AugAssign)]
        for node, target in targets:
            if isinstance(target, ast.Subscript | ast.Attribute):
                name = dotted(_base(target))
                if name and name.partition('.')[0] not in own:
                    yield node, ast.unparse(target)
            elif isinstance(target, ast.Name) and any(
                target.id in it.names for it in function.of(ast.Global)
            ):
                yield node, target.id
        for call in function.of(ast.Call):
            func = call.func
            if (
                isinstance(func, ast.Attribute)
                and func.attr in ('append', 'add', 'update', 'setdefault', 'extend')
                and (name := dotted(func.value))
                and name.partition('.')[0] not in own
            ):
                yield call, name

    @staticmethod
    def _made_here(function: Function) -> set[str]:
        """The names that are bound to something new in there."""
        made: set[str] = set()
        for name, values in function.locals.items():
            if all(
                isinstance(
                    it,
                    ast.Dict
                    | ast.List
                    | ast.Set
                    | ast.DictComp
                    | ast.ListComp
                    | ast.SetComp
                    | ast.Constant
                    | ast.Call
                    | ast.Await
                    | ast.BinOp,
                )
                for it in values
            ):
                made.add(name)
        loops: list[ast.For | ast.AsyncFor] = [*function.of(ast.For)]
        for node in (*loops, *function.of(ast.AsyncFor)):
            made |= {it.id for it in ast.walk(node.target) if isinstance(it, ast.Name)}
        return made


def _base(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


class CachedByKeyword(Rule):
    """A cached function is called by keyword.

    The cache looks at positional arguments only: what is passed by keyword is not part
    of the key, so that the first value answers for all others.
    """

    id = 'PK404'
    help = 'pass it by position'
    source = f'{CONC}: actor-local state'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for call in scope.of(ast.Call):
                if not call.keywords:
                    continue
                called = backend.types.called(scope, call)
                if isinstance(called, Function) and called.is_decorated(
                    'async_lifo_cache'
                ):
                    names = ', '.join(it.arg or '**' for it in call.keywords)
                    yield self.at(
                        scope.module,
                        call,
                        f'{called.name}() is cached, and given {names} by keyword',
                    )


class RuntimeVarsAtImport(Rule):
    """Runtime variables are read as a module is imported.

    An actor gets them as it boots, after it may have imported the module; so it sees
    those of nobody.
    """

    id = 'PK405'
    help = 'read them where they are used'
    source = f'{CONC}: tractor primitives'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for module in backend.modules.values():
            body = module.body
            for node in (*body.of(ast.Attribute), *body.of(ast.Name)):
                name = last(dotted(node))
                if name in ('_runtime_vars', 'current_actor', 'get_runtime_vars'):
                    origin = module.origin(dotted(node))
                    if not origin.startswith('tractor'):
                        continue
                    yield self.at(module, node, f'{dotted(node)} is read at import')


class ConfigAtImport(Rule):
    """The configuration is read as a module is imported.

    Where it is depends on runtime variables (`piker_test_dir`), which an actor does not
    have by then: a test would read, and write, the real one.
    """

    id = 'PK406'
    help = 'read it where it is used'
    source = f'{CONC}: tractor primitives'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for module in backend.modules.values():
            for call in module.body.of(ast.Call):
                if self._reads(backend, module.body, call) and not _in_main(
                    module.parents, call
                ):
                    yield self.at(
                        module, call, f'{dotted(call.func)}() is called at import'
                    )

    def _reads(
        self, backend: Backend, scope: Function, call: ast.Call, depth: int = 0
    ) -> bool:
        """By itself, or in what it calls."""
        if _is_config(backend.callee(scope, call)):
            return True
        called = backend.types.called(scope, call)
        return (
            isinstance(called, Function)
            and not called.is_async
            and depth < 4
            and any(
                self._reads(backend, called, inner, depth + 1)
                for inner in called.of(ast.Call)
            )
        )


def _is_config(origin: str) -> bool:
    return last(origin) in _CONFIG or origin.endswith(
        ('config.load', 'config.get_conf_path', 'config.get_conf_dir')
    )


def _in_main(parents: dict[ast.AST, ast.AST], node: ast.AST) -> bool:
    at: ast.AST | None = node
    while at is not None:
        if isinstance(at, ast.If) and '__main__' in ast.unparse(at.test):
            return True
        at = parents.get(at)
    return False


class BareCache(Rule):
    """A cache decorates without having been called.

    `@async_lifo_cache` takes the function for its size, and what it makes of it cannot
    be awaited.
    """

    id = 'PK407'
    help = 'write `@async_lifo_cache()`'
    source = f'{PIKER}: market types'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            for decorator in function.node.decorator_list if function.node else []:
                if last(dotted(decorator)) == 'async_lifo_cache':
                    yield self.at(
                        function.module,
                        decorator,
                        f'{function.name}() is decorated with a bare cache',
                    )


RULES: list[Rule] = [
    SharedState(),
    OtherKey(),
    SideEffect(),
    CachedByKeyword(),
    RuntimeVarsAtImport(),
    ConfigAtImport(),
    BareCache(),
]
