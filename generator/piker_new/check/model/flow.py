"""Whether a function can come to its end before something has happened."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from .scope import Function

Happens = Callable[[ast.AST], bool]
_BARE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def own(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and all below it, but for functions that are defined there."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _BARE):
            yield from own(child)


def ends_before(function: Function, happens: Happens) -> ast.AST | None:
    """
    A `return`, or the function itself for its end, that can be reached although
    `happens` is true of nothing on the way. What raises does not count.
    """
    if function.node is None:
        return None
    flow = _Flow(happens)
    falls = flow.block(function.node.body)
    if flow.early is not None:
        return flow.early
    return function.node if falls else None


def skips(loop: ast.AsyncFor, happens: Happens) -> ast.AST | None:
    """
    A `continue` of the loop, or the loop itself for the end of its body, that can be
    reached although `happens` is true of nothing on the way.
    """
    flow = _Flow(happens)
    falls = flow.block(loop.body)
    return flow.skipped or (loop if falls else None)


class _Flow:
    """Walks statements on which nothing has happened yet."""

    def __init__(self, happens: Happens) -> None:
        self._happens = happens
        self.early: ast.Return | None = None
        self.skipped: ast.Continue | None = None
        self._loops = 0

    def block(self, statements: list[ast.stmt]) -> bool:
        """Whether the end of the block can be reached before it happens."""
        return all(self._statement(it) for it in statements)

    def _loop(self, body: list[ast.stmt]) -> None:
        self._loops += 1
        self.block(body)
        self._loops -= 1

    def _in(self, node: ast.AST | None) -> bool:
        return node is not None and any(self._happens(it) for it in own(node))

    def _statement(self, node: ast.stmt) -> bool:
        match node:
            case ast.Return():
                if not self._in(node) and self.early is None:
                    self.early = node
                return False
            case ast.Continue():
                if not self._loops and self.skipped is None:
                    self.skipped = node
                return False
            case ast.Raise() | ast.Break():
                return False
            case ast.If(test=test, body=body, orelse=orelse):
                if self._in(test):
                    return False
                then, other = self.block(body), self.block(orelse)
                return then or other
            case ast.Match(subject=subject, cases=cases):
                if self._in(subject):
                    return False
                ways = [self.block(case.body) for case in cases]
                return any(ways) or not any(map(_matches_all, cases))
            case ast.While(test=test, body=body, orelse=orelse):
                self._loop(body)
                endless = isinstance(test, ast.Constant) and bool(test.value)
                if endless:
                    return _breaks(body) and not any(map(self._in, body))
                return not self._in(test) and self.block(orelse)
            case ast.For(iter=it, body=body) | ast.AsyncFor(iter=it, body=body):
                if self._in(it):
                    return False
                self._loop(body)
                # it may be that there is nothing; but whoever starts in a loop knows
                return not any(map(self._in, body))
            case (
                ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body)
            ):
                if any(self._in(item) for item in items):
                    return False
                return self.block(body)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=end):
                if any(map(self._in, end)):
                    return False
                falls = self.block(body) and self.block(orelse)
                caught = [self.block(handler.body) for handler in handlers]
                # what is caught may well come after it has happened
                return falls or (any(caught) and not any(map(self._in, body)))
        return not self._in(node) and not _never_returns(node)


def _never_returns(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(value=ast.Await(value=ast.Call(func=function))):
            name = getattr(function, 'attr', getattr(function, 'id', ''))
            return name in ('sleep_forever',)
        case ast.Assert(test=ast.Constant(value=value)):
            return not value
    return False


def _matches_all(case: ast.match_case) -> bool:
    return (
        case.guard is None
        and isinstance(case.pattern, ast.MatchAs)
        and (case.pattern.pattern is None)
    )


def _breaks(body: list[ast.stmt]) -> bool:
    return any(isinstance(it, ast.Break) for node in body for it in own(node))
