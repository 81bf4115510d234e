"""`--wrap`: the typed interface of a vendor's asyncio client, written from its class.

The class is imported and read by `inspect`, never called. A static reader (griffe)
would spare the import, but what the proxy will find on the class at run time is what
`inspect` finds: decorated, inherited and computed methods included. Only what is made
at run time is read from the source: the events, which live on instances, and what a
plain method returns.
"""

from __future__ import annotations

import importlib
import inspect
import keyword
import pkgutil
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..refusal import Refusal
from .members import members_of
from .reader import Reader
from .requirements import Demand, check_demands, demands_of, is_typed, requirement_of
from .writing import fill, write


@dataclass
class Wrapped:
    """A class as it is to be called from trio.

    `text` is the module; `notes` say, one line each, what of the class is not in it,
    and why. `requirement` is the SDK as the index has it, if it does, `demands` what
    it asks for in turn; `untyped` are the top-level packages whose types mypy cannot
    see.
    """

    spec: str
    text: str
    methods: int
    events: int
    notes: list[str]
    requirement: str | None
    demands: list[Demand]
    untyped: list[str]

    def summary(self) -> str:
        """What was mapped, and what was not."""
        lines = [
            f'sdk.py has {self.methods} methods and {self.events} events of {self.spec}'
            + ('. Not in it:' if self.notes else '.')
        ]
        lines += [fill(f'- {note}', '  ', '  ') for note in self.notes]
        if not self.requirement:
            lines.append(
                'It was not installed from an index: add it to pyproject.toml yourself.'
            )
        return '\n'.join(lines)

    def add_to(self, project: Path) -> None:
        """Write `sdk.py` into a generated project, and ask for the SDK.

        Raises `Refusal` where the two could not be installed together.
        """
        import tomlkit

        pyproject = project / 'pyproject.toml'
        document: Any = tomlkit.parse(pyproject.read_text())
        check_demands(
            self.demands,
            [
                *document['project']['dependencies'],
                *document['dependency-groups']['dev'],
            ],
        )
        (package,) = project.glob('piker_*')
        (package / 'sdk.py').write_text(self.text, encoding='utf-8')
        if self.requirement:
            dependencies = document['project']['dependencies']
            wanted = sorted([*dependencies, self.requirement], key=str.lower)
            dependencies.insert(wanted.index(self.requirement), self.requirement)
            dependencies.multiline(True)
        unseen = document['tool']['mypy']['overrides'][0]['module']
        for name in self.untyped:
            unseen.append(f'{name}.*')
        pyproject.write_text(tomlkit.dumps(document))


def wrap(spec: str) -> Wrapped:
    """Read the class named by `package.module:Class`; raises `Refusal`."""
    cls = _find(spec)
    reader = Reader(cls)
    # a method that may as well reply at once says nothing of the class
    if all(method.is_mixed for method in reader.methods):
        module = spec.partition(':')[0]
        twins = list(_twins(cls, module))
        raise Refusal(
            f"'{spec}' has no coroutine methods\n"
            + (
                f'note: its twin for asyncio is {", ".join(twins)}\n'
                f'help: try --wrap {twins[0]}'
                if twins
                else 'note: they are what trio calls through the proxy\n'
                f'help: {_offer(module)}'
            )
        )
    return Wrapped(
        spec,
        write(spec, reader),
        len(reader.methods),
        len(reader.events) + len(reader.hooks),
        reader.notes,
        requirement_of(cls),
        demands_of(cls),
        sorted(name for name in reader.names.roots() if not is_typed(name)),
    )


def _find(spec: str) -> type:
    module_name, _, class_name = spec.partition(':')
    parts = [*module_name.split('.'), *class_name.split('.')]
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise Refusal(
            f'{spec!r} names no class\n'
            'note: --wrap takes a module and a class of it\n'
            'help: try --wrap ib_async:IB'
        )
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the SDK's own code may raise
        why = ' '.join(f'{type(error).__name__}: {error}'.split())
        root = module_name.partition('.')[0]
        raise Refusal(
            f"'{module_name}' cannot be imported\n"
            f'note: {why}\n'
            f'help: install what provides {root} beside piker-new, in {sys.prefix}'
        ) from error
    for part in class_name.split('.'):
        found = getattr(found, part, None)
    if not inspect.isclass(found):
        raise Refusal(
            f"'{spec}' is {'not a class' if found is not None else 'not there'}\n"
            'note: of the class, methods are read; no instance is made\n'
            f'help: {_offer(module_name)}'
        )
    return found


def _offer(module: str) -> str:
    """What there is to wrap in a module."""
    classes = [
        name
        for name, cls in inspect.getmembers(sys.modules[module], inspect.isclass)
        if _has_coroutines(cls)
    ]
    if not classes:
        return f'name another module: in {module} no class has coroutine methods'
    return f'{module} has {", ".join(classes[:5])}'


def _has_coroutines(cls: type) -> bool:
    return any(inspect.iscoroutinefunction(member) for _, member in members_of(cls))


def _twins(cls: type, module: str) -> Iterator[str]:
    """The classes of the same package that are named as `cls` is, but for asyncio."""
    root = sys.modules[module.partition('.')[0]]
    places = [module]
    for found in pkgutil.iter_modules(getattr(root, '__path__', ())):
        if re.search(r'async|aio|^pro$', found.name):
            places.append(f'{root.__name__}.{found.name}')
    seen: set[type] = set()
    for place in places:
        with suppress(Exception, SystemExit):  # as above
            for name, other in vars(importlib.import_module(place)).items():
                bare = re.sub(r'async(io)?|aio', '', name.lower())
                if (
                    bare == cls.__name__.lower()
                    and inspect.isclass(other)
                    and other not in seen
                    and _has_coroutines(other)
                ):
                    seen.add(other)
                    yield f'{place}:{name}'
