"""What is imported of piker, and where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from ..finding import Finding
from ..model import Backend, Function, Module
from .base import PIKER, Rule

# What newer piker no longer has, and what has taken its place.
GONE = {
    'asks': 'httpx',
    'piker.data._sharedmem': 'what the host does with frames is its own',
    'piker.accounting.Symbol': 'piker.accounting.MktPair',
    'piker.accounting._mktinfo.Symbol': 'piker.accounting.MktPair',
    'piker.data._source.Symbol': 'piker.accounting.MktPair',
    'piker.data.Symbol': 'piker.accounting.MktPair',
    'piker.service.Services': 'nothing: a backend starts no services',
    'piker._daemon': 'nothing: a backend starts no daemons',
    'piker.data.types.Struct': 'piker.types.Struct',
    'piker.pp': 'piker.accounting',
    'tractor._state': 'read at use, from where the tractor at hand has it',
}


def all_imports(
    backend: Backend,
) -> Iterator[tuple[Function, ast.Import | ast.ImportFrom, str]]:
    """Each name that is imported, absolute as far as it can be told."""
    above = backend.dotted.rpartition('.')[0].split('.')
    for scope in backend.scopes:
        for node in scope.of(ast.Import):
            for alias in node.names:
                yield scope, node, alias.name
        for source in scope.of(ast.ImportFrom):
            base = scope.module.absolute(source)
            if base.startswith('..'):
                up = len(base) - len(base.lstrip('.')) - 2
                kept = above[: len(above) - up]
                base = '.'.join(
                    [*kept, *([base.lstrip('.')] if base.strip('.') else [])]
                )
            sep = '' if base.endswith('.') else '.'
            for alias in source.names:
                yield scope, source, f'{base}{sep}{alias.name}'


class Gone(Rule):
    """It imports what newer piker does not have.

    One name that has moved keeps the whole backend from loading.
    """

    id = 'PK801'
    help = 'import what has taken its place'
    source = f'{PIKER}: piker of 2026'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope, node, name in all_imports(backend):
            for gone, instead in GONE.items():
                if name == gone or name.startswith(f'{gone}.'):
                    yield self.at(
                        scope.module, node, f'{gone} is gone', f'instead: {instead}'
                    )


class NotInThisPiker(Rule):
    """It imports a name that the piker around it does not have.

    The backend does not load.
    """

    id = 'PK802'
    help = 'import it from where it is now'
    source = f'{PIKER}: in a checkout'

    def check(self, backend: Backend) -> Iterator[Finding]:
        root = self._checkout(backend)
        if root is None:
            return
        known: dict[Path, Module | None] = {}
        for scope, node, name in all_imports(backend):
            if not name.startswith('piker.') or name.startswith(f'{backend.dotted}.'):
                continue
            if any(isinstance(it, ast.Try) for it in scope.module.above(node)):
                continue
            if isinstance(node, ast.Import):
                continue
            home, _, last = name.rpartition('.')
            if not _exists(root, home):
                yield self.at(scope.module, node, f'there is no {home}')
            elif not self._has(root, home, last, known):
                yield self.at(scope.module, node, f'{home} has no {last}')

    @staticmethod
    def _checkout(backend: Backend) -> Path | None:
        if not backend.dotted.startswith('piker.'):
            return None
        root = backend.root.resolve()
        for _ in backend.dotted.split('.'):
            root = root.parent
        return root

    @staticmethod
    def _has(
        root: Path, home: str, name: str, known: dict[Path, Module | None]
    ) -> bool:
        folder = root.joinpath(*home.split('.'))
        file = folder / '__init__.py' if folder.is_dir() else folder.with_suffix('.py')
        if name == '*':
            return True
        if folder.is_dir() and (
            (folder / name).is_dir() or (folder / f'{name}.py').exists()
        ):
            return True
        if any(folder.parent.glob(f'{folder.name}.*.so')) or (
            folder.is_dir() and not file.is_file()
        ):
            return True
        if file not in known:
            known[file] = None
            if file.is_file():
                try:
                    known[file] = Module('', file, str(file), file.read_text())
                except (OSError, SyntaxError, ValueError):
                    return True
        module = known[file]
        if module is None:
            return file.is_file()
        return (
            module.is_open
            or name in module.names
            or any(it.id == name for it in module.body.of(ast.Name))
        )


def _exists(root: Path, name: str) -> bool:
    """Whether there is a module of that name, or what may be one."""
    path = root.joinpath(*name.split('.'))
    return (
        path.is_dir()
        or path.with_suffix('.py').is_file()
        or any(path.parent.glob(f'{path.name}.*'))
    )


class PastTheSeam(Rule):
    """It imports the host past the seam.

    What a backend takes of piker comes through `_piker.py`, so that the same modules
    run on piker, without it and in its tree.
    """

    id = 'PK811'
    help = 'import it from ._piker, and add it there if need be'
    source = 'piker-new: one seam'

    def check(self, backend: Backend) -> Iterator[Finding]:
        if not backend.is_generated:
            return
        for scope, node, name in all_imports(backend):
            head = name.partition('.')[0]
            if head in ('piker', 'minipiker') and scope.module.name != '_piker':
                if name.startswith(f'{backend.dotted}.'):
                    continue  # said by another rule
                yield self.at(scope.module, node, f'{name} is imported past the seam')


class NotRelative(Rule):
    """A module of the backend is imported by its absolute name.

    The same files are `piker_<name>` in a project and `piker.brokers.<name>` in piker.
    """

    id = 'PK812'
    help = 'import it relatively'
    source = 'piker-new: relocatable'

    def check(self, backend: Backend) -> Iterator[Finding]:
        if not backend.is_generated:
            return
        for scope, node, name in all_imports(backend):
            if name == backend.dotted or name.startswith(f'{backend.dotted}.'):
                yield self.at(scope.module, node, f'{name} is imported absolutely')


RULES: list[Rule] = [Gone(), NotInThisPiker(), PastTheSeam(), NotRelative()]
