"""Endpoints: which there are, and whether piker finds them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from difflib import get_close_matches

from ..finding import Finding
from ..model import Backend, Function
from ..model.contract import ENDPOINTS, KINDS, LEGACY
from .base import PIKER, Rule


def expected(backend: Backend) -> Iterator[tuple[str, str]]:
    """The endpoints that it should have, each with its kind."""
    for kind, names in KINDS.items():
        if kind == 'brokerd' and not backend.trades:
            continue
        for name in names:
            yield kind, name


def defined(backend: Backend, name: str) -> Function | None:
    """A function of that name in any of its modules."""
    for module in backend.modules.values():
        if name in module.body.inner:
            return module.body.inner[name]
    return None


def misspelt(backend: Backend, name: str) -> str | None:
    """What the package has that looks like `name`."""
    public = [
        it
        for module in backend.modules.values()
        for it in module.body.inner
        if it not in ENDPOINTS and it != LEGACY and not it.startswith('_')
    ]
    close = get_close_matches(name, public, n=1, cutoff=0.85)
    return close[0] if close else None


class Missing(Rule):
    """An endpoint that piker asks for is missing.

    piker only logs a warning as it loads the backend; the first who needs the endpoint
    gets an AttributeError, or nothing at all.
    """

    id = 'PK101'
    help = 'define it, and import it in the package'
    source = f'{PIKER}: the endpoint table'

    def check(self, backend: Backend) -> Iterator[Finding]:
        if None in backend.starred:
            return  # who knows what comes with it
        for kind, name in expected(backend):
            if (
                backend.binds(name)
                or defined(backend, name)
                or misspelt(backend, name)
                or (name == 'open_trade_dialog' and backend.binds(LEGACY))
            ):
                continue
            package = backend.package
            yield self.at(
                package, package.tree, f'no {name}(), which piker asks {kind} for'
            )


class Misspelt(Rule):
    """An endpoint is missing, and something is called almost as it is.

    piker looks endpoints up by name and only logs that one is missing.
    """

    id = 'PK102'
    help = 'rename it'
    source = f'{PIKER}: the endpoint table'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for _, name in expected(backend):
            if backend.binds(name) or defined(backend, name):
                continue
            other = misspelt(backend, name)
            function = defined(backend, other) if other else None
            if function and function.node:
                yield self.at(
                    function.module, function.node, f'{other}() should be {name}()'
                )


class Legacy(Rule):
    """The order dialog has its old name.

    Newer piker looks for `open_trade_dialog`; the old name is still found, for now.
    """

    id = 'PK103'
    level = 'warning'
    help = 'rename it to open_trade_dialog'
    source = f'{PIKER}: the endpoint table'

    def check(self, backend: Backend) -> Iterator[Finding]:
        if not backend.binds(LEGACY) or backend.binds('open_trade_dialog'):
            return
        function = backend.endpoint(LEGACY)
        if function and function.node:
            yield self.at(
                function.module, function.node, f'{LEGACY}() is open_trade_dialog() now'
            )


class NotInPackage(Rule):
    """An endpoint cannot be found in the package.

    piker does `getattr()` on the package alone: what only a submodule has is missing,
    and a package that imports what is not there does not load at all.
    """

    id = 'PK104'
    help = 'import it in the `__init__.py` of the package, from where it is'
    source = f'{PIKER}: the endpoint table'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for name in (*ENDPOINTS, LEGACY):
            if backend.binds(name) or (
                name == LEGACY and backend.binds('open_trade_dialog')
            ):
                continue
            function = defined(backend, name)
            if function and function.node and function.module is not backend.package:
                yield self.at(
                    function.module,
                    function.node,
                    f'{name}() is not imported in the package',
                )
        for module in backend.modules.values():
            for node in module.body.of(ast.ImportFrom):
                yield from self._broken(backend, module.body, node)

    def _broken(
        self, backend: Backend, scope: Function, node: ast.ImportFrom
    ) -> Iterator[Finding]:
        module = scope.module
        if any(isinstance(it, ast.Try | ast.If) for it in module.above(node)):
            return
        base = module.absolute(node)
        if not base.startswith('.') or base.startswith('..'):
            return
        home = backend.modules.get(base[1:])
        if home is None:
            if '.' in base[1:] or not node.module:
                return
            yield self.at(
                module,
                node,
                f'there is no module {base}',
                'name a module that there is, or add it',
            )
            return
        if home.is_open:
            return
        prefix = f'{home.name}.' if home.name else ''
        for alias in node.names:
            if (
                alias.name != '*'
                and alias.name not in home.names
                and f'{prefix}{alias.name}' not in backend.modules
                and not any(
                    isinstance(it, ast.Global) and alias.name in it.names
                    for function in home.functions
                    for it in function.of(ast.Global)
                )
                and not _bound_anyhow(home.body, alias.name)
            ):
                yield self.at(module, node, f'{base} has no {alias.name}')


def _bound_anyhow(body: Function, name: str) -> bool:
    """By a loop, a `with` or an `except` of the module."""
    return any(
        it.id == name and isinstance(it.ctx, ast.Store) for it in body.of(ast.Name)
    )


class OwnName(Rule):
    """The backend defines `name`.

    The host sets the attribute as it loads a backend, and overwrites what is there.
    """

    id = 'PK105'
    help = 'call it otherwise'
    source = f'{PIKER}: module attributes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        package = backend.package
        if 'name' not in package.names:
            return
        for node, target, _ in package.body.assignments:
            if isinstance(package.parents[node], ast.Module) and (
                isinstance(target, ast.Name) and target.id == 'name'
            ):
                yield self.at(package, node, 'the host sets `name`')


class BackendName(Rule):
    """A backend has a name that piker cannot use.

    It is a part of every fqme, which are lowercase, and of the names of actors; piker
    imports it by that name.
    """

    id = 'PK106'
    help = 'rename it: lowercase letters, digits and underscores'
    source = f'{PIKER}: module attributes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        name = backend.name
        if name != name.lower() or not name.isidentifier():
            package = backend.package
            yield self.at(package, package.tree, f'it is called {name!r}')


RULES: list[Rule] = [
    Missing(),
    Misspelt(),
    Legacy(),
    NotInPackage(),
    OwnName(),
    BackendName(),
]
