"""`--wrap`: the typed interface of a vendor's asyncio client, written from its class.

The class is imported and read by `inspect`, never called. A static reader (griffe)
would spare the import, but what the proxy will find on the class at run time is what
`inspect` finds: decorated, inherited and computed methods included. Only the events,
which live on instances, are read from the source.
"""

from __future__ import annotations

import ast
import collections.abc
import importlib
import inspect
import itertools
import keyword
import re
import sys
import textwrap
import types
import typing
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .refusal import Refusal

_width = 88

_awaitables = ('Awaitable', 'Coroutine', 'Future', 'Task')

# What may stand for arguments that the SDK calls back.
_is_callback_name = re.compile(r'(^|_)(callback|cb|handler|listener|hook)$').search
_is_hook_name = re.compile(
    r'on_\w+|(add|set|register)_(\w+_)?(callback|handler|listener|hook)'
).fullmatch

# In the order of preference.
_closing = ('aclose', 'close', 'disconnect', 'close_connection', 'stop')

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


# What the written module is made of.
_used_names = (
    'Event',
    'EventRelay',
    'inspect',
    'open_client_proxy',
    'open_sdk',
    'trio',
)
_used_imports = (
    ('collections.abc', 'AsyncIterator', 'AsyncIterator'),
    ('contextlib', 'asynccontextmanager', 'acm'),
    ('typing', 'Any', 'Any'),
    ('typing', 'TypeAlias', 'TypeAlias'),
)


class _Inexpressible(Exception):
    """A type that cannot be written down in another module; says why."""


@dataclass
class Wrapped:
    """A class as it is to be called from trio.

    `text` is the module; `notes` say, one line each, what of the class is not in it,
    and why. `requirement` is the SDK as the index has it, if it does; `untyped` are
    the top-level packages whose types mypy cannot see.
    """

    spec: str
    text: str
    methods: int
    events: int
    notes: list[str]
    requirement: str | None
    untyped: list[str]

    def summary(self) -> str:
        """What was mapped, and what was not."""
        lines = [
            f'sdk.py has {self.methods} methods and {self.events} events of {self.spec}'
            + ('. Not in it:' if self.notes else '.')
        ]
        lines += [_fill(f'- {note}', '  ', '  ') for note in self.notes]
        if not self.requirement:
            lines.append(
                'It was not installed from an index: add it to pyproject.toml yourself.'
            )
        return '\n'.join(lines)

    def add_to(self, project: Path) -> None:
        """Write `sdk.py` into a generated project, and ask for the SDK."""
        import tomlkit

        (package,) = project.glob('piker_*')
        (package / 'sdk.py').write_text(self.text, encoding='utf-8')
        pyproject = project / 'pyproject.toml'
        document: Any = tomlkit.parse(pyproject.read_text())
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
    reader = _Reader(cls)
    if not reader.methods:
        raise Refusal(
            f"'{spec}' has no coroutine methods\n"
            'note: they are what trio calls through the proxy\n'
            f'help: {_offer(spec.partition(":")[0])}'
        )
    return Wrapped(
        spec,
        _write(spec, reader),
        len(reader.methods),
        len(reader.events) + len(reader.hooks),
        reader.notes,
        _requirement(cls),
        sorted(name for name in reader.names.roots() if not _is_typed(name)),
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
        if any(inspect.iscoroutinefunction(member) for _, member in _members(cls))
    ]
    if not classes:
        return f'name another module: in {module} no class has coroutine methods'
    return f'{module} has {", ".join(classes[:5])}'


def _requirement(cls: type) -> str | None:
    """The distribution that `cls` is from, as a bounded requirement."""
    root = cls.__module__.partition('.')[0]
    names = sorted(set(metadata.packages_distributions().get(root, ())))
    if len(names) != 1:
        return None
    distribution = metadata.distribution(names[0])
    release = re.match(r'(\d+)(?:\.(\d+))?', distribution.version)
    # what was not installed from the index cannot be asked for by name
    if release is None or distribution.read_text('direct_url.json'):
        return None
    major, minor = (int(number or 0) for number in release.groups())
    bound = f'{major + 1}' if major else f'0.{minor + 1}'
    version = distribution.version.partition('+')[0]
    name = distribution.metadata['Name'].replace('_', '-')
    return f'{name}>={version},<{bound}'


