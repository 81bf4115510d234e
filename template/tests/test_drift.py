"""
What a venue says is held against what the backend takes for granted.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import minipiker.calls as counted
from minipiker.calls import Call, find_calls, find_replies, name_of
from minipiker.recordings.cli import drift
from minipiker.recordings.drift import (
    Finding,
    find_breaks,
    find_differences,
    find_drift,
)
from minipiker.recordings.shape import fields_of, kind_of, shapes_of, split, walk
from minipiker.recordings.trim import trim
from simvenue.dialect import replay as words
from simvenue.recording import Event, Recording

_folder: Path = Path(__file__).parents[1] / 'recordings'


@cache
def example() -> list[Event]:
    return [
        event
        for path in sorted(_folder.glob('*.jsonl'))
        for event in Recording.read(path).events
    ]


def places(value: Any, wanted: str, path: str = '') -> Iterator[tuple[Any, Any]]:
    """
    Where in a message the path is: what it is in, and under which key.
    """
    stack: list[tuple[Any, str, bool]] = [(value, '', False)]
    while stack:
        it, path, in_row = stack.pop()
        match it:
            case dict():
                fields = fields_of(it)
                inside = [(key, f'{path}.{fields[key]}', False) for key in it]
            case list():
                is_row = in_row and not any(isinstance(x, dict | list) for x in it)
                inside = [
                    (at, f'{path}[{at if is_row else ""}]', True)
                    for at in range(len(it))
                ]
            case _:
                continue
        for key, sub, rows in inside:
            if sub == wanted:
                yield it, key
            stack.append((it[key], sub, rows))


@cache
def messages_with() -> dict[tuple[str, str], Event]:
    """
    The smallest message of a kind that has a path.
    """
    found: dict[tuple[str, str], Event] = {}
    for event in sorted(
        example(), key=lambda it: len(json.dumps(it.message, default=str))
    ):
        if kind := kind_of(event):
            for path, _ in walk(event.message):
                found.setdefault((kind, path), event)
    return found


def mutate(kind: str, path: str, how: str) -> Event:
    """
    A message of the example, where that field is otherwise.
    """
    event = copy.deepcopy(messages_with()[kind, path])
    holder, key = next(places(event.message, path))
    match how:
        case 'missing':
            del holder[key]
        case 'null':
            holder[key] = None
        case 'type':
            holder[key] = True if not isinstance(holder[key], bool) else 'true'
        case 'word':
            holder[key] = 'never_seen'
    return event


def mutations() -> Iterator[tuple[str, str, str]]:
    for kind, shape in shapes_of(example()).items():
        for path in shape.seen:
            if not path:
                continue
            is_field = split(path)[1]
            if is_field and shape.is_always(path):
                yield kind, path, 'missing'
            if 'null' not in shape.types[path]:
                yield kind, path, 'null'
            yield kind, path, 'type'
            if shape.is_choice(path):
                yield kind, path, 'word'


def test_each_change_is_found(mod: ModuleType) -> None:
    expected = shapes_of(example())
    count = 0
    for kind, path, how in mutations():
        event = mutate(kind, path, how)
        found = [*find_differences(expected, shapes_of([event]))]
        if kind_of(event) == kind:
            assert any((it.path, it.what) == (path, how) for it in found), (kind, path)
        assert found
        count += 1
    assert count > 200


def test_nothing_is_found_where_all_is_as_it_was(mod: ModuleType) -> None:
    assert find_drift(mod, example(), example()) == []


def test_a_new_field_is_found(mod: ModuleType) -> None:
    events = copy.deepcopy(example())
    event = next(it for it in events if kind_of(it).startswith('channel'))
    event.message['quite_new'] = 1
    ((finding, count),) = find_drift(mod, example(), events)
    assert finding == Finding(kind_of(event), '.quite_new', 'new', 'number')
    assert count == 1


def test_capitals_are_data_or_fields_of_a_single_letter() -> None:
    names = [*fields_of({'ABCXYZ9': 0, 'T': 0, '7': 0, 'last': 0}).values()]
    assert names == ['*', '*', '*', 'last']
    event = {'e': 'trade', 'E': 1, 'T': 2, 'BTC': 3}
    assert [*fields_of(event).values()] == ['e', 'E', 'T', '*']


def test_what_the_backend_cannot_read_breaks(mod: ModuleType) -> None:
    """
    Of each kind whose messages have a type, there is a field that it cannot do without.
    """
    broken = {
        finding.kind
        for kind, path, how in mutations()
        if how == 'type' and kind.startswith(('reply', 'channel'))
        for finding in find_breaks(mod, [mutate(kind, path, how)])
    }
    kinds = {kind_of(it) for it in example() if it.method}
    types = find_replies()
    replies = {it for it in kinds if it.removeprefix('reply to ') in types}
    assert len(replies) > 5
    assert replies <= broken


def test_all_that_the_api_asks_is_in_the_recordings() -> None:
    asked = {it.method for it in example() if it.is_asked}
    # nobody waits to be unsubscribed as all ends
    calls = [it for it in find_calls() if not it.where.endswith('.unsubscribe')]
    assert len(calls) > 1
    missing = [
        name_of(it)
        for it in calls
        if not any(it.fits(it.where, method) for method in asked)
    ]
    assert missing == []


def test_a_call_may_be_of_several_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str
) -> None:
    def find() -> list[Call]:
        return [Call('api.place', 'POST order'), Call('api.greet', 'time')]

    monkeypatch.setattr(counted, 'find_calls', find)
    # which is set anew, and is to be then what it was
    monkeypatch.setenv(f'CALLS_OF_{broker.upper()}', '')
    calls = counted.Calls(path := tmp_path / 'calls')
    path.write_text('call POST order api.place\ncall time api.greet\n')
    counts = calls.read()
    assert counts['api.place: POST order'] == counts['api.greet: time'] == 1


def test_a_late_reply_is_no_news(mod: ModuleType) -> None:
    event = Event(time=1.0, actor='a', over='ws', way='received', message={words.ID: 0})
    assert [*find_breaks(mod, [event])] == []


def test_each_call_says_what_its_reply_is() -> None:
    replies = find_replies()
    calls = find_calls()
    unread = [
        name_of(it)
        for it in calls
        if not any(it.fits(it.where, method) for method in replies)
    ]
    assert unread == []
    assert len(replies) > 3


def test_names_of_methods_are_made_of_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'api.py').write_text(_api)
    monkeypatch.syspath_prepend(tmp_path.parent)
    package = import_module(tmp_path.name)
    monkeypatch.setattr(counted, 'get_brokermod', lambda _: package)
    assert find_replies.__wrapped__() == {
        'do/buy': float,
        'do/sell': float,
        'list': list[int],
        'list/newest': list[int],
        'GET hour': int,
    }
    assert {it.method for it in find_calls()} == {'do/*', 'list*', '*', 'GET hour'}


_api = """
from typing import Literal

