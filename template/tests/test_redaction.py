"""
What is secret is in no recording and in no log.
"""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from minipiker.recordings import testing
from minipiker.recordings.cli import record, trim
from minipiker.testing import (
    Market,
    OpenSimVenue,
    open_test_pikerd,
    run_minipiker,
    write_brokers_toml,
)

KEY, SECRET, PASSPHRASE = 'key-0f6b3c', 'c2VjcmV0LTkxZDRlNw==', 'it\'s "so" & so/é'
NUMBER, LABEL = 7_340_112_659, 'retirement-fund'
KNOWN = {
    KEY: 'api_key',
    SECRET: 'secret',
    PASSPHRASE: 'passphrase',
    str(NUMBER): 'account_number',
    LABEL: 'account',
}
FIELDS = frozenset({'token', 'X-Sign', 'result.id', 'nonce', 'address'})


def encodings(secret: str) -> Iterator[str]:
    yield from (secret, quote(secret, safe=''), quote_plus(secret))
    yield json.dumps(secret)[1:-1]
    for data in (secret.encode(), b'user:' + secret.encode(), b'!' + secret.encode()):
        yield from (data.hex(), data.hex().upper(), b64encode(data).decode())


@pytest.fixture
def redactor(mod: ModuleType) -> Any:
    return import_module(f'{mod.__name__}._redaction').Redactor(KNOWN, FIELDS)


def planted() -> Iterator[tuple[str, Any]]:
    """
    Messages with secrets of every kind, and what must not be left of each.
    """
    for secret in (KEY, SECRET, PASSPHRASE, LABEL):
        for text in encodings(secret):
            yield text, {'error': f'no such thing: {text}!', text: [text, {'a': text}]}
            yield text, f'<html>{text}</html>'
    yield str(NUMBER), {'user': NUMBER, 'text': f'user {NUMBER}'}
    for field in ('token', 'x-sign', 'NONCE', 'address'):
        yield 'bc1qxy2kgdyg', {field: 'bc1qxy2kgdyg', 'said': 'no bc1qxy2kgdyg here'}
    yield '90210443', {'result': [{'id': 90210443}]}
    yield 'jane.doe+x@example.org', {'said': 'mail to jane.doe+x@example.org, please'}
    yield 'jane%40example.org', 'mail=jane%40example.org'


def test_planted_secrets_are_gone(redactor: Any) -> None:
    for secret, message in planted():
        assert secret in json.dumps(message, ensure_ascii=False) or '"' in secret
        cleaned = redactor.clean(message)
        assert secret not in json.dumps(cleaned, ensure_ascii=False), message
        # in no part of an encoded form that says it
        if isinstance(message, str):
            assert len(cleaned) < len(message) + 30


def test_all_else_stays(redactor: Any) -> None:
    message = {
        'id': 17,
        'result': {'price': 60000.5, 'open': True, 'none': None, 'label': 'x-1'},
        'data': [1, 2, [3, 'ABC/DEF']],
    }
    assert redactor.clean(message) == message


def test_the_same_secret_has_the_same_placeholder(redactor: Any) -> None:
    first = redactor.clean({'token': 'abcdefgh', 'said': 'abcdefgh', 'x': KEY})
    assert first['token'] == first['said']
    assert first['token'].startswith('<token-')
    again = redactor.clean([f'a {KEY} z', {'token': 'abcdefgh'}, {'token': 'ijklmnop'}])
    assert again[0] == f'a {first["x"]} z'
    assert again[1]['token'] == first['token'] != again[2]['token']
    # another daemon, with the same credentials
    other = type(redactor)(KNOWN, FIELDS)
    assert other.clean({'token': 'abcdefgh'})['token'] == first['token']
    # and nobody else
    stranger = type(redactor)({}, FIELDS)
    assert stranger.clean({'token': 'abcdefgh'})['token'] != first['token']


def test_numbers_stay_numbers(redactor: Any) -> None:
    cleaned = redactor.clean({'result': {'id': 90210443}, 'nonce': 1.5, 'n': NUMBER})
    assert isinstance(cleaned['result']['id'], int)
    assert len(str(cleaned['result']['id'])) == 8
    assert isinstance(cleaned['nonce'], float)
    assert len(str(cleaned['n'])) == len(str(NUMBER))


