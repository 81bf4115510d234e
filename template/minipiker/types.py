"""
The base of every message and record: a typed `msgspec.Struct`.
"""

from __future__ import annotations

from typing import Any, Self

import msgspec


class Struct(msgspec.Struct, kw_only=False):
    """
    A `msgspec.Struct` with the conversions that piker's own has.
    """

    def to_dict(self) -> dict[str, Any]:
        """
        The fields by name, nested structs left as they are.
        """
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def copy(self, update: dict[str, Any] | None = None) -> Self:
        """
        A shallow copy, with the fields named in `update` replaced.
        """
        return msgspec.structs.replace(self, **(update or {}))
