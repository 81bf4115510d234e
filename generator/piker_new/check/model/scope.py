"""Functions and classes: their nodes by kind, and what their names mean."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from .module import Module


FunctionDef = ast.FunctionDef | ast.AsyncFunctionDef
N = TypeVar('N', bound=ast.AST)


def dotted(node: ast.AST | None) -> str:
    """`a.b.c` for that expression, '' for what is no such chain of names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ''
    return '.'.join([node.id, *reversed(parts)])


def last(name: str) -> str:
    """The last part of a dotted name."""
    return name.rpartition('.')[2]


@dataclass(eq=False)
class Class:
    """A class, and its methods by name."""

    module: Module
    node: ast.ClassDef
    methods: dict[str, Function] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.node.name

    @cached_property
    def annotations(self) -> dict[str, ast.expr]:
        """Those of its attributes, be it in the class or in its methods."""
        found: dict[str, ast.expr] = {}
        for statement in self.node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    found[name] = annotation
        for method in self.methods.values():
            for node in method.of(ast.AnnAssign):
                match node:
                    case ast.AnnAssign(
                        target=ast.Attribute(value=ast.Name(id='self'), attr=name),
                        annotation=annotation,
                    ):
                        found.setdefault(name, annotation)
            if 'property' in method.decorator_names:
                assert method.node
                if method.node.returns:
                    found.setdefault(method.name, method.node.returns)
        return found

    @cached_property
    def values(self) -> dict[str, tuple[Function | None, ast.expr]]:
        """What is first assigned to its attributes, and in which method."""
        found: dict[str, tuple[Function | None, ast.expr]] = {}
        for statement in self.node.body:
            match statement:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    found[name] = None, value
        for method in self.methods.values():
            for node in (*method.of(ast.Assign), *method.of(ast.AnnAssign)):
                match node:
                    case (
                        ast.Assign(
                            targets=[
                                ast.Attribute(value=ast.Name(id='self'), attr=name)
                            ],
                            value=value,
                        )
                        | ast.AnnAssign(
                            target=ast.Attribute(value=ast.Name(id='self'), attr=name),
                            value=ast.expr() as value,
                        )
                    ):
                        found.setdefault(name, (method, value))
        return found


@dataclass(eq=False)
class Function:
    """A function, or with `node` None what a module does as it is imported."""

    module: Module
    node: FunctionDef | None
    owner: Class | None
    """The class that it is a method of."""
    outer: Function | None
    """The function that it is defined in."""
    nodes: dict[type[ast.AST], list[ast.AST]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Its own by kind, without those of the functions that it defines."""
    inner: dict[str, Function] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.node.name if self.node else '<import>'

    @property
    def qualname(self) -> str:
        if self.owner:
            return f'{self.owner.name}.{self.name}'
        return f'{self.outer.qualname}.{self.name}' if self.outer else self.name

    @property
    def is_async(self) -> bool:
        return isinstance(self.node, ast.AsyncFunctionDef)

    def of(self, kind: type[N]) -> list[N]:
        return cast(list[N], self.nodes.get(kind, []))

    def all_of(self, kind: type[N]) -> Iterator[N]:
        """Also those of the functions that it defines."""
        yield from self.of(kind)
        for function in self.inner.values():
            yield from function.all_of(kind)

    @cached_property
    def arguments(self) -> list[ast.arg]:
        """All parameters, but for `*args` and `**kwargs`."""
        if self.node is None:
            return []
        args = self.node.args
        return [*args.posonlyargs, *args.args, *args.kwonlyargs]

    @cached_property
    def required(self) -> list[str]:
        """The parameters without a default, but for a method's own."""
        if self.node is None:
            return []
        args = self.node.args
        positional = [*args.posonlyargs, *args.args]
        names = [it.arg for it in positional[: len(positional) - len(args.defaults)]]
        names += [
            it.arg
            for it, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
            if default is None
        ]
        return names[1:] if self.owner else names

    @cached_property
    def parameters(self) -> set[str]:
        return {it.arg for it in self.arguments}

    @cached_property
    def decorator_names(self) -> list[str]:
        """Dotted, as they are written."""
        if self.node is None:
            return []
        return [
            dotted(it.func if isinstance(it, ast.Call) else it)
            for it in self.node.decorator_list
        ]

    def is_decorated(self, *names: str) -> bool:
        """Whether one of the decorators is one of these, by whatever name."""
        return any(
            last(name) in names or last(self.module.origin(name)) in names
            for name in self.decorator_names
        )

    @property
    def is_endpoint(self) -> bool:
        """Whether other actors may call it as a context."""
        return self.is_decorated('context')

    @cached_property
    def imports(self) -> dict[str, str]:
        """What is imported in here, as `Module.imports`."""
        return self.module.read_imports(
            [*self.of(ast.Import), *self.of(ast.ImportFrom)]
        )

    def origin(self, name: str) -> str:
        """Where the dotted `name` comes from, as `Module.origin`."""
        head, _, rest = name.partition('.')
        function: Function | None = self
        while function and function.node:
            if head in function.imports:
                found = function.imports[head]
                return f'{found}.{rest}' if rest else found
            function = function.outer
        return self.module.origin(name)

    @cached_property
    def assignments(self) -> list[tuple[ast.stmt, ast.expr, ast.expr | None]]:
        """The statements that assign, with each target and the value."""
        found: list[tuple[ast.stmt, ast.expr, ast.expr | None]] = [
            (node, target, node.value)
            for node in self.of(ast.Assign)
            for target in node.targets
        ]
        found += [(it, it.target, it.value) for it in self.of(ast.AnnAssign)]
        return found

    @cached_property
    def withs(self) -> list[ast.With | ast.AsyncWith]:
        return [*self.of(ast.AsyncWith), *self.of(ast.With)]

    @cached_property
    def locals(self) -> dict[str, list[ast.expr]]:
        """What is assigned to each of its names."""
        found: dict[str, list[ast.expr]] = defaultdict(list)
        for _, target, value in self.assignments:
            if isinstance(target, ast.Name) and value:
                found[target.id].append(value)
        for named in self.of(ast.NamedExpr):
            found[named.target.id].append(named.value)
        return found

    @cached_property
    def bindings(self) -> Counter[str]:
        """How often each of its names is bound, in whatever way."""
        found = Counter(
            it.id for it in self.of(ast.Name) if isinstance(it.ctx, ast.Store)
        )
        found.update(it.name for it in self.of(ast.MatchAs) if it.name)
        found.update(it.name for it in self.of(ast.MatchStar) if it.name)
        found.update(it.rest for it in self.of(ast.MatchMapping) if it.rest)
        found.update(it.name for it in self.of(ast.ExceptHandler) if it.name)
        found.update(self.parameters)
        return found

    @cached_property
    def entered(self) -> dict[str, ast.expr]:
        """What the names are that a `with` of its binds."""
        return {
            item.optional_vars.id: item.context_expr
            for node in self.withs
            for item in node.items
            if isinstance(item.optional_vars, ast.Name)
        }

    def __repr__(self) -> str:
        return f'<{self.module.name}:{self.qualname}>'