def test_what_is_configured_is_known(
    mod: ModuleType, broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    monkeypatch.setenv(f'{broker.upper()}_API_KEY', KEY)
    write_brokers_toml(
        tmp_path / 'minipiker',
        url='ws://127.0.0.1',
        accounts={'main': 'mine', LABEL: 'other'},
        mine={'api_key': 'k', 'secret': SECRET, 'passphrase': PASSPHRASE},
        other={'number': NUMBER},
        limits={'silence': 20},
    )
    known = import_module(f'{mod.__name__}._config').get_secrets()
    assert known.keys() >= {*KNOWN, 'mine', 'other', 'k'}
    assert not known.keys() & {'main', '20', 'ws://127.0.0.1', ''}


def test_lines_are_whole_whoever_writes(mod: ModuleType, tmp_path: Path) -> None:
    path, count = tmp_path / 'session.jsonl', 300
    script = (
        f'from {mod.__name__}._tap import Recorder\n'
        f'recorder = Recorder({str(path)!r}, "http://a.example", "none")\n'
        f'for number in range({count}):\n'
        '    recorder.write({"number": number, "text": "x" * 10_000})\n'
    )
    writers = [subprocess.Popen([sys.executable, '-c', script]) for _ in range(2)]
    assert [it.wait() for it in writers] == [0, 0]
    header, *lines = map(json.loads, path.read_text().splitlines())
    assert header['recording'] == 1
    assert header['venue'] == 'a.example'
    numbers = sorted(it['number'] for it in lines)
    assert numbers == sorted([*range(count)] * 2)
    assert path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('path', ['/nowhere/session.jsonl', '/dev/full'])
def test_what_cannot_be_written_stops_nobody(
    path: str, mod: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = import_module(f'{mod.__name__}._tap').Recorder(path, '', 'none')
    for _ in range(2):
        recorder.write({})
    (record,) = {id(it): it for it in caplog.records}.values()
    assert 'is not written any more' in record.getMessage()


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


async def test_a_session_is_recorded(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broker: str,
    mod: ModuleType,
) -> None:
    path = tmp_path / 'session.jsonl'
    monkeypatch.setenv(f'{broker.upper()}_RECORD', str(path))
    async with open_simvenue(rate=0) as venue:
        monkeypatch.setenv(f'{broker.upper()}_URL', venue.url)
        async with open_test_pikerd(tmp_path / 'conf'), mod.get_client() as client:
            await client.get_assets(reload=True)
    found = events(path)
    opened = {it['conn'] for it in found if it['way'] == 'opened'}
    assert {it['conn'] for it in found if it['way'] == 'closed'} == opened
    asked = [it for it in found if it['way'] == 'sent' and it['method']]
    answered = [it for it in found if 'took' in it]
    assert len(asked) == len(answered) >= 2
    assert all(it['took'] < 60 for it in answered)
    assert {it['actor'] for it in found} == {'pikerd'}


@pytest.mark.usefixtures('open_simvenue')
def test_record_and_wire(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str
) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    path = tmp_path / 'session.jsonl'
    done = run_minipiker('--wire', 'record', str(path), 'search', market.mkt.bs_fqme)
    assert done.returncode == 0, done.stderr
    assert market.fqme in done.stdout.split()
    lines = done.stderr.splitlines()
    assert len(lines) == len(events(path)) > 5
    for event, line in zip(events(path), lines, strict=True):
        assert line.split()[1:3] == [f'datad.{broker}', event['conn']]
        assert len(line) < 600
        assert (' ms ' in line) == ('took' in event)


@pytest.mark.usefixtures('shared_pikerd')
def test_refuses_to_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'session.jsonl'
    with pytest.raises(SystemExit):
        record(path, ['search', 'btc'])
    assert 'running already' in capsys.readouterr().err
    assert not path.exists()
    path.touch()
    with pytest.raises(SystemExit):
        record(path, ['search', 'btc'])
    assert 'is there already' in capsys.readouterr().err


def test_where_none_can_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Who asks for a recording is told before, and not left without one after an hour.
    """
    path = tmp_path / 'nowhere' / 'session.jsonl'
    market = Path(__file__).parents[1] / 'recordings' / 'market.jsonl'
    for make in (partial(record, path, ['search']), partial(trim, market, path)):
        with pytest.raises(SystemExit):
            make()
        assert capsys.readouterr().err == f'error: {path}: No such file or directory\n'
    options = {'record': path}
    config: Any = SimpleNamespace(getoption=lambda name: options.get(name.strip('-')))
    with pytest.raises(pytest.UsageError, match='No such file or directory'):
        testing.pytest_cmdline_main(config)
