"""
What may be asked for: functions by name, and their parameters checked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, get_type_hints

import msgspec

from .operations import Operation
from .refusals import Refusal
from .server import Server
from .session import Session


class Method:
    """
    A function `(session, **params) -> result`, called with checked parameters. What it
    does not know it ignores.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def _params(self) -> tuple[Any, bool]:
        """
        The type of all parameters, and whether it is that of the only one, which then
        stands for all. Found at the first call: a venue hears few of its methods.
        """
        hints = get_type_hints(self._function, include_extras=True)
        _, *parameters = inspect.signature(self._function).parameters.values()
        if len(parameters) == 1:
            only = hints[parameters[0].name]
            if isinstance(only, type) and issubclass(only, msgspec.Struct):
                return only, True
        params = msgspec.defstruct(
            'Params',
            [
                (
                    it.name,
                    hints[it.name],
                    msgspec.NODEFAULT if it.default is it.empty else it.default,
                )
                for it in parameters
            ],
            kw_only=True,
        )
        return params, False

    def __call__(self, session: Any, params: Mapping[str, Any]) -> Any:
        """
        Numbers may be texts. Raises `Refusal`.
        """
        type_, is_whole = self._params
        given = {key: value for key, value in params.items() if value is not None}
        try:
            checked = msgspec.convert(given, type_, strict=False)
        except msgspec.ValidationError as err:
            reason, _, param = str(err).partition(' - at `$.')
            if 'missing required field' in reason:
                param, reason = reason.split('`')[1], 'required'
            raise Refusal('bad_params', f'{param.rstrip("`")} {reason}') from None
        if is_whole:
            return self._function(session, checked)
        return self._function(session, **msgspec.structs.asdict(checked))


def method(*names: str, does: Operation) -> Callable[[Any], Any]:
    """
    Serve a function under these names, which are the venue's for what it `does`.
    """

    def mark(function: Any) -> Any:
        function.serves = names, does
        return function

    return mark


class Methods:
    """
    A dialect whose functions are marked with `@method`: they are called by the venue's
    names.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.engine = server.engine
        self.operations: dict[str, str] = {}
        """The venue's methods, and the neutral names of what they do."""
        self.methods: dict[str, Method] = {}
        for _, function in inspect.getmembers(self, inspect.ismethod):
            names, does = getattr(function, 'serves', ((), ''))
            for name in names:
                self.operations[name] = does
                self.methods[name] = Method(function)

    def operation_names(self) -> set[str]:
        return set(self.operations.values())

    # What a dialect may leave out: see `hub.Dialect`.

    def opened(self, session: Session) -> None: ...

    def logged_out(self, session: Session) -> None: ...

    def closed(self, session: Session) -> None: ...
