"""What the members of a class say of themselves: by `inspect`, and by their source."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

_awaitables = ('Awaitable', 'Coroutine', 'Future', 'Task')


def members_of(cls: type) -> Iterator[tuple[str, Any]]:
    """The public members, the class's own first, in the order of the source."""
    seen = {*dir(object)}
    for base in cls.__mro__:
        for name in vars(base):
            if name not in seen and not name.startswith('_'):
                seen.add(name)
                yield name, getattr(cls, name, None)


def events_of(cls: type) -> Iterator[str]:
    """The attributes that hold events to connect to, as eventkit has them.

    Instances have them, so that the source must tell: `self.name = Event(...)`.
    """
    for base in cls.__mro__:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue  # not written in Python
        known = vars(sys.modules[base.__module__])
        for node in ast.walk(tree):
            match node:
                case (
                    ast.Assign(
                        targets=[ast.Attribute(value=ast.Name(id='self'), attr=name)],
                        value=ast.Call(func=maker),
                    )
                    | ast.AnnAssign(
                        target=ast.Attribute(value=ast.Name(id='self'), attr=name),
                        value=ast.Call(func=maker),
                    )
                ) if not name.startswith('_') and is_event(_lookup(maker, known)):
                    yield name


def _lookup(expression: ast.expr, known: Mapping[str, object]) -> object:
    """What a dotted name stands for, or None."""
    match expression:
        case ast.Name(id=name):
            return known.get(name)
        case ast.Attribute(value=value, attr=name):
            return getattr(_lookup(value, known), name, None)
    return None


@cache
def names_for_checkers(module: str) -> dict[str, Any]:
    """What a module imports under `if TYPE_CHECKING`, as far as it can be."""
    names: dict[str, Any] = {}
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return names
    guarded = [
        node
        for branch in tree.body
        if isinstance(branch, ast.If)
        and ast.unparse(branch.test) in ('TYPE_CHECKING', 'typing.TYPE_CHECKING')
        for node in branch.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    for node in guarded:
        with suppress(Exception):
            exec(
                ast.unparse(node),
                {'__package__': sys.modules[module].__package__},
                names,
            )
    return names


def is_event(kind: object) -> bool:
    return inspect.isclass(kind) and all(
        callable(getattr(kind, name, None)) for name in ('connect', 'emit')
    )


def signature_of(member: Any) -> inspect.Signature:
    try:
        return inspect.signature(member)
    except (TypeError, ValueError):  # not written in Python
        return inspect.signature(lambda self, *args, **kwargs: None)


def parameters_of(method: Any) -> list[inspect.Parameter]:
    """The parameters of a method, without `self`."""
    return [*signature_of(method).parameters.values()][1:]


def is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def alternatives(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def is_awaitable(kind: Any) -> bool:
    kind = typing.get_origin(kind) or kind
    return inspect.isclass(kind) and kind.__name__ in _awaitables


def returned_calls(function: Any) -> list[str | None]:
    """The methods of `self` whose results a function returns, one a `return`.

    None for a `return` of anything else.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return []  # not written in Python
    match tree.body[0]:
        case ast.FunctionDef(args=ast.arguments(args=[ast.arg(arg=me), *_])) as node:
            return [_called(each.value, me) for each in _returns(node)]
    return []


def _returns(function: ast.FunctionDef) -> Iterator[ast.Return]:
    """Its own, without those of functions within it."""
    waiting: list[ast.AST] = [*function.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return):
            yield node
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def _called(expression: ast.expr | None, me: str) -> str | None:
    match expression:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
            return method if name == me else None
    return None
