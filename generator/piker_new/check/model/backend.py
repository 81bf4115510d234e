"""A backend: its modules, and what a name in one of them stands for in another."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from . import contract
from .graph import CallGraph
from .module import Module
from .scope import Class, Function, dotted, last
from .types import Types


class Backend:
    """The package or the single module that piker loads."""

    def __init__(self, name: str, root: Path, modules: dict[str, Module]) -> None:
        self.name = name
        self.root = root
        """Its folder, or its only file."""
        self.modules = modules
        """By their relative dotted names; the package itself is ''."""
        self.package = modules['']
        self._callees: dict[ast.Call, str] = {}

    @cached_property
    def types(self) -> Types:
        return Types(self)

    @cached_property
    def graph(self) -> CallGraph:
        return CallGraph(self)

    @property
    def scopes(self) -> Iterator[Function]:
        for module in self.modules.values():
            yield from module.scopes

    @cached_property
    def functions(self) -> list[Function]:
        return [it for module in self.modules.values() for it in module.functions]

    @cached_property
    def classes(self) -> dict[str, list[Class]]:
        """By name, which two modules may give."""
        found: dict[str, list[Class]] = defaultdict(list)
        for module in self.modules.values():
            for cls in module.classes.values():
                found[cls.name].append(cls)
        return found

    @cached_property
    def methods(self) -> dict[str, list[Function]]:
        """Those of all its classes, by name."""
        found: dict[str, list[Function]] = defaultdict(list)
        for module in self.modules.values():
            for cls in module.classes.values():
                for name, method in cls.methods.items():
                    found[name].append(method)
        return found

    @cached_property
    def dotted(self) -> str:
        """Its name as Python imports it, as far as its folders say."""
        parts = [self.root.stem]
        folder = self.root.parent
        while (folder / '__init__.py').is_file():
            parts.insert(0, folder.name)
            folder = folder.parent
        return '.'.join(parts)

    @cached_property
    def is_generated(self) -> bool:
        """Whether it has a seam to piker, which its other modules go through."""
        return '_piker' in self.modules

    # names

    def find(self, origin: str) -> Function | Class | None:
        """What an origin is (`.api.Client`), if it is something of the backend's."""
        for _ in range(8):  # re-exports of re-exports
            found = self._split(origin)
            if found is None:
                return None
            module, name = found
            head, _, rest = name.partition('.')
            if head in module.body.inner and not rest:
                return module.body.inner[head]
            if head in module.classes:
                cls = module.classes[head]
                return cls.methods.get(rest) if rest else cls
            again = module.origin(name)
            if again in (origin, name):
                return None
            origin = again
        return None

    def _split(self, origin: str) -> tuple[Module, str] | None:
        if origin.startswith(f'{self.dotted}.'):
            origin = origin[len(self.dotted) :]
        if not origin.startswith('.') or origin.startswith('..'):
            return None
        parts = origin[1:].split('.')
        for length in range(len(parts) - 1, -1, -1):
            module = self.modules.get('.'.join(parts[:length]))
            if module is not None:
                return module, '.'.join(parts[length:])
        return None

    def module_of(self, origin: str) -> Module | None:
        """The module that an origin is, if it is one of the backend's."""
        if origin.startswith(f'{self.dotted}.'):
            origin = origin[len(self.dotted) :]
        if origin == self.dotted:
            return self.package
        return self.modules.get(origin[1:]) if origin.startswith('.') else None

    def endpoint(self, name: str) -> Function | None:
        """The function behind an endpoint that the package binds."""
        found = self.find(f'.{name}')
        if found is None and self.binds(name):
            found = next(
                (
                    module.body.inner[name]
                    for module in self.modules.values()
                    if name in module.body.inner
                ),
                None,
            )
        return found if isinstance(found, Function) else None

    @cached_property
    def lazy(self) -> set[str]:
        """The names that its `__getattr__` knows, and so binds when they are asked."""
        package = self.package
        if '__getattr__' not in package.body.inner:
            return set()
        known = {
            node.value
            for node in package.body.inner['__getattr__'].all_of(ast.Constant)
            if isinstance(node.value, str)
        }
        for value in package.values.values():
            if isinstance(value, ast.Dict):
                known |= {
                    key.value
                    for key in value.keys
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                }
        return known

    @cached_property
    def starred(self) -> list[Module | None]:
        """The modules whose names the package takes all; None for a foreign one."""
        return [
            self.module_of(self.package.absolute(node))
            for node in self.package.body.of(ast.ImportFrom)
            if any(alias.name == '*' for alias in node.names)
        ]

    def binds(self, name: str) -> bool:
        return (
            name in self.package.names
            or name in self.lazy
            or any(module and name in module.names for module in self.starred)
        )

    @cached_property
    def trades(self) -> bool:
        """Whether it means to: it has a dialog, or declares modules for one."""
        return (
            self.binds('open_trade_dialog')
            or self.binds(contract.LEGACY)
            or bool(self.mods(contract.LISTS['brokerd']))
        )

    @cached_property
    def contexts(self) -> dict[Function, str]:
        """What other actors may call, and the daemon that hosts it, '' for any."""
        return {
            function: contract.CONTEXTS.get(function.name, '')
            for function in self.functions
            if function.is_endpoint and function.outer is None and not function.owner
        }

    # module lists

    def mods(self, name: str) -> list[str] | None:
        """A list of submodules that the package declares, None where it has none."""
        value = self.package.values.get(name)
        return None if value is None else self._strings(value)

    def _strings(self, value: ast.expr | None, depth: int = 0) -> list[str] | None:
        if depth > 8:
            return None
        match value:
            case ast.List(elts=elts) | ast.Tuple(elts=elts) | ast.Set(elts=elts):
                found: list[str] = []
                for elt in elts:
                    if isinstance(elt, ast.Starred):
                        part = self._strings(elt.value, depth + 1)
                    else:
                        part = (
                            [elt.value]
                            if isinstance(elt, ast.Constant)
                            and isinstance(elt.value, str)
                            else None
                        )
                    if part is None:
                        return None
                    found += part
                return found
            case ast.BinOp(left=left, op=ast.Add() | ast.BitOr(), right=right):
                one = self._strings(left, depth + 1)
                two = self._strings(right, depth + 1)
                return None if one is None or two is None else one + two
            case ast.Name(id=name):
                return self._strings(self.package.values.get(name), depth + 1)
            case ast.Call(
                func=ast.Name(id='list' | 'tuple' | 'sorted' | 'set'), args=[inner]
            ):
                return self._strings(inner, depth + 1)
        return None

    def callee(self, function: Function, call: ast.Call) -> str:
        """The origin of what is called, '' where it is no name."""
        if call not in self._callees:
            name = dotted(call.func)
            self._callees[call] = function.origin(name) if name else ''
        return self._callees[call]

    def is_call_of(self, function: Function, node: ast.AST, *names: str) -> bool:
        """Whether `node` calls something whose last name is one of these."""
        return isinstance(node, ast.Call) and last(self.callee(function, node)) in names