def _is_typed(root: str) -> bool:
    """Whether mypy sees the types of a top-level package."""
    places = getattr(sys.modules[root], '__path__', ())
    return root in sys.stdlib_module_names or any(
        Path(place, 'py.typed').exists() for place in places
    )


@dataclass
class _Names:
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
        """A type, as source; raises `_Inexpressible`."""
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
            return ' | '.join(dict.fromkeys(map(self.spell, arguments)))
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
            spelt = ('...' if a is ... else self.spell(a) for a in arguments)
            return f'{self._spell_class(origin)}[{", ".join(spelt)}]'
        if origin is not None or inspect.isclass(kind):
            return self._spell_bare(origin or kind)
        if isinstance(kind, typing.NewType):
            return self._spell_class(kind)
        raise _Inexpressible(f'{_shown(kind)} has no meaning outside of the class')

    def _spell_literal(self, values: tuple[Any, ...]) -> str:
        if not all(isinstance(v, (str, int, bytes, type(None))) for v in values):
            raise _Inexpressible('a Literal of an enum')
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
            raise _Inexpressible(f'{_shown(kind)} does not say of what')
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
        raise _Inexpressible(f'{_shown(kind)} cannot be imported')


def _homes(module: str, name: str) -> Iterator[str]:
    """Where to import `name` from: where it is public, or else defined."""
    if module.partition('.')[0].lstrip('_') in sys.stdlib_module_names:
        module = module.lstrip('_')  # _asyncio, _decimal
    for package in itertools.accumulate(module.split('.'), '{}.{}'.format):
        if name in getattr(sys.modules.get(package), '__all__', ()):
            yield package
    yield module


def _shown(kind: Any) -> str:
    return ' '.join(inspect.formatannotation(kind).split())


@dataclass
class _Method:
    name: str
    parameters: list[str]
    result: str
    doc: str
    arguments: set[str]

    def write(self) -> str:
        head = f'    async def {self.name}'
        line = f'{head}({", ".join(self.parameters)}) -> {self.result}:'
        # in the width stands what a formatter may append to an empty body
        if len(f'{line} ...') > _width:
            lines = ''.join(f'        {each},\n' for each in self.parameters)
            line = f'{head}(\n{lines}    ) -> {self.result}:'
        if not self.doc:
            return f'{line} ...'
        return f'{line}\n{_write_doc(self.doc)}'


def _write_doc(doc: str) -> str:
    indent = ' ' * 8
    line = f'{indent}"""{doc}"""'
    if len(line) <= _width and not doc.startswith('"') and not doc.endswith('"'):
        return line
    return f'{indent}"""\n{_fill(doc, indent)}\n{indent}"""'


