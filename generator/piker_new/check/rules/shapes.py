"""The messages of an order dialog."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend, Function
from ..model.contract import LEGACY
from ..model.scope import dotted, last
from .base import PIKER, Rule
from .values import items, only_value

STATUSES = {'open', 'pending', 'canceled', 'closed'}
_AFTER = {'BrokerdStatus', 'BrokerdFill'}


def dialog(backend: Backend) -> Function | None:
    return backend.endpoint('open_trade_dialog') or backend.endpoint(LEGACY)


def line_of(node: ast.AST) -> int:
    return int(getattr(node, 'lineno', 0))


def makes(backend: Backend, scope: Function, *names: str) -> Iterator[ast.Call]:
    """The calls in a function that make a message of one of these types."""
    for call in scope.of(ast.Call):
        if last(backend.callee(scope, call)) in names:
            yield call
        else:
            called = backend.types.called(scope, call)
            made = called.node if isinstance(called, Function) else None
            if made and last(dotted(made.returns)) in names:
                yield call


def handed_on(scope: Function, message: ast.Call) -> ast.AST | None:
    """Where a message is given to somebody, to send it or to say how it is sent."""
    statement = scope.module.parents.get(message)
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]):
            pass
        case ast.AnnAssign(target=ast.Name(id=name)):
            pass
        case _:
            return message
    for use in scope.all_of(ast.Name):
        if (
            use.id == name
            and isinstance(use.ctx, ast.Load)
            and use.lineno > message.lineno
            and not isinstance(scope.module.parents.get(use), ast.Attribute)
        ):
            return use
    return None


class NeverAcks(Rule):
    """A dialog never acknowledges an order.

    The ack is what maps an `oid` to the `reqid` that all other messages name: without
    it piker drops the fills.
    """

    id = 'PK731'
    help = 'send BrokerdOrderAck(oid, reqid, account) before anything else'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        entry = dialog(backend)
        if entry is None or entry.node is None:
            return
        tells = False
        for scope in backend.scopes:
            acks = makes(backend, scope, 'BrokerdOrderAck')
            if any(handed_on(scope, it) is not None for it in acks):
                return
            tells = tells or any(True for _ in makes(backend, scope, *_AFTER))
            tells = tells or any(
                last(dotted(it)) == 'BrokerdOrder' for it in scope.of(ast.Name)
            )
        if tells:
            yield self.at(
                entry.module, entry.node, f'{entry.name}() never sends an ack'
            )


class AckTooLate(Rule):
    """An order is acknowledged after something else was said of it.

    piker does not know the `reqid` yet, and drops what names it.
    """

    id = 'PK732'
    help = 'send the ack first'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            acks = [
                sent
                for it in makes(backend, function, 'BrokerdOrderAck')
                if (sent := handed_on(function, it))
            ]
            if not acks:
                continue
            first = min(acks, key=line_of)
            block = self._block(function, first)
            for call in makes(backend, function, *_AFTER):
                said = handed_on(function, call)
                if (
                    said is not None
                    and line_of(said) < line_of(first)
                    and self._block(function, said) is block
                ):
                    yield self.at(
                        function.module,
                        call,
                        f'{function.name}() says this before the ack',
                    )
                    break

    @staticmethod
    def _block(function: Function, node: ast.AST) -> ast.AST | None:
        """What the statement of `node` is directly in."""
        for above in function.module.above(node):
            if isinstance(above, ast.stmt):
                return function.module.parents.get(above)
        return None


class WrongStatus(Rule):
    """A status is none that piker knows.

    The message does not decode, or is logged and dropped.
    """

    id = 'PK733'
    help = f'use one of {", ".join(sorted(STATUSES))}; a fill is a BrokerdFill'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        passed: list[tuple[Function, str]] = []
        for scope in backend.scopes:
            for call in scope.of(ast.Call):
                if last(backend.callee(scope, call)) != 'BrokerdStatus':
                    continue
                for keyword in call.keywords:
                    if keyword.arg == 'status':
                        yield from self._judge(scope, call, keyword.value)
                        if isinstance(keyword.value, ast.Name):
                            passed.append((scope, keyword.value.id))
        yield from self._in_callers(backend, passed)

    def _in_callers(
        self, backend: Backend, passed: list[tuple[Function, str]]
    ) -> Iterator[Finding]:
        """Where a status is a parameter: what is given for it, and for that..."""
        seen: set[tuple[Function, str]] = set()
        while passed:
            function, name = passed.pop()
            if (function, name) in seen or name not in function.parameters:
                continue
            seen.add((function, name))
            for scope in backend.scopes:
                if function not in backend.graph.callees(scope):
                    continue
                for call in scope.of(ast.Call):
                    if backend.types.called(scope, call) is not function:
                        continue
                    given = argument(function, call, name)
                    if isinstance(given, ast.Name):
                        passed.append((scope, given.id))
                    if given is not None:
                        yield from self._judge(scope, call, given)

    def _judge(
        self, scope: Function, call: ast.Call, status: ast.expr
    ) -> Iterator[Finding]:
        for value in self._values(only_value(scope, status)):
            if value not in STATUSES:
                yield self.at(scope.module, call, f'status {value!r}')

    def _values(self, value: ast.expr) -> Iterator[str]:
        match value:
            case ast.Constant(value=str() as status):
                yield status
            case ast.IfExp(body=body, orelse=orelse):
                yield from self._values(body)
                yield from self._values(orelse)


def argument(function: Function, call: ast.Call, name: str) -> ast.expr | None:
    """What a call gives for a parameter of `function`."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    names = [it.arg for it in function.arguments]
    if function.owner and names:
        names.pop(0)
    at = names.index(name) if name in names else len(call.args)
    return call.args[at] if at < len(call.args) else None


