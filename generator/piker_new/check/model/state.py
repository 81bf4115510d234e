"""State that lives as long as an actor: who fills it, and who relies on it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .module import Module
from .scope import Class, Function, dotted

if TYPE_CHECKING:
    from .backend import Backend

_FILLS = {'append', 'add', 'update', 'setdefault', 'insert', 'extend', 'appendleft'}
_CONTAINERS = {
    'dict', 'list', 'set', 'defaultdict', 'OrderedDict', 'deque', 'bidict', 'ChainMap'
}  # fmt: skip


@dataclass(eq=False)
class Access:
    """One place where a piece of state is filled or read; `key` where it has one."""

    function: Function
    node: ast.AST
    key: ast.expr | None = None


@dataclass(eq=False)
class State:
    """A global name of a module, or an attribute of a class."""

    home: Module | Class
    name: str
    fills: list[Access] = field(default_factory=list)
    reads: list[Access] = field(default_factory=list)
    is_set_later: bool = False
    """It begins as None, and is no container."""

    @property
    def label(self) -> str:
        if isinstance(self.home, Class):
            return f'{self.home.name}.{self.name}'
        return self.name


def is_container(value: ast.expr | None) -> bool:
    """Whether a value is a container that begins empty."""
    match value:
        case ast.Dict(keys=keys):
            return not keys
        case ast.List(elts=elts):
            return not elts
        case ast.Call(func=func, args=args):
            name = dotted(func.value if isinstance(func, ast.Subscript) else func)
            return name.rpartition('.')[2] in _CONTAINERS and not any(
                isinstance(it, ast.Dict | ast.List | ast.Set) for it in args
            )
    return False


def read_state(backend: Backend) -> list[State]:
    """The containers that begin empty and are filled as time goes by."""
    return list(_Reader(backend).read())


def _asks_for_none(node: ast.AST) -> bool:
    """Whether it is only asked for whether it is there."""
    return not isinstance(node, ast.Compare) or any(
        isinstance(it, ast.Constant) and it.value is None for it in node.comparators
    )


class _Reader:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._globals: dict[tuple[str, str], State] = {}
        self._attributes: dict[str, list[State]] = {}

    def read(self) -> Iterator[State]:
        for module in self._backend.modules.values():
            for name, value in module.values.items():
                if is_container(value) or self._is_set_later(module, name, value):
                    state = State(module, name, is_set_later=not is_container(value))
                    self._globals[module.name, name] = state
            for cls in module.classes.values():
                for attr, (_, value) in cls.values.items():
                    if is_container(value):
                        state = State(cls, attr)
                        self._attributes.setdefault(attr, []).append(state)
        for function in self._backend.functions:
            self._accesses(function)
        states = [*self._globals.values()]
        states += [it for found in self._attributes.values() for it in found]
        yield from (it for it in states if it.fills and it.reads)

    @staticmethod
    def _is_set_later(module: Module, name: str, value: ast.expr) -> bool:
        """Whether it begins as None, and a function sets it."""
        return (
            isinstance(value, ast.Constant)
            and value.value is None
            and any(
                name in it.names
                for function in module.functions
                for it in function.of(ast.Global)
            )
        )

    def _accesses(self, function: Function) -> None:
        if not (self._globals or self._attributes):
            return
        parents = function.module.parents
        nodes: list[ast.Name | ast.Attribute] = [*function.of(ast.Name)]
        for node in (*nodes, *function.of(ast.Attribute)):
            state = self._state_of(function, node)
            if state is None:
                continue
            parent = parents.get(node)
            match parent:
                case ast.Subscript(value=value, slice=key) if value is node:
                    store = isinstance(parent.ctx, ast.Store)
                    if isinstance(parent.ctx, ast.Del):
                        continue
                    if isinstance(parents.get(parent), ast.AugAssign):
                        store = False
                    (state.fills if store else state.reads).append(
                        Access(function, node, key)
                    )
                case ast.Attribute(attr=method) if (
                    isinstance(call := parents.get(parent), ast.Call)
                    and call.func is parent
                ):
                    first = call.args[0] if call.args else None
                    if method in _FILLS:
                        state.fills.append(Access(function, node, first))
                    elif method in ('get', '__getitem__'):
                        state.reads.append(Access(function, node, first))
                    elif method in ('items', 'values', 'keys'):
                        pass  # whoever goes through it takes it as it is
                case _ if isinstance(node.ctx, ast.Store):
                    if not (function.name == '__init__' and self._is_own(node)):
                        state.fills.append(Access(function, node))
                case ast.Call() | ast.keyword():
                    # handed on, to whom may fill it
                    state.fills.append(Access(function, node))
                case ast.Compare() | ast.If() | ast.IfExp() | ast.BoolOp():
                    if state.is_set_later and not _asks_for_none(parent):
                        state.reads.append(Access(function, node))
                case _ if state.is_set_later:
                    state.reads.append(Access(function, node))

    @staticmethod
    def _is_own(node: ast.expr) -> bool:
        return isinstance(node, ast.Attribute) and dotted(node.value) == 'self'

    def _state_of(
        self, function: Function, node: ast.Name | ast.Attribute
    ) -> State | None:
        if isinstance(node, ast.Name):
            return self._global(function, node.id)
        if state := self._of_module(function, node):
            return state
        found = self._attributes.get(node.attr)
        if not found:
            return None
        cls = self._backend.types.of(function, node.value)
        if cls is not None:
            bases = self._backend.types.with_bases(cls)
            return next((it for it in found if it.home in bases), None)
        if isinstance(node.value, ast.Name) and node.value.id == 'self':
            return None
        # unlike any other attribute there is
        others = sum(
            node.attr in it.values or node.attr in it.annotations
            for module in self._backend.modules.values()
            for it in module.classes.values()
        )
        return found[0] if others == 1 and node.attr.startswith('_') else None

    def _of_module(self, function: Function, node: ast.Attribute) -> State | None:
        """`symbols.contracts`, where the module itself is imported."""
        name = dotted(node)
        origin = function.origin(name) if name else ''
        if not origin.startswith('.'):
            return None
        home, _, last = origin[1:].rpartition('.')
        return self._globals.get((home, last))

    def _global(self, function: Function, name: str) -> State | None:
        at: Function | None = function
        declared = any(name in it.names for it in function.of(ast.Global))
        while at is not None and not declared:
            if name in at.parameters or name in at.locals or name in at.entered:
                return None
            at = at.outer
        origin = function.origin(name)
        if not origin.startswith('.'):
            return self._globals.get((function.module.name, name))
        home, _, last = origin[1:].rpartition('.')
        return self._globals.get((home, last))