def _fill(text: str, indent: str = '', hanging: str = '') -> str:
    return textwrap.fill(
        text,
        _width,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


_plainer = {
    **dict.fromkeys(map(ord, '\u2018\u2019\u2032'), "'"),
    **dict.fromkeys(map(ord, '\u201c\u201d'), '"'),
    **dict.fromkeys(map(ord, '\u2013\u2014\u2212'), '-'),
}


def _plain(text: str) -> str:
    """`text` in one line that may stand in a docstring."""
    text = text.translate(_plainer)
    text = unicodedata.normalize('NFKD', text).encode('ascii', 'ignore').decode()
    return ' '.join(text.split()).replace('\\', '\\\\').replace('"""', "'''")


def _summary(member: Any) -> str:
    """The first paragraph of the docstring, without what follows it in it."""
    doc = inspect.getdoc(member) or ''
    paragraph = re.split(
        r'\n\s*\n|^\s*:\w+|^\s*\.\.|^\s*(?:Args|Returns|Parameters)\b',
        doc.strip(),
        maxsplit=1,
        flags=re.MULTILINE,
    )[0]
    return _plain(paragraph)


class _Reader:
    """What there is to be said of a class."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        members = dict(_members(cls))
        # what names mean inside of the class that is written
        self.names = _Names({*members, *_used_names, f'{cls.__name__}Methods'})
        for module, name, alias in _used_imports:
            self.names.imports[module][name] = alias
            self.names.taken.add(alias)
        try:
            self.sdk = self.names.spell(cls)
        except _Inexpressible as error:
            raise Refusal(
                f"'{cls.__qualname__}' is of no use to another module\n"
                f'note: {error}\n'
                'help: name a class as its module exports it'
            ) from None
        self.methods: list[_Method] = []
        self.hooks: list[str] = []
        self.events = list(dict.fromkeys(_events(cls)))
        self._unmapped: dict[str, list[str]] = defaultdict(list)
        self._plain: list[str] = []
        self._degraded: list[str] = []
        self._bare = 0
        for name, member in members.items():
            self._read(name, member)
        self._read_constructor()

    @property
    def notes(self) -> list[str]:
        """What is not in the interface, and why."""
        notes = [f'{why}: {", ".join(names)}' for why, names in self._unmapped.items()]
        if self._plain:
            why = 'plain methods, of `proxy.sdk`; not from trio if they block'
            notes.append(f'{why}: {", ".join(self._plain)}')
        if self._degraded:
            notes.append(f'Any, for want of a better type: {"; ".join(self._degraded)}')
        if self._bare:
            notes.append(
                f'Any, as the SDK does not say: {self._bare} parameters and results'
            )
        return [_plain(note) for note in notes]

    def _read(self, name: str, member: Any) -> None:
        static = inspect.getattr_static(self.cls, name)
        if name == 'sdk' or keyword.iskeyword(name):
            self._unmapped['the name is taken'].append(name)
        elif isinstance(static, (classmethod, staticmethod)):
            kind = 'coroutines' if inspect.iscoroutinefunction(member) else 'functions'
            why = f'{kind} of the class, to be called before there is a client'
            self._unmapped[why].append(name)
        elif inspect.isasyncgenfunction(member):
            why = 'async iterators (a call has one reply)'
            self._unmapped[why].append(name)
        elif not callable(member) or inspect.isclass(member):
            if _is_event(type(member)):
                self.events.append(name)
        elif name.startswith('on_') and not self._callbacks(member):
            why = 'hooks that the SDK calls, to be overridden in a subclass'
            self._unmapped[why].append(name)
        elif (
            inspect.iscoroutinefunction(member)
            or self._awaited(member) is not inspect.Parameter.empty
        ):
            self._read_method(name, member)
        elif inspect.iscoroutinefunction(inspect.unwrap(member)):
            why = 'wrapped coroutine functions (the wrapper may not return a coroutine)'
            self._unmapped[why].append(name)
        elif self._callbacks(member):
            self._read_hook(name, member)
        else:
            self._plain.append(name)

    def _read_constructor(self) -> None:
        if callbacks := self._callbacks(inspect.getattr_static(self.cls, '__init__')):
            why = 'callbacks of the constructor, to be given what calls `events.emit`'
            self._unmapped[why] += callbacks

    def _read_hook(self, name: str, member: Any) -> None:
        """A plain method that takes a callback and, it may be, nothing else."""
        callbacks = self._callbacks(member)
        parameters = _parameters(member)
        required = [p.name for p in parameters if _is_required(p)]
        callback = next(p for p in parameters if p.name == callbacks[0])
        if required not in ([], callbacks[:1]) or parameters[0] is not callback:
            why = 'take a callback and more: give them what calls `events.emit`'
        elif self._is_async_callback(self._resolve(callback.annotation, member)):
            why = 'take a coroutine function to call back'
        elif not _is_hook_name(name):
            why = 'take a callback, but are not named as what registers one'
        else:
            self.hooks.append(name)
            return
        self._unmapped[why].append(name)

    def _callbacks(self, member: Any) -> list[str]:
        """The parameters that take something to be called back."""
        return [
            parameter.name
            for parameter in _parameters(member)
            if _is_callback_name(parameter.name)
            or any(
                typing.get_origin(kind) is collections.abc.Callable
                or kind is collections.abc.Callable
                for kind in _alternatives(self._resolve(parameter.annotation, member))
            )
        ]

    def _is_async_callback(self, kind: Any) -> bool:
        return any(
            typing.get_args(each) and _is_awaitable(typing.get_args(each)[-1])
            for each in _alternatives(kind)
        )

    def _awaited(self, member: Any) -> Any:
        """What awaiting the result of a plain method gives; empty, if it cannot be."""
        annotation = _signature(member).return_annotation
        if annotation is inspect.Parameter.empty:
            has_said_so = getattr(member, '__name__', '').lower().endswith('async')
            return Any if has_said_so else inspect.Parameter.empty
        kind = self._resolve(annotation, member)
        if not _is_awaitable(kind):
            return inspect.Parameter.empty
        arguments = typing.get_args(kind)
        return arguments[-1] if arguments else Any

    def _resolve(self, annotation: Any, member: Any) -> Any:
        """An annotation, evaluated; where it cannot be, the string that it is."""
        if annotation is inspect.Parameter.empty:
            return annotation
        function = inspect.unwrap(member)

        def holder() -> None: ...

        holder.__annotations__ = {'it': annotation}
        names = {
            **_names_for_checkers(function.__module__),
            **getattr(function, '__globals__', {}),
        }
        try:
            return typing.get_type_hints(holder, names)['it']
        except Exception:  # whatever an annotation raises that nobody evaluates
            return annotation

    def _read_method(self, name: str, member: Any) -> None:
        signature = _signature(member)
        awaited = self._awaited(member)
        if inspect.iscoroutinefunction(member):
            awaited = signature.return_annotation
            kind = self._resolve(awaited, member)
            if (typing.get_origin(kind) or kind) is collections.abc.Coroutine:
                self._degraded.append(f'{name}(), as the reply would be a coroutine')
                awaited = Any
        parameters = ['self']
        before = None
        for each in _parameters(member):
            if before is each.POSITIONAL_ONLY is not each.kind:
                parameters.append('/')
            if each.kind is each.KEYWORD_ONLY and before not in (
                each.KEYWORD_ONLY,
                each.VAR_POSITIONAL,
            ):
                parameters.append('*')
            parameters.append(self._spell_parameter(name, each, member))
            before = each.kind
        if before is inspect.Parameter.POSITIONAL_ONLY:
            parameters.append('/')
        result = self._spell(
            f'{name}()', awaited, member, _width - len('    ) -> : ...')
        )
        self.methods.append(
            _Method(
                name,
                parameters,
                result,
                _summary(member),
                {each.name for each in _parameters(member)},
            )
        )

    def _spell_parameter(
        self, method: str, parameter: inspect.Parameter, member: Any
    ) -> str:
        default = (
            ''
            if parameter.default is parameter.empty
            else f' = {_spell_default(parameter.default)}'
        )
        stars: dict[Any, str] = {
            parameter.VAR_POSITIONAL: '*',
            parameter.VAR_KEYWORD: '**',
        }
        head = f'{stars.get(parameter.kind, "")}{parameter.name}: '
        optional = ' | None' if parameter.default is None else ''
        room = _width - len(f'        {head}{optional}{default},')
        spelt = self._spell(
            f'{method}({parameter.name})', parameter.annotation, member, room
        )
        if {'None', self.names.spell(Any)} & {*spelt.split(' | ')}:
            optional = ''
        return f'{head}{spelt}{optional}{default}'

    def _spell(self, where: str, annotation: Any, member: Any, room: int) -> str:
        """An annotation as source that fits; Any, and a note, if there is none."""
        if annotation is inspect.Parameter.empty:
            self._bare += 1
            return self.names.spell(Any)
        kind = self._resolve(annotation, member)
        if kind is typing.Self:
            kind = self.cls
        if isinstance(kind, str):
            self._degraded.append(f'{where}, as {kind} cannot be evaluated')
            return self.names.spell(Any)
        names = deepcopy(self.names)  # what is not expressed is not imported, either
        try:
            spelt = names.spell(kind)
            if len(spelt) > room:
                raise _Inexpressible(f'{_shown(kind)} is too long for a line')
        except _Inexpressible as error:
            self._degraded.append(f'{where}, as {error}')
            return self.names.spell(Any)
        self.names = names
        return spelt

    @property
    def close(self) -> str | None:
        """The statement that closes a client."""
        methods = {method.name for method in self.methods}
        for name in _closing:
            member = getattr(self.cls, name, None)
            if any(map(_is_required, _parameters(member) if member else ())):
                continue
            if name in methods:
                return f'await proxy.{name}()'
            if name in self._plain:
                return f'sdk.{name}()'
        return None


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public members, the class's own first, in the order of the source."""
    seen = {*dir(object)}
    for base in cls.__mro__:
        for name in vars(base):
            if name not in seen and not name.startswith('_'):
                seen.add(name)
                yield name, getattr(cls, name, None)


def _events(cls: type) -> Iterator[str]:
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
                ) if not name.startswith('_') and _is_event(_lookup(maker, known)):
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
def _names_for_checkers(module: str) -> dict[str, Any]:
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


