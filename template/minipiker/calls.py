"""
Which of the backend's calls and channels were exercised, and what their replies are.

What there is to call is read from the author's files: where `request`, `request_once`
or `call` is given the name of a method, and the type of its result. What was answered
comes from the processes of the tree, each of which adds lines to a file; see
`_calls.py` of the backend.
"""

from __future__ import annotations

import ast
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import chain, pairwise, product
from pathlib import Path
from typing import Any, NamedTuple, get_args

from .brokers import __brokers__, get_brokermod

(_broker,) = __brokers__

_askers = {'request', 'request_once', 'call'}


class Call(NamedTuple):
    """
    A place where the venue is asked for something.
    """

    where: str
    """Module and function."""
    method: str
    """The venue's name of it, with `*` for what is said only at run time."""

    def fits(self, where: str, method: str) -> bool:
        parts = map(re.escape, self.method.split('*'))
        return self.where == where and bool(re.fullmatch('.*'.join(parts), method))


class _Asked(NamedTuple):
    """
    How a call is written.
    """

    where: str
    method: ast.expr
    result: ast.expr | None
    scope: dict[str, ast.expr]
    """The annotations of the function's arguments, by their names."""


def find_calls() -> list[Call]:
    """
    All that the author's files ask of the venue; the most specific names first.
    """
    found = {Call(it.where, _spell(it.method)) for it in _read_all()}
    return sorted(found, key=lambda it: (-len(it.method.replace('*', '')), it))


@cache
def find_replies() -> dict[str, Any]:
    """
    The type of its result for each method that is asked for. A name that is made of
    parts is read as well, where each of them is a constant, a choice between two of
    them, or an argument that is annotated as a `Literal`.
    """
    replies: dict[str, Any] = {}
    for it in _read_all():
        module = f'{get_brokermod(_broker).__name__}.{it.where.partition(".")[0]}'
        names = vars(import_module(module))
        for method in _expand(it.method, it.scope, names):
            if it.result:
                replies[method] = _evaluate(it.result, names)
    return replies


def _read_all() -> Iterator[_Asked]:
    (folder,) = map(Path, get_brokermod(_broker).__path__)
    for path in sorted(folder.glob('[a-z]*.py')):
        yield from _read(path.stem, ast.parse(path.read_text()), {})


def _read(where: str, node: ast.AST, scope: dict[str, ast.expr]) -> Iterator[_Asked]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.AsyncFunctionDef | ast.FunctionDef):
            module = where.partition('.')[0]
            args = [*child.args.args, *child.args.kwonlyargs]
            inner = scope | {it.arg: it.annotation for it in args if it.annotation}
            yield from _read(f'{module}.{child.name}', child, inner)
            continue
        if isinstance(child, ast.Call):
            given = [child.func, *child.args]
            for at, (asker, method) in enumerate(pairwise(given)):
                if isinstance(asker, ast.Attribute) and asker.attr in _askers:
                    result = given[at + 2] if at + 2 < len(given) else None
                    yield _Asked(where, method, result, scope)
        yield from _read(where, child, scope)


def _spell(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(name)):
            return name
        case ast.JoinedStr(values=values):
            return ''.join(map(_spell, values))
    return '*'


def _expand(
    node: ast.expr, scope: dict[str, ast.expr], names: dict[str, Any]
) -> list[str]:
    """
    All that an expression may be; nothing where that is known only at run time.
    """
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return [*_expand(one, scope, names), *_expand(other, scope, names)]
        case ast.JoinedStr(values=values):
            parts = [_expand(it, scope, names) for it in values]
            return [''.join(it) for it in product(*parts)]
        case ast.FormattedValue(value=value):
            return _expand(value, scope, names)
        case ast.Name(id=name) if name in scope:
            choices = get_args(_evaluate(scope[name], names))
            return [it for it in choices if isinstance(it, str)]
    return []


def _evaluate(node: ast.expr, names: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), '', 'eval'), names)


def find_channels() -> set[str]:
    """
    The kinds of channels that the backend reads.
    """
    messages = import_module(f'{get_brokermod(_broker).__name__}.messages')
    return set(messages.message_types)


class Calls:
    """
    What is answered from now on, by this process and by all that it starts.
    """

    def __init__(self, path: Path) -> None:
        """
        The file is made, for as long as nobody reads it.
        """
        path.touch()
        self._path = path
        self._counts: Counter[str] | None = None
        os.environ[f'CALLS_OF_{_broker.upper()}'] = str(path)

    def read(self) -> dict[str, int]:
        """
        How often each of `find_calls()` and `find_channels()` was exercised.
        """
        if self._counts is None:
            self._counts = Counter(self._path.read_text().splitlines())
            self._path.unlink()
        calls = find_calls()
        channels = find_channels()
        names = map(name_of, calls), (f'channel {it}' for it in channels)
        counts = dict.fromkeys(chain(*names), 0)
        for line, times in self._counts.items():
            match line.split(' '):
                case ['call', *words, where]:  # as `GET time`
                    method = ' '.join(words)
                    found = (it for it in calls if it.fits(where, method))
                    if call := next(found, None):
                        counts[name_of(call)] += times
                case ['channel', name]:
                    for kind in channels:
                        if f'{name}.'.startswith(f'{kind}.'):
                            counts[f'channel {kind}'] += times
        return counts

    def table(self) -> list[str]:
        counts = self.read()
        lines = [f'{times or "never":>8}  {it}' for it, times in counts.items()]
        done = sum(map(bool, counts.values()))
        return [*lines, f'{done} of {len(counts)} exercised']


def name_of(call: Call) -> str:
    return f'{call.where}: {call.method}'
