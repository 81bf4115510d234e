"""What of a class trio can call, what it is told by, and what is not mapped and why."""

from __future__ import annotations

import collections.abc
import inspect
import keyword
import re
import sys
import typing
from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ..refusal import Refusal
from .members import (
    alternatives,
    events_of,
    is_awaitable,
    is_event,
    is_required,
    members_of,
    names_for_checkers,
    parameters_of,
    returned_calls,
    signature_of,
)
from .names import WIDTH, Inexpressible, Names, shown, spell_default
from .writing import Method, plain, summary_of

# What may stand for arguments that the SDK calls back.
_is_callback_name = re.compile(r'(^|_)(callback|cb|handler|listener|hook)$').search
_is_hook_name = re.compile(
    r'on_\w+|(add|set|register)_(\w+_)?(callback|handler|listener|hook)'
).fullmatch

# In the order of preference.
_closing = ('aclose', 'close', 'disconnect', 'close_connection', 'stop')


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


@dataclass
class _Reply:
    """What awaiting a method gives; `kind` is empty where nothing says.

    `says` is the function whose signature it is: of several overloads the one for
    asyncio. If `is_mixed` it may as well reply at once.
    """

    kind: Any
    says: Any
    is_mixed: bool = False


class Reader:
    """What there is to be said of a class."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        members = dict(members_of(cls))
        # what names mean inside of the class that is written
        self.names = Names({*members, *_used_names, f'{cls.__name__}Methods'})
        for module, name, alias in _used_imports:
            self.names.imports[module][name] = alias
            self.names.taken.add(alias)
        try:
            self.sdk = self.names.spell(cls)
        except Inexpressible as error:
            raise Refusal(
                f"'{cls.__qualname__}' is of no use to another module\n"
                f'note: {error}\n'
                'help: name a class as its module exports it'
            ) from None
        self.methods: list[Method] = []
        self.hooks: list[str] = []
        self.events = list(dict.fromkeys(events_of(cls)))
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
        return [plain(note) for note in notes]

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
            if is_event(type(member)):
                self.events.append(name)
        elif name.startswith('on_') and not self._callbacks(member):
            why = 'hooks that the SDK calls, to be overridden in a subclass'
            self._unmapped[why].append(name)
        elif reply := self._reply(member):
            self._read_method(name, member, reply)
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
        parameters = parameters_of(member)
        required = [p.name for p in parameters if is_required(p)]
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
            for parameter in parameters_of(member)
            if _is_callback_name(parameter.name)
            or any(
                typing.get_origin(kind) is collections.abc.Callable
                or kind is collections.abc.Callable
                for kind in alternatives(self._resolve(parameter.annotation, member))
            )
        ]

    def _is_async_callback(self, kind: Any) -> bool:
        return any(
            typing.get_args(each) and is_awaitable(typing.get_args(each)[-1])
            for each in alternatives(kind)
        )

    def _reply(self, member: Any, within: tuple[Any, ...] = ()) -> _Reply | None:
        """What awaiting the result of a method gives; None, if it cannot be.

        `within` are the methods that return what it returns.
        """
        annotation = signature_of(member).return_annotation
        if inspect.iscoroutinefunction(member):
            return _Reply(self._resolve(annotation, member), member)
        overloads = [
            each
            for each in typing.get_overloads(inspect.unwrap(member))
            if self._is_for_this(each)
        ]
        later: list[Any] = []
        at_once: list[Any] = []
        says: list[Any] = []
        for each in overloads or [member]:
            result = signature_of(each).return_annotation
            for kind in alternatives(self._resolve(result, each)):
                if is_awaitable(kind):
                    later += typing.get_args(kind)[-1:] or [Any]
                    says.append(each)
                else:
                    at_once.append(kind)
        if not later:
            return self._reply_by_source(member, within)
        kinds = [*later, *(kind for kind in at_once if not isinstance(kind, str))]
        return _Reply(
            Any if Any in kinds else typing.Union[tuple(kinds)],  # noqa: UP007
            says[0] if len(says) == 1 else member,
            bool(at_once),
        )

    def _is_for_this(self, overload: Any) -> bool:
        """Whether the class can be the `self` of an overload."""
        first = next(iter(signature_of(overload).parameters.values()), None)
        kind = self._resolve(first.annotation, overload) if first else None
        if not inspect.isclass(kind) or kind is inspect.Parameter.empty:
            return True
        if not getattr(kind, '_is_protocol', False):
            return issubclass(self.cls, kind)
        return all(
            self._annotation(self.cls, name) in (wanted, None)
            for name in kind.__annotations__
            if (wanted := self._annotation(kind, name))
        )

    def _annotation(self, cls: type, name: str) -> Any:
        for base in cls.__mro__:
            if name in vars(base).get('__annotations__', {}):
                return self._resolve(base.__annotations__[name], base)
        return None

    def _reply_by_source(self, member: Any, within: tuple[Any, ...]) -> _Reply | None:
        """Of a method that says nothing, but returns what an own coroutine gives."""
        replies: list[_Reply | None] = []
        # a wrapper returns what it likes
        for name in returned_calls(member) if inspect.unwrap(member) is member else ():
            called = getattr(self.cls, name or '', None)
            is_method = inspect.isfunction(called) and called not in within
            replies.append(
                self._reply(called, (*within, member)) if is_method else None
            )
        if any(replies):
            first, *others = replies
            return _Reply(
                inspect.Parameter.empty if others or first is None else first.kind,
                member,
                not all(reply and not reply.is_mixed for reply in replies),
            )
        if signature_of(
            member
        ).return_annotation is inspect.Parameter.empty and getattr(
            member, '__name__', ''
        ).lower().endswith('async'):
            return _Reply(Any, member)
        return None

    def _resolve(self, annotation: Any, member: Any) -> Any:
        """An annotation, evaluated; where it cannot be, the string that it is."""
        if annotation is inspect.Parameter.empty:
            return annotation
        function = inspect.unwrap(member)

        def holder() -> None: ...

        holder.__annotations__ = {'it': annotation}
        module = function.__module__
        names = {
            **names_for_checkers(module),
            **getattr(function, '__globals__', vars(sys.modules[module])),
        }
        try:
            return typing.get_type_hints(holder, names)['it']
        except Exception:  # whatever an annotation raises that nobody evaluates
            return annotation

    def _read_method(self, name: str, member: Any, reply: _Reply) -> None:
        doc = summary_of(member)
        member, awaited = reply.says, reply.kind
        if (typing.get_origin(awaited) or awaited) is collections.abc.Coroutine:
            self._degraded.append(f'{name}(), as the reply would be a coroutine')
            awaited = Any
        parameters = ['self']
        before = None
        for each in parameters_of(member):
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
        room = WIDTH - len('    ) -> : ...')
        result = self._spell(f'{name}()', awaited, member, room)
        self.methods.append(
            Method(
                name,
                parameters,
                result,
                doc,
                {each.name for each in parameters_of(member)},
                reply.is_mixed,
            )
        )

    def _spell_parameter(
        self, method: str, parameter: inspect.Parameter, member: Any
    ) -> str:
        default = (
            ''
            if parameter.default is parameter.empty
            else f' = {spell_default(parameter.default)}'
        )
        stars: dict[Any, str] = {
            parameter.VAR_POSITIONAL: '*',
            parameter.VAR_KEYWORD: '**',
        }
        head = f'{stars.get(parameter.kind, "")}{parameter.name}: '
        optional = ' | None' if parameter.default is None else ''
        room = WIDTH - len(f'        {head}{optional}{default},')
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
                raise Inexpressible(f'{shown(kind)} is too long for a line')
        except Inexpressible as error:
            self._degraded.append(f'{where}, as {error}')
            return self.names.spell(Any)
        self.names = names
        return spelt

    @property
    def is_entered(self) -> bool:
        """Whether a client is a block of its own, which opens and closes it."""
        return all(
            inspect.iscoroutinefunction(getattr(self.cls, name, None))
            for name in ('__aenter__', '__aexit__')
        )

    @property
    def close(self) -> str | None:
        """The statement that closes a client."""
        methods = {method.name for method in self.methods}
        for name in _closing:
            member = getattr(self.cls, name, None)
            if any(map(is_required, parameters_of(member) if member else ())):
                continue
            if name in methods:
                return f'await proxy.{name}()'
            if name in self._plain:
                return f'sdk.{name}()'
        return None
