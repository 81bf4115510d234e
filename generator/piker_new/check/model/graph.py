"""Who calls whom, and what each kind of daemon may come to."""

from __future__ import annotations

import ast
from collections import deque
from typing import TYPE_CHECKING

from . import contract
from .scope import Class, Function, last

if TYPE_CHECKING:
    from .backend import Backend

# Names that are too common to tell whose method is called.
_COMMON = {
    'get', 'pop', 'update', 'add', 'append', 'items', 'keys', 'values', 'copy',
    'close', 'clear', 'send', 'receive', 'cancel', 'start', 'stop', 'run', 'put',
    'read', 'write', 'open', 'remove', 'discard', 'setdefault', 'extend', 'insert',
    'index', 'count', 'join', 'split', 'format', 'replace', 'strip', 'lower',
    'upper', 'encode', 'decode', 'sort', 'reverse', 'set', 'wait', 'connect',
    'disconnect', 'subscribe', 'request', 'load', 'dump', 'find', 'exists', 'name',
    'next',
}  # fmt: skip


class CallGraph:
    """
    Edges from a function to those that it names, be it to call them, to start them
    as a task or to hand them on.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._edges: dict[tuple[Function, bool], dict[Function, int]] = {}
        self._reached: dict[tuple[str, bool], dict[Function, Function | None]] = {}

    def callees(self, function: Function, loose: bool = False) -> dict[Function, int]:
        """What `function` may call, with the line; `loose` also by guess."""
        key = function, loose
        if key not in self._edges:
            self._edges[key] = self._read(function, loose)
        return self._edges[key]

    def reached(
        self, kind: str, loose: bool = False
    ) -> dict[Function, Function | None]:
        """What a daemon of that kind may come to, and from where it does."""
        key = kind, loose
        if key not in self._reached:
            entries = [
                found
                for name in contract.DAEMONS[kind]
                if (found := self._backend.endpoint(name))
            ]
            self._reached[key] = self.closure(entries, loose)
        return self._reached[key]

    def closure(
        self, entries: list[Function], loose: bool = False
    ) -> dict[Function, Function | None]:
        found: dict[Function, Function | None] = dict.fromkeys(entries)
        todo = deque(entries)
        while todo:
            caller = todo.popleft()
            for callee in self.callees(caller, loose):
                if callee not in found:
                    found[callee] = caller
                    todo.append(callee)
        return found

    def path(self, kind: str, function: Function) -> str:
        """How a daemon of that kind comes to `function`: `a() > b() > c()`."""
        reached = self.reached(kind)
        names: list[str] = []
        at: Function | None = function
        while at is not None:
            names.append(f'{at.qualname}()')
            at = reached.get(at)
        return ' > '.join(reversed(names))

    def _read(self, function: Function, loose: bool) -> dict[Function, int]:
        types = self._backend.types
        found: dict[Function, int] = {}

        def add(what: Function | Class | None, line: int) -> None:
            if isinstance(what, Class):
                for name in ('__init__', '__post_init__', '__aenter__', '__aiter__'):
                    if method := types.method(what, name):
                        add(method, line)
            elif what is not None and what is not function:
                found.setdefault(what, line)

        for name in function.of(ast.Name):
            add(types.meant(function, name), name.lineno)
        for attribute in function.of(ast.Attribute):
            line = attribute.lineno
            meant = types.meant(function, attribute)
            if meant is not None:
                add(meant, line)
                # a Protocol says what there is, others do it
                if isinstance(meant, Function) and meant.owner and _is_protocol(meant):
                    for method in self._backend.methods.get(attribute.attr, []):
                        add(method, line)
                continue
            others = self._backend.methods.get(attribute.attr, [])
            if attribute.attr in _COMMON and not loose:
                continue
            if not isinstance(attribute.ctx, ast.Load) or self._is_own(
                function, attribute
            ):
                continue
            if len(others) == 1 or (loose and others):
                for method in others:
                    add(method, line)
        for call in function.of(ast.Call):
            if last(self._backend.callee(function, call)) == 'open_cached_client':
                add(self._backend.endpoint('get_client'), call.lineno)
        for inner in function.inner.values():
            # it is defined where it is used, if not by name then by a decorator
            if inner.node and inner.node.decorator_list:
                add(inner, inner.node.lineno)
        return found

    def _is_own(self, function: Function, attribute: ast.Attribute) -> bool:
        """Whether it is known to be an attribute, and so no method of another class."""
        types = self._backend.types
        cls = types.of(function, attribute.value)
        return cls is not None and any(
            attribute.attr in it.annotations or attribute.attr in it.values
            for it in types.with_bases(cls)
        )


def _is_protocol(method: Function) -> bool:
    return method.owner is not None and any(
        last(ast.unparse(base)) == 'Protocol' for base in method.owner.node.bases
    )
