"""A module: its functions and classes, and what its names mean."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from ..finding import Place
from .scope import Class, Function, FunctionDef

# What says nothing that is asked for, and is a fifth of all nodes.
_SKIPPED = (ast.expr_context, ast.operator, ast.cmpop, ast.boolop, ast.unaryop)


class Module:
    """One file of a backend; `name` is dotted and relative, '' that of the package."""

    def __init__(self, name: str, path: Path, shown: str, source: str) -> None:
        self.name = name
        self.path = path
        self.shown = shown
        """The path as the user would write it."""
        self.lines = source.split('\n')
        self.tree = ast.parse(source)
        self.is_package = path.name == '__init__.py'
        self.body = Function(self, None, None, None)
        self.functions: list[Function] = []
        self.classes: dict[str, Class] = {}
        self.parents: dict[ast.AST, ast.AST] = {}
        self.function_of: dict[ast.AST, Function] = {}
        """By its definition."""
        self._visit(self.tree, self.body, None)

    def _visit(self, node: ast.AST, function: Function, owner: Class | None) -> None:
        nodes = function.nodes
        parents = self.parents
        for name in node._fields:
            value = getattr(node, name, None)
            children = value if isinstance(value, list) else [value]
            for child in children:
                if not isinstance(child, ast.AST) or isinstance(child, _SKIPPED):
                    continue
                parents[child] = node
                nodes[type(child)].append(child)
                if isinstance(child, FunctionDef):
                    self._visit_function(child, function, owner)
                elif isinstance(child, ast.ClassDef):
                    cls = Class(self, child)
                    self.classes.setdefault(child.name, cls)
                    self._visit(child, function, cls)
                else:
                    inside = owner if isinstance(child, ast.If | ast.Try) else None
                    self._visit(child, function, inside)

    def _visit_function(
        self, node: FunctionDef, outer: Function, owner: Class | None
    ) -> None:
        function = Function(self, node, owner, outer if outer.node else None)
        self.functions.append(function)
        self.function_of[node] = function
        if owner:
            owner.methods.setdefault(node.name, function)
        else:
            outer.inner.setdefault(node.name, function)
        # decorators and defaults are of the scope around it
        for child in (
            *node.decorator_list,
            *node.args.defaults,
            *(it for it in node.args.kw_defaults if it),
        ):
            self.parents[child] = node
            outer.nodes[type(child)].append(child)
            self._visit(child, outer, None)
        for statement in node.body:
            self.parents[statement] = node
            function.nodes[type(statement)].append(statement)
            if isinstance(statement, FunctionDef):
                self._visit_function(statement, function, None)
            elif isinstance(statement, ast.ClassDef):
                cls = Class(self, statement)
                self.classes.setdefault(statement.name, cls)
                self._visit(statement, function, cls)
            else:
                self._visit(statement, function, None)

    @property
    def scopes(self) -> Iterator[Function]:
        """What it does as it is imported, and each of its functions."""
        yield self.body
        yield from self.functions

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """What `node` is in, from the inside out, up to the function."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            if isinstance(parent, FunctionDef | ast.Lambda):
                return
            node = parent

    def place(self, node: ast.AST) -> Place:
        """Where a node begins; its column counts characters, and not bytes as `ast`."""
        line = int(getattr(node, 'lineno', 1))
        offset = int(getattr(node, 'col_offset', 0))
        text = self.lines[line - 1] if line <= len(self.lines) else ''
        before = text.encode()[:offset].decode(errors='ignore')
        return Place(self.shown, line, len(before) + 1)

    # names

    def read_imports(self, nodes: list[ast.Import | ast.ImportFrom]) -> dict[str, str]:
        found: dict[str, str] = {}
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname:
                        found[alias.asname] = alias.name
                    else:
                        head = alias.name.partition('.')[0]
                        found[head] = head
                continue
            base = self.absolute(node)
            for alias in node.names:
                sep = '' if base.endswith('.') else '.'
                found[alias.asname or alias.name] = f'{base}{sep}{alias.name}'
        return found

    def absolute(self, node: ast.ImportFrom) -> str:
        """Where it imports from; what is in the backend begins with a single dot."""
        if not node.level:
            return node.module or ''
        package = self.name.split('.') if self.name else []
        if not self.is_package and package:
            package.pop()
        # what surrounds a single file is no part of the backend
        above = node.level - (1 if self.is_package or self.name else 0)
        if above > len(package):
            # beyond the backend
            return '.' * (1 + above - len(package)) + (node.module or '')
        kept = package[: len(package) - above]
        return '.' + '.'.join([*kept, *([node.module] if node.module else [])])

    @cached_property
    def imports(self) -> dict[str, str]:
        """What names are imported, and from where."""
        return self.read_imports(
            [*self.body.of(ast.Import), *self.body.of(ast.ImportFrom)]
        )

    def origin(self, name: str) -> str:
        """Where the dotted `name` comes from: `.api.Client`, `trio.open_nursery`."""
        head, _, rest = name.partition('.')
        found = self.imports.get(head)
        if found is None:
            if head in self.names:
                found = f'.{self.name}.{head}' if self.name else f'.{head}'
            else:
                return name
        return f'{found}.{rest}' if rest else found

    @cached_property
    def values(self) -> dict[str, ast.expr]:
        """What is assigned to its global names, the last of it."""
        return {
            name: values[-1]
            for name, values in self.body.locals.items()
            if name not in self._in_classes
        }

    @cached_property
    def _in_classes(self) -> set[str]:
        inside: set[str] = set()
        outside: set[str] = set()
        for node, target, _ in self.body.assignments:
            if isinstance(target, ast.Name):
                in_class = isinstance(self.parents[node], ast.ClassDef)
                (inside if in_class else outside).add(target.id)
        return inside - outside

    @cached_property
    def annotations(self) -> dict[str, ast.expr]:
        """Those of its global names."""
        return {
            node.target.id: node.annotation
            for node in self.body.of(ast.AnnAssign)
            if isinstance(node.target, ast.Name)
            and not isinstance(self.parents[node], ast.ClassDef)
        }

    @cached_property
    def names(self) -> set[str]:
        """All that it binds, without what functions bind."""
        bound = {*self.imports, *self.values, *self.body.inner, *self.annotations}
        bound |= {
            node.name
            for node in self.body.of(ast.ClassDef)
            if not isinstance(self.parents[node], ast.ClassDef)
        }
        targets = [it for _, it, _ in self.body.assignments]
        targets += [it.target for it in self.body.of(ast.For)]
        for target in targets:
            if isinstance(target, ast.Tuple | ast.List):
                bound |= {it.id for it in target.elts if isinstance(it, ast.Name)}
        return bound

    @cached_property
    def uses_asyncio(self) -> bool:
        """Whether it has to do with both loops."""
        return any('to_asyncio' in it for it in self.imports.values()) or any(
            it.attr == 'to_asyncio'
            for scope in self.scopes
            for it in scope.of(ast.Attribute)
        )

    @property
    def is_open(self) -> bool:
        """Whether it may have names that cannot be seen."""
        return '*' in self.imports or '__getattr__' in self.body.inner
