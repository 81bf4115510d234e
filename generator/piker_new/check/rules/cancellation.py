"""Cancellation, remote errors and addresses."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend, Function
from ..model.flow import own
from ..model.scope import dotted, last
from .base import CONC, TRACTOR, Rule

_ADDRESSES = {'raddr', 'laddr', 'sockaddr', '_arb_addr', 'accept_addr', 'bind_addr'}
_REGISTRIES = ('reg_addrs', 'registry_addrs')
_SCOPES = ('CancelScope', 'move_on_after', 'move_on_at', 'fail_after', 'fail_at')


def types_of(handler: ast.ExceptHandler) -> list[str]:
    """The last names of what it catches; of a bare one, BaseException."""
    if handler.type is None:
        return ['BaseException']
    elts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return [last(dotted(it)) for it in elts]


class SwallowsCancelled(Rule):
    """A cancellation is caught and not raised again.

    The scope that was cancelled waits for it, and the daemon does not come to its end.
    """

    id = 'PK601'
    help = 'catch Exception, or raise it again'
    source = f'{CONC}: tractor primitives'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            if not function.is_async or self._is_on_asyncio(function):
                continue
            for node in function.of(ast.Try):
                if not any(
                    isinstance(it, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Yield)
                    for statement in node.body
                    for it in own(statement)
                ):
                    continue
                for handler in node.handlers:
                    caught = types_of(handler)
                    raises = any(
                        isinstance(it, ast.Raise)
                        for statement in handler.body
                        for it in own(statement)
                    )
                    if 'Cancelled' in caught and raises:
                        break
                    if raises or not {'Cancelled', 'BaseException'} & {*caught}:
                        continue
                    yield self.at(
                        function.module,
                        handler,
                        f'{function.qualname}() swallows Cancelled',
                    )

    @staticmethod
    def _is_on_asyncio(function: Function) -> bool:
        """It has other cancellations, which are another matter."""
        at: Function | None = function
        while at is not None:
            if {'to_trio', 'from_trio'} & at.parameters or any(
                dotted(it).startswith('asyncio.') for it in at.of(ast.Attribute)
            ):
                return True
            at = at.outer
        return False


class TypeOfRemote(Rule):
    """A remote error is told by `.type`.

    On tractor's main branch that is the wrapper's own type or absent; the type of what
    was raised over there is `.boxed_type`.
    """

    id = 'PK602'
    help = 'compare `.boxed_type`'
    source = f'{CONC}: tractor primitives'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            for node in function.of(ast.ExceptHandler):
                if node.name is None or not {
                    'RemoteActorError', 'ContextCancelled'
                } & {*types_of(node)}:  # fmt: skip
                    continue
                for statement in node.body:
                    for it in own(statement):
                        if dotted(it) == f'{node.name}.type':
                            yield self.at(
                                function.module,
                                it,
                                f'{node.name}.type of a remote error',
                            )


class ContextResult(Rule):
    """The result of a context or a portal is asked for by its old name.

    `Context.result()` is deprecated, and `Portal.result()` is going.
    """

    id = 'PK603'
    level = 'warning'
    help = 'use `wait_for_result()`, where tractor has it'
    source = f'{TRACTOR}: found since'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            opened = self._opened(backend, function)
            for call in function.of(ast.Call):
                func = call.func
                if (
                    isinstance(func, ast.Attribute)
                    and func.attr == 'result'
                    and dotted(func.value) in opened
                ):
                    yield self.at(function.module, call, f'{dotted(func)}()')

    @staticmethod
    def _opened(backend: Backend, function: Function) -> set[str]:
        found: set[str] = set()
        for node in (*function.of(ast.AsyncWith),):
            for item in node.items:
                match item:
                    case ast.withitem(
                        context_expr=ast.Call(func=ast.Attribute(attr='open_context')),
                        optional_vars=ast.Tuple(elts=[ast.Name(id=name), *_]),
                    ):
                        found.add(name)
        for arg in function.arguments:
            if arg.annotation and last(dotted(arg.annotation)) in ('Portal', 'Context'):
                found.add(arg.arg)
        for name, values in function.locals.items():
            for value in values:
                inner = value.value if isinstance(value, ast.Await) else value
                if backend.is_call_of(
                    function, inner, 'run_in_actor', 'start_actor'
                ) or (
                    isinstance(inner, ast.Call)
                    and getattr(inner.func, 'attr', '')
                    in ('run_in_actor', 'start_actor')
                ):
                    found.add(name)
        return found


class RawAddress(Rule):
    """An address is compared or taken apart raw.

    What an address is, a tuple, a list or an object of one transport, differs by
    version and by side; a pair of host and port is only one of them.
    """

    id = 'PK604'
    help = 'compare `wrap_address(...)` of both, and hand addresses on whole'
    source = f'{CONC}: tractor primitives'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for node in scope.of(ast.Assign):
                target = node.targets[0]
                if isinstance(target, ast.Tuple) and self._is_address(
                    scope, node.value
                ):
                    yield self.at(
                        scope.module, node, f'unpacks {ast.unparse(node.value)}'
                    )
            loops: list[ast.For | ast.comprehension] = [*scope.of(ast.For)]
            for loop in (*loops, *scope.of(ast.comprehension)):
                if isinstance(loop.target, ast.Tuple) and (
                    isinstance(loop.iter, ast.Attribute)
                    and loop.iter.attr in _REGISTRIES
                ):
                    yield self.at(
                        scope.module, loop.target, f'unpacks {ast.unparse(loop.iter)}'
                    )
            for part in scope.of(ast.Subscript):
                if (
                    isinstance(part.slice, ast.Constant)
                    and isinstance(part.slice.value, int)
                    and self._is_address(scope, part.value)
                ):
                    yield self.at(scope.module, part, f'takes {ast.unparse(part)}')
            for compare in scope.of(ast.Compare):
                if not isinstance(compare.ops[0], ast.Eq | ast.NotEq):
                    continue
                sides = [compare.left, compare.comparators[0]]
                if any(self._is_address(scope, it) for it in sides) and any(
                    isinstance(it, ast.Tuple | ast.List) for it in sides
                ):
                    yield self.at(
                        scope.module, compare, f'compares {ast.unparse(compare)}'
                    )

    @staticmethod
    def _is_address(scope: Function, value: ast.expr) -> bool:
        if isinstance(value, ast.Call):
            func = value.func
            return (
                isinstance(func, ast.Attribute)
                and func.attr == 'unwrap'
                and (not value.args)
            )
        if isinstance(value, ast.Subscript):
            return (
                isinstance(value.value, ast.Attribute)
                and value.value.attr in _REGISTRIES
            )
        return isinstance(value, ast.Attribute) and value.attr in _ADDRESSES


class ScopeAroundNursery(Rule):
    """A cancel scope is around an actor nursery.

    Its teardown then takes seconds, since the nursery is cancelled from without; inside
    it takes a twentieth of one.
    """

    id = 'PK605'
    help = 'open the scope inside the nursery'
    source = f'{TRACTOR}: what happens when things end'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            for node in function.of(ast.AsyncWith):
                for item in node.items:
                    if not self._is_nursery(backend, function, item.context_expr):
                        continue
                    for above in function.module.above(node):
                        if isinstance(above, ast.With) and any(
                            backend.is_call_of(function, it.context_expr, *_SCOPES)
                            for it in above.items
                        ):
                            yield self.at(
                                function.module,
                                above,
                                f'a scope around {ast.unparse(item.context_expr)}',
                            )
                            break

    @staticmethod
    def _is_nursery(backend: Backend, function: Function, value: ast.expr) -> bool:
        if not isinstance(value, ast.Call):
            return False
        origin = backend.callee(function, value)
        return origin.startswith('tractor') and last(origin) in (
            'open_nursery', 'open_root_actor', 'open_actor_cluster'
        )  # fmt: skip


RULES: list[Rule] = [
    SwallowsCancelled(),
    TypeOfRemote(),
    ContextResult(),
    RawAddress(),
    ScopeAroundNursery(),
]
