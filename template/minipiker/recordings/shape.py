"""
What messages look like: their fields, of what types, and the words in them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from msgspec import UNSET

from simvenue.dialect import replay as words
from simvenue.recording import Event

_word = re.compile(r'[a-z][a-z_ -]*')
"""What is one of few: no id, no price, no name of a market."""
_most: int = 30
"""Different words that one field may have."""


def kind_of(event: Event) -> str:
    """
    What sort of a message it is; nothing, if it is none of the venue's.
    """
    if event.way != 'received' or event.message is UNSET:
        return ''
    if event.method:
        is_refusal = words.refuses(event.message)
        return f'{"refusal of" if is_refusal else "reply to"} {event.method}'
    if channels := words.channels(event.message):
        return f'channel {words.kind(channels[0])}'
    return 'no channel'


class Shape:
    """
    Of messages of one kind. Keys that are data are all the same.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        """How often there was something at a path."""
        self.types: defaultdict[str, set[str]] = defaultdict(set)
        self.words: defaultdict[str, set[str]] = defaultdict(set)
        """The texts at a path, if all of them are words."""
        self.keys: defaultdict[str, set[frozenset[str]]] = defaultdict(set)
        """Which fields come together."""

    def add(self, message: Any) -> bool:
        """
        Returns whether there was anything new in it.
        """
        before = self._size()
        for path, value in walk(message):
            self.seen[path] += 1
            self.types[path].add(json_type(value))
            match value:
                case dict():
                    self.keys[path].add(frozenset(fields_of(value).values()))
                case str():
                    self._add_text(path, value)
        return self._size() != before

    def _add_text(self, path: str, text: str) -> None:
        if not _word.fullmatch(text) or len(self.words[path]) > _most:
            text = ''  # of no interest, from now on
        self.words[path].add(text)

    def is_choice(self, path: str) -> bool:
        """
        Whether what is said there is one of a few words.
        """
        found = self.words.get(path, set())
        return bool(found) and '' not in found

    def is_always(self, path: str) -> bool:
        """
        Whether no object lacks that field.
        """
        parent, _ = split(path)
        field = path[len(parent) + 1 :]
        return all(field in keys for keys in self.keys.get(parent, ()))

    def _size(self) -> int:
        choices = sum(len(it) for it in self.words.values() if '' not in it)
        return (
            sum(map(len, self.types.values()))
            + sum(map(len, self.keys.values()))
            + choices
        )


def split(path: str) -> tuple[str, bool]:
    """
    The path of what it is in, and whether it is a field there, and no element.
    """
    at = max(path.rfind('.'), path.rfind('['), 0)
    return path[:at], path[at : at + 1] == '.' and path[at + 1 :] != '*'


def fields_of(found: dict[str, Any]) -> dict[str, str]:
    """
    What the keys of an object stand for: those that begin with a capital or a digit are
    data. But some venues have fields of a single letter, which come in both cases.
    """
    names = {key for key in found if key[:1].islower() or key[:1] == '_'}
    if any(len(key) == 1 for key in names):
        names |= {key for key in found if len(key) == 1}
    return {key: key if key in names else '*' for key in found}


def walk(value: Any, path: str = '', in_row: bool = False) -> Iterator[tuple[str, Any]]:
    """
    The values in a message, each after what it is in, and their paths.
    """
    yield path, value
    match value:
        case dict():
            fields = fields_of(value)
            for key, it in value.items():
                yield from walk(it, f'{path}.{fields[key]}')
        case list():
            is_row = in_row and not any(isinstance(it, dict | list) for it in value)
            for at, it in enumerate(value):
                yield from walk(it, f'{path}[{at if is_row else ""}]', True)


def json_type(value: Any) -> str:
    match value:
        case None:
            return 'null'
        case bool():
            return 'boolean'
        case int() | float() | Decimal():
            return 'number'
        case str():
            return 'text'
        case list():
            return 'list'
    return 'object'


def shapes_of(events: list[Event]) -> dict[str, Shape]:
    """
    By the kinds of messages.
    """
    found: defaultdict[str, Shape] = defaultdict(Shape)
    for event in events:
        if kind := kind_of(event):
            found[kind].add(event.message)
    return dict(found)
