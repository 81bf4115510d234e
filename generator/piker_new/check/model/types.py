"""Of which of the backend's classes a value is, as far as the source says it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from .module import Module
from .scope import Class, Function, dotted, last

if TYPE_CHECKING:
    from .backend import Backend

_CLIENTS = {'open_cached_client', 'get_client'}
_DEPTH = 12


class Types:
    """Answers None where it is not sure."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: dict[tuple[Function, int], Class | None] = {}

    def of(self, function: Function, value: ast.expr, depth: int = 0) -> Class | None:
        """The class of a value in `function`."""
        if depth > _DEPTH:
            return None
        key = function, id(value)
        if key not in self._known:
            self._known[key] = None  # for what is defined by itself
            self._known[key] = self._of(function, value, depth + 1)
        return self._known[key]

    def _of(self, function: Function, value: ast.expr, depth: int) -> Class | None:
        match value:
            case ast.Await(value=inner):
                return self.of(function, inner, depth)
            case ast.Name(id=name):
                return self._name(function, name, depth)
            case ast.Attribute(value=inner, attr=attr):
                cls = self.of(function, inner, depth)
                return self.attribute(cls, attr, depth) if cls else None
            case ast.Subscript(value=inner):
                return self._item(function, inner)
            case ast.Call(func=ast.Attribute(value=inner, attr='get' | 'pop')):
                return self._item(function, inner)
            case ast.Call():
                return self._call(function, value, depth)
        return None

    def attribute(self, cls: Class, attr: str, depth: int = 0) -> Class | None:
        for it in self.with_bases(cls):
            if attr in it.annotations:
                return self.named(it.module, it.annotations[attr])
            if attr in it.values:
                method, value = it.values[attr]
                return self.of(method or it.module.body, value, depth)
        return None

    def with_bases(self, cls: Class) -> list[Class]:
        found = [cls]
        for it in found:
            for base in it.node.bases:
                parent = self._backend.find(it.module.origin(dotted(base)))
                if isinstance(parent, Class) and parent not in found:
                    found.append(parent)
        return found

    def method(self, cls: Class, name: str) -> Function | None:
        for it in self.with_bases(cls):
            if name in it.methods:
                return it.methods[name]
        return None

    def named(self, module: Module, annotation: ast.expr | None) -> Class | None:
        """The first class of the backend's that an annotation names."""
        if annotation is None:
            return None
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            try:
                annotation = ast.parse(annotation.value, mode='eval').body
            except SyntaxError:
                return None
        for node in ast.walk(annotation):
            if isinstance(node, ast.Name | ast.Attribute):
                found = self._backend.find(module.origin(dotted(node)))
                if isinstance(found, Class):
                    return found
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                inner = self.named(module, node)
                if inner:
                    return inner
        return None

    def _name(self, function: Function, name: str, depth: int) -> Class | None:
        scope: Function | None = function
        while scope is not None:
            if name == 'self' and scope.owner:
                return scope.owner
            if name == 'cls' and scope.owner:
                return scope.owner
            for arg in scope.arguments:
                if arg.arg == name:
                    return self.named(scope.module, arg.annotation)
            for node in scope.of(ast.AnnAssign):
                if (
                    isinstance(node.target, ast.Name)
                    and node.target.id == name
                    and (found := self.named(scope.module, node.annotation))
                ):
                    return found
            if name in scope.locals:
                for value in scope.locals[name]:
                    if found := self.of(scope, value, depth):
                        return found
                return None
            if name in scope.entered:
                return self.of(scope, scope.entered[name], depth)
            scope = scope.outer
        module = function.module
        if name in module.annotations:
            return self.named(module, module.annotations[name])
        if name in module.values:
            return self.of(module.body, module.values[name], depth)
        return None

    def _item(self, function: Function, container: ast.expr) -> Class | None:
        """What a container that is annotated as `dict[..., Client]` holds."""
        annotation: ast.expr | None = None
        module = function.module
        if isinstance(container, ast.Name):
            scope: Function | None = function
            while scope is not None and annotation is None:
                for arg in scope.arguments:
                    if arg.arg == container.id:
                        annotation = arg.annotation
                for node in scope.of(ast.AnnAssign):
                    if (
                        isinstance(node.target, ast.Name)
                        and node.target.id == container.id
                    ):
                        annotation = node.annotation
                scope = scope.outer
            if annotation is None:
                annotation = self._global(module, container.id)
        elif isinstance(container, ast.Attribute):
            cls = self.of(function, container.value)
            for it in self.with_bases(cls) if cls else []:
                if container.attr in it.annotations:
                    annotation, module = it.annotations[container.attr], it.module
                    break
        match annotation:
            case ast.Subscript(slice=ast.Tuple(elts=[*_, held])):
                return self.named(module, held)
            case ast.Subscript(slice=held):
                return self.named(module, held)
        return None

    def _global(self, module: Module, name: str) -> ast.expr | None:
        if name in module.annotations:
            return module.annotations[name]
        home = self._backend.module_of(module.origin(name).rpartition('.')[0])
        home = home or self._backend.module_of('.')
        return home.annotations.get(name) if home else None

    def _call(self, function: Function, call: ast.Call, depth: int) -> Class | None:
        name = dotted(call.func)
        origin = function.origin(name) if name else ''
        if last(origin) == 'cast' and len(call.args) == 2:
            return self.of(function, call.args[1], depth)
        if last(origin) in _CLIENTS:
            maker = self._backend.endpoint('get_client')
            return self.returned(maker) if maker else None
        if last(origin) in ('aclosing', 'nullcontext', 'enter_async_context'):
            return self.of(function, call.args[0], depth) if call.args else None
        called = self.called(function, call, depth)
        if isinstance(called, Class):
            return called
        return self.returned(called) if called else None

    def returned(self, function: Function) -> Class | None:
        """What it returns or, as a context manager, yields."""
        if function.node is None:
            return None
        if found := self.named(function.module, function.node.returns):
            return found
        given: list[ast.Yield | ast.Return] = [*function.of(ast.Yield)]
        for node in (*given, *function.of(ast.Return)):
            if node.value is not None and (found := self.of(function, node.value, 4)):
                return found
        return None

    def called(
        self, function: Function, call: ast.Call, depth: int = 0
    ) -> Function | Class | None:
        """What a call is sure to call."""
        return self.meant(function, call.func, depth)

    def meant(
        self, function: Function, value: ast.expr, depth: int = 0
    ) -> Function | Class | None:
        """The function or class that a name or an attribute is."""
        name = dotted(value)
        if isinstance(value, ast.Name):
            scope: Function | None = function
            while scope is not None and scope.node:
                if name in scope.inner:
                    return scope.inner[name]
                if name in scope.locals:
                    first = scope.locals[name][0]
                    if isinstance(first, ast.Name | ast.Attribute) and depth < _DEPTH:
                        return self.meant(scope, first, depth + 1)
                    if isinstance(first, ast.Call) and last(dotted(first.func)) == (
                        'partial'
                    ):
                        return (
                            self.meant(scope, first.args[0], depth + 1)
                            if first.args and depth < _DEPTH
                            else None
                        )
                    return None
                if name in scope.parameters:
                    return None
                scope = scope.outer
            return self._backend.find(function.origin(name))
        if isinstance(value, ast.Attribute):
            if name and (found := self._backend.find(function.origin(name))):
                return found
            cls = self.of(function, value.value, depth)
            return self.method(cls, value.attr) if cls else None
        return None