def _is_event(kind: object) -> bool:
    return inspect.isclass(kind) and all(
        callable(getattr(kind, name, None)) for name in ('connect', 'emit')
    )


def _signature(member: Any) -> inspect.Signature:
    try:
        return inspect.signature(member)
    except (TypeError, ValueError):  # not written in Python
        return inspect.signature(lambda self, *args, **kwargs: None)


def _parameters(method: Any) -> list[inspect.Parameter]:
    """The parameters of a method, without `self`."""
    return [*_signature(method).parameters.values()][1:]


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _alternatives(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def _is_awaitable(kind: Any) -> bool:
    kind = typing.get_origin(kind) or kind
    return inspect.isclass(kind) and kind.__name__ in _awaitables


def _spell_default(value: object) -> str:
    """A default as source, or `...` where it is not a plain constant."""
    if value is None or type(value) in (bool, int, float, str, bytes):
        spelt = repr(value)
        if spelt.isascii() and len(spelt) <= 30 and spelt not in ('inf', 'nan', '-inf'):
            return spelt
    return '...'


def _write(spec: str, reader: _Reader) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    names = reader.names
    flagged = {'ASYNC109': {'timeout'}, 'E741': {'l', 'O', 'I'}}
    methods = '\n\n'.join(method.write() for method in reader.methods)
    arguments = {each for method in reader.methods for each in method.arguments}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        block_start_string='#{%',
        block_end_string='%}',
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    if reader.events or reader.hooks:
        names.use('collections.abc', 'Callable')
    types = names.write(stdlib=False)
    if types:
        names.use('typing', 'TYPE_CHECKING')
    return environment.get_template('sdk.py.jinja').render(
        intro=_fill(f"The vendor's own client, `{spec}`, as trio tasks call it."),
        sdk=reader.sdk,
        name=reader.cls.__name__,
        close=reader.close,
        uses_builtins='builtins.' in methods,
        imports=names.write(stdlib=True),
        types=types,
        notes='\n'.join(_fill(f'- {note}', hanging='  ') for note in reader.notes),
        methods=methods,
        events=reader.events,
        hooks=reader.hooks,
        noqa=[code for code, names in flagged.items() if names & arguments],
    )


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
        if len(line) + 4 > _width:
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
