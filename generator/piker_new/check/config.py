"""Which rules are wanted: by the command line or by `pyproject.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..refusal import Refusal
from .rules import RULES
from .rules.base import Rule

LINTERS = 'ASYNC'
"""What the ids of the linters' findings begin with."""


@dataclass(frozen=True)
class Choice:
    """Ids or beginnings of ids: those to look for, and those to leave out."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __contains__(self, id: str) -> bool:
        return (not self.select or id.startswith(self.select)) and not (
            self.ignore and id.startswith(self.ignore)
        )

    @property
    def rules(self) -> list[Rule]:
        return [rule for rule in RULES if rule.id in self]

    @property
    def linters(self) -> bool:
        """Whether anything that they find may be wanted."""
        beginnings = self.select or ('ASYNC',)
        return LINTERS not in self.ignore and any(
            it.startswith(LINTERS) or LINTERS.startswith(it) for it in beginnings
        )


def read_choice(
    places: Iterable[Path],
    select: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
) -> Choice:
    """
    What the command line says, or else `[tool.piker-new.check]` in the nearest
    `pyproject.toml` above the first of `places`.
    """
    table, path = _read_table(places)
    for key in table.keys() - {'select', 'ignore'}:
        raise Refusal(
            f'[tool.piker-new.check] in {path} has no {key!r}\n'
            'note: it has `select` and `ignore`, both lists of ids\n'
            f'help: take {key!r} out'
        )
    chosen = {
        'select': _ids(table.get('select', []) if select is None else select, path),
        'ignore': _ids(table.get('ignore', []) if ignore is None else ignore, path),
    }
    return Choice(**chosen)


def _ids(values: object, path: Path | None) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise Refusal(
            f'{values!r} is no list of ids\n'
            f'note: [tool.piker-new.check] in {path}\n'
            "help: write select = ['PK1', 'PK401']"
        )
    ids = tuple(filter(None, (str(it).strip() for it in values)))
    for id in ids:
        if not any(rule.id.startswith(id) for rule in RULES) and not (
            id.startswith(LINTERS) or LINTERS.startswith(id)
        ):
            raise Refusal(
                f'there is no rule {id!r}\n'
                'note: an id, or what ids begin with: PK401, PK4, ASYNC\n'
                'help: piker-new check --list'
            )
    return ids


def _read_table(
    places: Iterable[Path],
) -> tuple[dict[str, object], Path | None]:
    for place in places:
        for folder in (place, *place.resolve().parents):
            path = folder / 'pyproject.toml'
            if not path.is_file():
                continue
            try:
                tables = tomllib.loads(path.read_text(encoding='utf-8'))
            except (OSError, ValueError) as error:
                raise Refusal(
                    f"cannot read '{path}'\n"
                    f'note: {error}\n'
                    'help: mend it; it may say which rules are wanted'
                ) from None
            table = tables.get('tool', {}).get('piker-new', {}).get('check', {})
            if not isinstance(table, dict):
                raise Refusal(
                    f"[tool.piker-new.check] in '{path}' is no table\n"
                    f'note: it is {table!r}\n'
                    "help: write [tool.piker-new.check], then ignore = ['PK206']"
                )
            return table, path
        break
    return {}, None
