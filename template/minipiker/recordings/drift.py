"""
Whether a venue still says what the backend takes it to say.

Recordings of it are held against what the backend makes of messages, and against what
the simulator says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import msgspec

from simvenue.recording import Event, encode

from ..brokers import BrokerError
from ..calls import find_replies
from .shape import Shape, kind_of, shapes_of, split


class Finding(msgspec.Struct, frozen=True):
    """
    Something that is not as it was.
    """

    kind: str
    """Of the message."""
    path: str
    """To what it is about, in the message."""
    what: str
    """breaks, unexpected, unknown, new, missing, null, type or word."""
    details: str = ''


class _Deaf:
    """
    A connection, for who answers on it.
    """

    def post(self, *_: object) -> None: ...


def find_breaks(mod: ModuleType, events: Iterable[Event]) -> Iterator[Finding]:
    """
    Where the backend cannot read a message.
    """

    def part(name: str) -> Any:
        return import_module(f'{mod.__name__}.{name}')

    connection, replies = part('_connection'), find_replies()
    unexpected = part('_errors').Unexpected
    client = part('api').Client()
    for event in events:
        if not (kind := kind_of(event)) or event.status not in (0, 200):
            continue
        data = encode(event.message)
        try:
            if event.method:
                raw = connection.read_reply(client, event.method, data, event.over)
                if type_ := replies.get(event.method):
                    msgspec.json.decode(raw, type=type_)
            elif news := connection.read_news(client, data):
                client.on_notification(_Deaf(), *news)
        except unexpected:
            yield Finding(kind, '', 'unexpected', 'nobody has a use for it')
        except BrokerError:
            pass  # a refusal
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as err:
            reason, _, path = str(err).partition(' - at `$')
            yield Finding(kind, path.rstrip('`'), 'breaks', reason)


def find_differences(
    expected: dict[str, Shape], found: dict[str, Shape]
) -> Iterator[Finding]:
    """
    Where the messages of a kind look otherwise than expected.
    """
    for kind, new in sorted(found.items()):
        if (old := expected.get(kind)) is None:
            yield Finding(kind, '', 'unknown', 'the simulator says no such thing')
            continue
        for path in sorted(old.seen.keys() | new.seen.keys()):
            for what, details in _compare(old, new, path):
                yield Finding(kind, path, what, details)


def _compare(old: Shape, new: Shape, path: str) -> Iterator[tuple[str, str]]:
    parent, is_field = split(path)
    if path not in old.seen:
        if parent in old.seen:
            yield 'new', ' or '.join(sorted(new.types[path]))
        return
    if is_field and old.is_always(path) and not new.is_always(path):
        yield 'missing', 'somewhere' if path in new.seen else 'everywhere'
    types = new.types.get(path, set()) - old.types[path]
    if 'null' in types:
        yield 'null', f'and not {" or ".join(sorted(old.types[path]))}'
    if others := types - {'null'}:
        was = ' or '.join(sorted(old.types[path]))
        yield 'type', f'{" or ".join(sorted(others))}, and not {was}'
    if old.is_choice(path) and (unknown := _texts(new, path) - old.words[path]):
        yield 'word', ', '.join(sorted(unknown))


def _texts(shape: Shape, path: str) -> set[str]:
    return {it or 'something else' for it in shape.words.get(path, set())}


def find_drift(
    mod: ModuleType, expected: list[Event], events: list[Event]
) -> list[tuple[Finding, int]]:
    """
    What is found in `events`, where `expected` are the simulator's, and how often.
    """
    found = Counter(find_breaks(mod, events))
    found.update(find_differences(shapes_of(expected), shapes_of(events)))
    return list(found.items())
