"""What a rule is: a title, a reason, what to do instead, and how it is seen."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import ClassVar, Literal

from ..finding import Finding
from ..model import Backend, Module

Level = Literal['error', 'warning']

# The documents that rules stand for.
CONC = 'piker-conc-expert'
PIKER = "piker's contract of backends"
TRACTOR = "tractor's behaviour, measured"


class Rule:
    """The first line of a rule's docstring is its title, the rest says why."""

    id: ClassVar[str]
    level: ClassVar[Level] = 'error'
    help: ClassVar[str]
    """What to do instead."""
    source: ClassVar[str]
    """The rule of piker's or tractor's that it stands for."""

    @property
    def title(self) -> str:
        return inspect.cleandoc(self.__doc__ or '').partition('\n')[0]

    @property
    def why(self) -> str:
        body = inspect.cleandoc(self.__doc__ or '').partition('\n')[2]
        return ' '.join(body.split())

    def check(self, backend: Backend) -> Iterator[Finding]:
        raise NotImplementedError

    def at(
        self, module: Module, node: ast.AST, what: str, help: str | None = None
    ) -> Finding:
        """It is not kept at `node`."""
        place = module.place(node)
        return Finding(place, self.id, what, self.why, help or self.help, self.level)
