"""
What may be asked for: functions by name, and their parameters checked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import msgspec

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
        hints = get_type_hints(function, include_extras=True)
        _, *parameters = inspect.signature(function).parameters.values()
        only = hints[parameters[0].name] if len(parameters) == 1 else None
        self._whole = isinstance(only, type) and issubclass(only, msgspec.Struct)
        """Whether there is one parameter, that stands for all."""
        self._params: Any = (
            only
            if self._whole
            else msgspec.defstruct(
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
        )

    def __call__(self, session: Any, params: Mapping[str, Any]) -> Any:
        """
        Numbers may be texts. Raises `Refusal`.
        """
        given = {key: value for key, value in params.items() if value is not None}
        try:
            checked = msgspec.convert(given, self._params, strict=False)
        except msgspec.ValidationError as err:
            reason, _, param = str(err).partition(' - at `$.')
            if 'missing required field' in reason:
                param, reason = reason.split('`')[1], 'required'
            raise Refusal('bad_params', f'{param.rstrip("`")} {reason}') from None
        if self._whole:
            return self._function(session, checked)
        return self._function(session, **msgspec.structs.asdict(checked))


def method(*names: str, does: str) -> Callable[[Any], Any]:
    """
    Serve a function under these names; `does` is the neutral name of the operation.
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
