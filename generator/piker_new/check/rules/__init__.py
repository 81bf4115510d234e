"""All rules, in the order of their ids."""

from __future__ import annotations

from . import (
    asyncio_side,
    cancellation,
    endpoints,
    ignores,
    imports,
    modules,
    pairs,
    secrets,
    shapes,
    signatures,
    spawn,
    started,
    state,
    values,
)
from .base import Rule

IGNORES: list[Rule] = [*ignores.RULES]

RULES: list[Rule] = [
    *IGNORES,
    *endpoints.RULES,
    *signatures.RULES,
    *started.RULES,
    *modules.RULES,
    *spawn.RULES,
    *state.RULES,
    *asyncio_side.RULES,
    *cancellation.RULES,
    *values.RULES,
    *shapes.RULES,
    *pairs.RULES,
    *imports.RULES,
    *secrets.RULES,
]