class NoDetailsName(Rule):
    """The details of a status have no name.

    piker takes the broker from `broker_details['name']`; without it that is a KeyError
    in emsd.
    """

    id = 'PK734'
    help = "give broker_details={'name': <broker>}"
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for call in makes(backend, scope, 'BrokerdStatus'):
                for keyword in call.keywords:
                    if (
                        keyword.arg == 'broker_details'
                        and isinstance(keyword.value, ast.Dict)
                        and None not in keyword.value.keys
                        and 'name' not in items(keyword.value)
                    ):
                        yield self.at(
                            scope.module, keyword.value, 'broker_details without a name'
                        )


class DialogDies(Rule):
    """A bad request ends the whole dialog.

    Raising in the loop over requests ends it for all orders of all accounts.
    """

    id = 'PK735'
    help = 'answer with a BrokerdError'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        entry = dialog(backend)
        if entry is None:
            return
        reached = backend.graph.closure([entry])
        for function in (it for it in backend.functions if it in reached):
            for loop in function.of(ast.AsyncFor):
                if not self._is_of_requests(loop):
                    continue
                for node in self._raises(function, loop):
                    yield self.at(
                        function.module, node, f'{function.name}() raises in its loop'
                    )

    @staticmethod
    def _is_of_requests(loop: ast.AsyncFor) -> bool:
        text = {
            it.value
            for node in loop.body
            for it in ast.walk(node)
            if isinstance(it, ast.Constant) and isinstance(it.value, str)
        }
        known = 'oid' in text and {'action', 'account'} & text
        return bool(known) and 'stream' in ast.unparse(loop.iter)

    @staticmethod
    def _raises(function: Function, loop: ast.AsyncFor) -> Iterator[ast.Raise]:
        for node in function.of(ast.Raise):
            inside: ast.AST = node
            for above in function.module.above(node):
                if isinstance(above, ast.Try) and inside in above.body:
                    break
                if isinstance(above, ast.ExceptHandler):
                    break  # what it is about is another error
                if above is loop:
                    if node.exc is not None:
                        yield node
                    break
                inside = above


RULES: list[Rule] = [
    NeverAcks(),
    AckTooLate(),
    WrongStatus(),
    NoDetailsName(),
    DialogDies(),
]
