"""How a type is spelt in another module than its own, and what that module imports."""

from __future__ import annotations

import collections.abc
import inspect
import itertools
import re
import sys
import types
import typing
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

WIDTH = 88

# How many parameters a generic takes that is named without any.
_arities: dict[object, int] = {
    collections.abc.AsyncGenerator: 2,
    collections.abc.Coroutine: 3,
    collections.abc.Generator: 3,
    collections.abc.ItemsView: 2,
    collections.abc.Mapping: 2,
    collections.abc.MutableMapping: 2,
    collections.ChainMap: 2,
    collections.OrderedDict: 2,
    collections.defaultdict: 2,
    dict: 2,
}


class Inexpressible(Exception):
    """A type that cannot be written down in another module; says why."""


@dataclass
class Names:
    """The names that a module imports for its annotations.

    Those in `taken` mean something else where the annotations stand.
    """

    taken: set[str]
    imports: dict[str, dict[str, str]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def use(self, module: str, name: str) -> str:
        """What `name` of `module` is called."""
        if module == 'builtins':
            return f'builtins.{name}' if name in self.taken else name
        known = self.imports[module]
        if name not in known:
            alias = name
            while alias in self.taken:
                alias += '_'
            self.taken.add(alias)
            known[name] = alias
        return known[name]

    def roots(self) -> set[str]:
        """The top-level packages imported from."""
        return {module.partition('.')[0] for module in self.imports}

    def write(self, *, stdlib: bool) -> str:
        """The imports from one of the two, in the order that ruff wants."""
        return '\n'.join(
            _write_import(module, names)
            for module, names in sorted(self.imports.items(), key=_by_module)
            if (module.partition('.')[0] in sys.stdlib_module_names) is stdlib
        )

    def spell(self, kind: Any) -> str:
        """A type, as source; raises `Inexpressible`."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is None or kind is type(None):
            return 'None'
        if kind is Any:
            return self.use('typing', 'Any')
        if kind is typing.NoReturn:
            return self.use('typing', 'NoReturn')
        if origin is typing.Annotated:
            return self.spell(arguments[0])
        if origin in (typing.Union, types.UnionType):
            spelt = sorted(map(self.spell, arguments), key='None'.__eq__)
            return ' | '.join(dict.fromkeys(spelt))
        if origin is typing.Literal:
            return self._spell_literal(arguments)
        if origin is collections.abc.Callable and arguments:
            *_, result = arguments
            takes = (
                f'[{", ".join(map(self.spell, arguments[0]))}]'
                if isinstance(arguments[0], list)
                else '...'
            )
            return f'{self._spell_class(origin)}[{takes}, {self.spell(result)}]'
        if origin is not None and arguments:
            within = ('...' if a is ... else self.spell(a) for a in arguments)
            return f'{self._spell_class(origin)}[{", ".join(within)}]'
        if origin is not None or inspect.isclass(kind):
            return self._spell_bare(origin or kind)
        if isinstance(kind, typing.NewType):
            return self._spell_class(kind)
        raise Inexpressible(f'{shown(kind)} has no meaning outside of the class')

    def _spell_literal(self, values: tuple[Any, ...]) -> str:
        if not all(isinstance(v, (str, int, bytes, type(None))) for v in values):
            raise Inexpressible('a Literal of an enum')
        return f'{self.use("typing", "Literal")}[{", ".join(map(repr, values))}]'

    def _spell_bare(self, kind: Any) -> str:
        """A class that may be a generic without its parameters."""
        spelt = self._spell_class(kind)
        if kind is collections.abc.Callable:
            return f'{spelt}[..., {self.spell(Any)}]'
        if kind is tuple:
            return f'{spelt}[{self.spell(Any)}, ...]'
        if count := len(getattr(kind, '__parameters__', ())):
            pass
        elif kind.__module__.partition('.')[0].lstrip('_') in sys.stdlib_module_names:
            is_generic = (
                kind is type
                or kind.__module__ == 'collections.abc'
                or '__class_getitem__' in vars(kind)
            )
            count = _arities.get(kind, int(is_generic))
        elif '__class_getitem__' in vars(kind):
            raise Inexpressible(f'{shown(kind)} does not say of what')
        if not count:
            return spelt
        return f'{spelt}[{", ".join([self.spell(Any)] * count)}]'

    def _spell_class(self, kind: Any) -> str:
        outer, *inner = getattr(kind, '__qualname__', kind.__name__).split('.')
        for module in _homes(kind.__module__, outer):
            found: Any = sys.modules.get(module)
            for part in (outer, *inner):
                found = getattr(found, part, None)
            if found is kind:
                return '.'.join([self.use(module, outer), *inner])
        raise Inexpressible(f'{shown(kind)} cannot be imported')


def _homes(module: str, name: str) -> Iterator[str]:
    """Where to import `name` from: where it is public, or else defined."""
    if module.partition('.')[0].lstrip('_') in sys.stdlib_module_names:
        module = module.lstrip('_')  # _asyncio, _decimal
    for package in itertools.accumulate(module.split('.'), '{}.{}'.format):
        if name in getattr(sys.modules.get(package), '__all__', ()):
            yield package
    yield module


def shown(kind: Any) -> str:
    return ' '.join(inspect.formatannotation(kind).split())


def spell_default(value: object) -> str:
    """A default as source, or `...` where it is not a plain constant."""
    if value is None or type(value) in (bool, int, float, str, bytes):
        spelt = repr(value)
        if spelt.isascii() and len(spelt) <= 30 and spelt not in ('inf', 'nan', '-inf'):
            return spelt
    return '...'


def _by_module(item: tuple[str, object]) -> tuple[list[tuple[int, int | str]], str]:
    module, _ = item
    return _natural(module), module


def _write_import(module: str, names: dict[str, str]) -> str:
    def order(name: str) -> tuple[int, list[tuple[int, int | str]], str]:
        is_constant = name.isupper() and len(name) > 1
        rank = 0 if is_constant else 1 if name[0].isupper() else 2
        return rank, _natural(name), name

    plain = sorted((name for name, alias in names.items() if name == alias), key=order)
    lines = [
        f'from {module} import {name} as {names[name]}'
        for name in sorted(names, key=order)
        if names[name] != name
    ]
    if plain:
        line = f'from {module} import {", ".join(plain)}'
        if len(line) + 4 > WIDTH:
            body = ''.join(f'    {name},\n' for name in plain)
            line = f'from {module} import (\n{body})'
        lines.insert(0, line)
    return '\n'.join(lines)


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Sorts as people do: numbers by their value, and without regard to case."""
    return [
        (0, int(part)) if part.isdigit() else (1, part)
        for part in re.findall(r'\d+|\D+', name.lower())
    ]
