"""
Making a recording smaller, and no poorer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from simvenue.dialect import replay as words
from simvenue.recording import Event, Recording
from simvenue.replay import meaning

from .shape import Shape, kind_of

_first: int = 3
"""Elements of a list that are kept, beside the last one."""
_least: int = 4
"""Characters of a word by which an element of a list is asked for."""


def trim(recording: Recording, keep: int = 20) -> Recording:
    """
    The same with less in it: of each stream the first `keep` messages, of requests that
    are alike the first few and the last one, and of long lists their ends. What shows
    anything new is kept, and what is asked for by name.
    """
    asked = {
        text
        for event in recording.events
        if event.is_asked
        for text in _texts(event.message)
        if len(text) >= _least
    }
    shapes: defaultdict[str, Shape] = defaultdict(Shape)
    seen: Counter[object] = Counter()
    kept: list[Event] = []
    dropped: set[tuple[str, object]] = set()
    total = Counter(_alike(it) for it in recording.events if it.is_asked)
    for event in recording.events:
        key = (event.conn, _number(event))
        if event.is_asked:
            alike = _alike(event)
            seen[alike] += 1
            if _first < seen[alike] < total[alike]:
                dropped.add(key)
                continue
        kind = kind_of(event)
        is_new = bool(kind) and shapes[kind].add(event.message)
        if event.is_unasked:
            stream = (event.conn, *words.channels(event.message))
            seen[stream] += 1
            if seen[stream] > keep and not is_new:
                continue
        elif event.way == 'received' and key in dropped:
            if not is_new:
                continue
            kept.append(next(it for it in recording.events if _key(it) == key))
        if event.method and event.message is not UNSET:
            event = replace(event, message=_shorten(event.message, asked, Shape()))
        kept.append(event)
    kept.sort(key=lambda it: it.time)
    return Recording(recording.header, kept)


def _key(event: Event) -> object:
    return (event.conn, _number(event)) if event.is_asked else None


def _number(event: Event) -> object:
    if event.request or not isinstance(event.message, dict):
        return event.request
    return event.message.get(words.ID)


def _alike(event: Event) -> object:
    return event.conn, meaning(event.message)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for it in value.values():
                yield from _texts(it)
        case list():
            for it in value:
                yield from _texts(it)
        case str():
            yield value


def _shorten(value: Any, asked: set[str], shape: Shape, in_list: bool = False) -> Any:
    match value:
        case dict() if len(value) > _first + 1 and all(
            not key[:1].islower() for key in value
        ):
            items = [[key, it] for key, it in value.items()]
            return {
                key: _shorten(it, asked, shape)
                for key, it in _ends(items, asked, shape)
            }
        case dict():
            return {key: _shorten(it, asked, shape) for key, it in value.items()}
        case list() if any(isinstance(it, dict | list) for it in value) or not in_list:
            kept = _ends(value, asked, shape)
            return [_shorten(it, asked, shape, in_list=True) for it in kept]
    return value  # or a row, which is whole


def _ends(rows: list[Any], asked: set[str], shape: Shape) -> list[Any]:
    last = len(rows) - 1
    unnamed = set(asked)
    kept: list[Any] = []
    for at, row in enumerate(rows):
        is_new = isinstance(row, dict | list) and shape.add(
            row[-1] if isinstance(row, list) and len(row) == 2 else row
        )
        named = unnamed.intersection(_texts(row))
        if at < _first or at == last or is_new or named:
            unnamed -= named  # the first one of a name will do
            kept.append(row)
    return kept
