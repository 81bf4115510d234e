"""The modules that each kind of daemon lets other actors call into."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend
from ..model.contract import DATAD, FALLBACK, LISTS
from .base import CONC, PIKER, Rule


def declared(backend: Backend) -> dict[str, list[str]]:
    """The lists that it has and that can be read, by name."""
    found = {name: backend.mods(name) for name in (*LISTS.values(), FALLBACK)}
    return {name: mods for name, mods in found.items() if mods is not None}


def place_of(backend: Backend, name: str) -> ast.AST:
    """Where a list is declared."""
    for node, target, _ in backend.package.body.assignments:
        if isinstance(target, ast.Name) and target.id == name:
            return node
    return backend.package.tree


def is_unreadable(backend: Backend) -> bool:
    """Whether a list is made up in a way that cannot be followed."""
    return any(
        name in backend.package.names and backend.mods(name) is None
        for name in (*LISTS.values(), FALLBACK)
    )


def contexts_in(backend: Backend, module: str) -> set[str]:
    """The kinds of daemon whose contexts a module defines, '' for others."""
    return {
        kind
        for function, kind in backend.contexts.items()
        if function.module.name == module
    }


class Undeclared(Rule):
    """A backend does not say which of its modules are to be enabled.

    Only the package itself is then, and a context that a submodule defines is refused
    with ModuleNotExposed.
    """

    id = 'PK201'
    help = 'declare `_datad_mods` and `_brokerd_mods`, and their union'
    source = f'{CONC}: actor tree'

    def check(self, backend: Backend) -> Iterator[Finding]:
        if declared(backend) or is_unreadable(backend):
            return
        for function in backend.contexts:
            if function.module.name:
                package = backend.package
                yield self.at(
                    package,
                    package.tree,
                    f'{function.name}() is in a module that no list enables',
                )
                return


class NotSplit(Rule):
    """A backend does not say which daemon enables which of its modules.

    Both then enable everything: a brokerd that has credentials can be called by
    whoever wants quotes.
    """

    id = 'PK202'
    level = 'warning'
    help = 'declare both lists; `piker-new split` proposes them'
    source = f'{CONC}: actor tree'

    def check(self, backend: Backend) -> Iterator[Finding]:
        lists = declared(backend)
        missing = [name for name in LISTS.values() if name not in lists]
        if not lists or not missing or is_unreadable(backend):
            return
        if not backend.trades:
            missing = [name for name in missing if name == LISTS['datad']]
        if missing:
            yield self.at(
                backend.package,
                place_of(backend, next(iter(lists))),
                f'no {" and no ".join(missing)}',
            )


class NoSuchModule(Rule):
    """A list names a module that does not exist.

    The daemon cannot import it, and dies as it starts.
    """

    id = 'PK203'
    help = 'name a submodule of the package, or add it'
    source = f'{PIKER}: module attributes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for name, mods in declared(backend).items():
            for mod in mods:
                if '.' in mod or mod in backend.modules:
                    continue
                place = _constant(backend, mod) or place_of(backend, name)
                if name == FALLBACK and any(
                    mod in (backend.mods(it) or []) for it in LISTS.values()
                ):
                    continue
                yield self.at(
                    backend.package, place, f'{name} names {mod!r}, which is not there'
                )


def _constant(backend: Backend, value: str) -> ast.AST | None:
    for node in backend.package.body.of(ast.Constant):
        if node.value == value and isinstance(
            backend.package.parents[node], ast.List | ast.Tuple | ast.Set
        ):
            return node
    return None


class WrongDaemon(Rule):
    """A daemon enables the contexts of the other kind.

    What the order dialog needs is not to be called by whoever wants quotes, and quotes
    not by whoever trades; the daemons are apart for that.
    """

    id = 'PK204'
    help = 'move the module to the other list, or the context to another module'
    source = f'{CONC}: actor tree'

    def check(self, backend: Backend) -> Iterator[Finding]:
        lists = declared(backend)
        for kind, name in LISTS.items():
            other = 'brokerd' if kind == 'datad' else 'datad'
            for mod in lists.get(name, []):
                kinds = contexts_in(backend, mod)
                if other in kinds:
                    yield self.at(
                        backend.package,
                        place_of(backend, name),
                        f'{name} enables {mod!r}, which has contexts of {other}',
                    )


class FeedInBrokerd(Rule):
    """A brokerd enables a module of feeds.

    It has credentials. Whoever may call into it for quotes comes closer to them than
    need be.
    """

    id = 'PK205'
    help = 'take it out of `_brokerd_mods`'
    source = f'{CONC}: daemon lifecycle'

    def check(self, backend: Backend) -> Iterator[Finding]:
        name = LISTS['brokerd']
        for mod in declared(backend).get(name, []):
            module = backend.modules.get(mod)
            feeds = module is not None and (
                {*DATAD} - {'get_mkt_info', 'open_symbol_search'}
            ) & {*module.body.inner}
            if 'datad' in contexts_in(backend, mod):
                continue  # said by another rule
            if feeds or mod.startswith('piker.data'):
                yield self.at(
                    backend.package,
                    place_of(backend, name),
                    f'{name} enables {mod!r}, which is for feeds',
                )


class NotMinimal(Rule):
    """A daemon enables a module that has nothing to call.

    What is enabled can be called by every actor, each of its functions. Only modules
    that define a context need that; imports are free without.
    """

    id = 'PK206'
    level = 'warning'
    help = 'take it out of the list'
    source = f'{CONC}: daemon lifecycle'

    def check(self, backend: Backend) -> Iterator[Finding]:
        lists = declared(backend)
        if self._runs_remotely(backend):
            return
        for name in LISTS.values():
            idle = [
                mod
                for mod in lists.get(name, [])
                if mod in backend.modules
                and not contexts_in(backend, mod)
                and not {*DATAD} & {*backend.modules[mod].body.inner}
            ]
            if idle:
                yield self.at(
                    backend.package,
                    place_of(backend, name),
                    f'{name} enables {", ".join(map(repr, idle))} without a context',
                )

    @staticmethod
    def _runs_remotely(backend: Backend) -> bool:
        """Whether it calls plain functions in other actors."""
        return any(
            isinstance(call.func, ast.Attribute)
            and call.func.attr in ('run', 'run_from_ns', 'run_in_actor')
            and 'portal' in ast.unparse(call.func.value)
            for scope in backend.scopes
            for call in scope.of(ast.Call)
        )


class NotEnabled(Rule):
    """A context is in a module that its daemon does not enable.

    Whoever opens it gets ModuleNotExposed.
    """

    id = 'PK207'
    help = 'add its module to the list of its daemon'
    source = f'{PIKER}: module attributes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        lists = declared(backend)
        if not lists or is_unreadable(backend):
            return
        fallback = lists.get(FALLBACK, [])
        everywhere = {mod for mods in lists.values() for mod in mods}
        for function, kind in backend.contexts.items():
            mod = function.module.name
            if not mod or function.node is None:
                continue
            if function.name.startswith('_setup_persistent_'):
                continue  # whoever starts the daemon names its module
            if kind and not backend.binds(function.name):
                continue
            name = LISTS.get(kind, '')
            enabled = lists.get(name, fallback) if name else everywhere
            # an empty list is another rule's
            if mod not in enabled and (enabled or not name):
                which = name if name in lists else FALLBACK if name else 'any list'
                yield self.at(
                    function.module,
                    function.node,
                    f'{function.name}() is in {mod!r}, which is not in {which}',
                )


class NotTheUnion(Rule):
    """`__enable_modules__` is not the union of the lists of both daemons.

    Hosts that know one daemon for everything enable that list, and no other.
    """

    id = 'PK208'
    help = 'write `__enable_modules__ = [*_datad_mods, *_brokerd_mods]`'
    source = f'{CONC}: actor tree'

    def check(self, backend: Backend) -> Iterator[Finding]:
        lists = declared(backend)
        own = [name for name in LISTS.values() if name in lists]
        if not own or is_unreadable(backend):
            return
        union = {mod for name in own for mod in lists[name]}
        if FALLBACK not in lists:
            if union:
                yield self.at(
                    backend.package,
                    place_of(backend, own[0]),
                    f'no {FALLBACK} for hosts with one daemon',
                )
            return
        if {*lists[FALLBACK]} != union and len(own) == len(LISTS):
            differing = ', '.join(sorted({*lists[FALLBACK]} ^ union))
            yield self.at(
                backend.package,
                place_of(backend, FALLBACK),
                f'{FALLBACK} is not the union; it differs by {differing}',
            )


class EmptyList(Rule):
    """A list is empty although there are contexts for it.

    An empty list stays empty; only where a list is absent does `__enable_modules__`
    stand in for it.
    """

    id = 'PK209'
    help = 'name the modules, or leave the list out'
    source = f'{PIKER}: piker of 2026'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for kind, name in LISTS.items():
            if backend.mods(name) != []:
                continue
            for function, of in backend.contexts.items():
                if of == kind and function.module.name and backend.binds(function.name):
                    yield self.at(
                        backend.package,
                        place_of(backend, name),
                        f'{name} is empty, and {function.name}() is in '
                        f'{function.module.name!r}',
                    )


RULES: list[Rule] = [
    Undeclared(),
    NotSplit(),
    NoSuchModule(),
    WrongDaemon(),
    FeedInBrokerd(),
    NotMinimal(),
    NotEnabled(),
    NotTheUnion(),
    EmptyList(),
]
