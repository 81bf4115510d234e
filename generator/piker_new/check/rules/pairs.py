"""Pairs, as piker's symbology cache keeps them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend, Class
from .base import PIKER, Rule


def fields(cls: Class) -> Iterator[tuple[ast.AnnAssign, str]]:
    """The fields of a struct, with their names."""
    for statement in cls.node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(
            statement.target, ast.Name
        ):
            yield statement, statement.target.id


def pairs(backend: Backend) -> Iterator[Class]:
    """The classes that say where they are to be found again."""
    for module in backend.modules.values():
        for cls in module.classes.values():
            if any(name == 'ns_path' for _, name in fields(cls)):
                yield cls


class WrongPath(Rule):
    """A pair says that it is where it is not.

    piker writes `ns_path` into its cache, and loads the class from there when it reads
    the cache again.
    """

    id = 'PK741'
    help = "write ns_path: str = 'piker.brokers.<name>:<class>', and import it there"
    source = f'{PIKER}: client'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for cls in pairs(backend):
            for field, name in fields(cls):
                match field.value:
                    case ast.Constant(value=str() as path) if name == 'ns_path':
                        if what := self._wrong(backend, cls, path):
                            yield self.at(cls.module, field, what)

    @staticmethod
    def _wrong(backend: Backend, cls: Class, path: str) -> str | None:
        module, colon, name = path.partition(':')
        if not colon:
            return f'{path!r} names no class'
        home = backend.module_of(module)
        if home is None:
            if module.startswith('piker.brokers.') and (
                module.split('.')[2] != backend.name.removeprefix('piker_')
            ):
                return f'{path!r} is of another backend'
            return None
        if name not in home.names and not home.is_open:
            return f'{module} has no {name}'
        if name != cls.name and name in home.classes:
            return f'{path!r} is another class than {cls.name}'
        return None


class NoneInPair(Rule):
    """A pair may have a field that is None.

    piker writes pairs as TOML, which has no null: the cache cannot be written.
    """

    id = 'PK742'
    help = "give it another default: '' or 0"
    source = f'{PIKER}: client'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for cls in pairs(backend):
            for field, name in fields(cls):
                if isinstance(field.value, ast.Constant) and field.value.value is None:
                    yield self.at(cls.module, field, f'{cls.name}.{name} is None')


RULES: list[Rule] = [WrongPath(), NoneInPair()]