def place(session, side: Literal['buy', 'sell']):
    session.request_once(f'do/{side}', float, size=1)

def list_them(session, newest: bool):
    session.request(f'list{"/newest" if newest else ""}', list[int])

def ask(session, method: str):
    session.request(method, dict[str, object])

def greet(caller):
    partial(caller.call, 'GET hour', int)
"""


def test_a_trimmed_recording_says_the_same(mod: ModuleType) -> None:
    recording = Recording.read(next(_folder.glob('market.jsonl')))
    # a stream that goes on and on
    (last,) = [it for it in recording.events if it.is_unasked][-1:]
    long = Recording(recording.header, [*recording.events, *[last] * 500])
    smaller = trim(long)
    assert len(smaller.events) <= len(recording.events) + 20
    assert find_drift(mod, smaller.events, long.events) == []
    methods = {it.method for it in long.events if it.is_asked}
    assert {it.method for it in smaller.events if it.is_asked} == methods


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'broken.jsonl'
    recording = Recording.read(_folder / 'market.jsonl')
    with pytest.raises(SystemExit) as status:
        drift([_folder / 'market.jsonl'], None, False)
    assert status.value.code == 0
    assert 'nothing is new' in capsys.readouterr().out
    event = next(it for it in recording.events if kind_of(it).startswith('reply'))
    event.message = {}
    recording.write(path)
    with pytest.raises(SystemExit) as status:
        drift([path], None, True)
    assert status.value.code == 1
    rows = json.loads(capsys.readouterr().out)
    assert {'breaks'} <= {row['what'] for row in rows}
