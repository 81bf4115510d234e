"""
What goes over the connections to the venue, for those who want to see it: a recording,
and the log.

A recording is a file of JSON lines: a header, and then the messages of all of this
backend's daemons, each as it is sent or received. See `_redaction.py` for what is not
in it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec
import tractor

from ._config import NAME, get_recording, get_secrets, wants_wire
from ._piker import get_logger
from ._redaction import Redactor

log = get_logger(f'{NAME}.wire')

FORMAT: int = 1
"""Of recordings."""

_numbers = count(1)
_waiting: int = 1000
"""Requests whose replies are waited for."""
_headers = {'content-type', 'date', 'retry-after'}
"""Of replies, the headers that say something."""

Listener = Callable[[dict[str, Any]], None]


class Asked(Protocol):
    """
    A request by HTTP.
    """

    @property
    def verb(self) -> str: ...

    @property
    def path(self) -> str:
        """With the query."""

    @property
    def headers(self) -> dict[str, str]: ...

    @property
    def body(self) -> str: ...


class Tap:
    """
    One connection's: tells listeners what is sent and received.
    """

    def __init__(
        self,
        url: str,
        over: str,
        redactor: Redactor,
        listeners: list[Listener],
        id_field: str = '',
    ) -> None:
        self._redactor = redactor
        self._listeners = listeners
        self._id_field = id_field
        self._since: dict[object, tuple[str, float]] = {}
        actor = tractor.current_actor(err_on_no_runtime=False)
        self._fixed = {
            'actor': actor.name if actor else 'none',
            'conn': f'{os.getpid()}.{next(_numbers)}',
            'over': over,
        }
        self._tell('opened', path=urlsplit(url).path)

    def sent(self, message: str | bytes, method: str = '') -> None:
        """
        On a socket.
        """
        content = read_json(message)
        if isinstance(content, dict) and self._id_field in content:
            self._await(content[self._id_field], method)
        self._tell('sent', method=method, message=content)

    def received(self, message: str | bytes) -> None:
        content = read_json(message)
        told: dict[str, Any] = {}
        if isinstance(content, dict):
            told = self._answered(content.get(self._id_field))
        self._tell('received', **told, message=content)

    def asked(self, method: str, request: Asked) -> int:
        """
        By HTTP. Returns the number of the request.
        """
        number = next(_numbers)
        self._await(number, method)
        parts = urlsplit(request.path)
        message: dict[str, Any] = {'verb': request.verb, 'path': parts.path}
        if parts.query:
            message['query'] = read_query(parts.query)
        message['headers'] = request.headers
        if request.body:
            body = read_json(request.body)
            message['body'] = read_query(body) if isinstance(body, str) else body
        self._tell('sent', method=method, request=number, message=message)
        return number

    def replied(
        self, number: int, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """
        By HTTP, to the request of that number.
        """
        self._tell(
            'received',
            **self._answered(number),
            request=number,
            status=status,
            headers={it: headers[it] for it in headers if it.lower() in _headers},
            message=read_json(body),
        )

    def closed(self) -> None:
        self._tell('closed')

    def _await(self, number: object, method: str) -> None:
        self._since[number] = method, time.monotonic()
        if len(self._since) > _waiting:
            del self._since[next(iter(self._since))]

    def _answered(self, number: object) -> dict[str, Any]:
        if not isinstance(number, int | str) or number not in self._since:
            return {}
        method, since = self._since[number]
        return {'method': method, 'took': round(time.monotonic() - since, 6)}

    def _tell(self, way: str, **event: Any) -> None:
        told = {'time': time.time(), **self._fixed, 'way': way}
        told |= self._redactor.clean(event)
        for listener in self._listeners:
            listener(told)


# numbers keep the digits that they were written with, of which there may be a checksum
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format='number').encode


def read_json(message: str | bytes) -> Any:
    """
    The content; of what is no JSON, the text.
    """
    try:
        return _decode(message)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return message if isinstance(message, str) else message.decode(errors='replace')


def read_query(text: str) -> Any:
    """
    The parameters in it; of what has none, the text.
    """
    return dict(parse_qsl(text, keep_blank_values=True)) or text


def open_tap(
    url: str,
    protocol: str,
    over: str,
    secrets: frozenset[str],
    id_field: str = '',
) -> Tap | None:
    """
    A tap for a new connection, if anybody listens. Secret are the values of the fields
    and headers that are named so.
    """
    listeners: list[Listener] = []
    if path := get_recording():
        listeners.append(_open_recorder(path, url, protocol).write)
    if wants_wire():
        log.setLevel('DEBUG')
    if log.isEnabledFor(logging.DEBUG):
        listeners.append(_show)
    if not listeners:
        return None
    return Tap(url, over, get_redactor(secrets), listeners, id_field)


def get_redactor(secrets: frozenset[str]) -> Redactor:
    """
    One for all connections: what is a secret on one of them is so on the others.
    """
    return _mk_redactor(tuple(get_secrets().items()), secrets)


@lru_cache(maxsize=8)
def _mk_redactor(
    known: tuple[tuple[str, str], ...], fields: frozenset[str]
) -> Redactor:
    return Redactor(dict(known), fields)


class Recorder:
    """
    Appends to a file that others append to as well, a whole line at a time.
    """

    def __init__(self, path: str, url: str, protocol: str) -> None:
        self._path = path
        header = {
            'recording': FORMAT,
            'backend': NAME,
            'protocol': protocol,
            'venue': urlsplit(url).hostname or '',
            'date': datetime.now(UTC).isoformat(timespec='seconds'),
        }
        self._file: int | None = None
        try:
            _create(Path(path), mk_line(header))
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as err:
            self._fail(err)

    def write(self, event: dict[str, Any]) -> None:
        if self._file is None:
            return
        line = mk_line(event)
        try:
            # in one call, or the lines of two daemons might mix
            if os.write(self._file, line) != len(line):
                raise OSError('the disk is full')
        except OSError as err:
            self.close()
            self._fail(err)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _fail(self, err: OSError) -> None:
        # what is recorded matters less than what goes on
        log.error('%s is not written any more: %s', self._path, err.strerror or err)


_open_recorder = lru_cache(maxsize=8)(Recorder)
"""One for all connections."""


def mk_line(event: dict[str, Any]) -> bytes:
    return _encode(event) + b'\n'


def _create(path: Path, first: bytes) -> None:
    """
    Make the file with its first line, unless it is there: nobody ever sees it without.
    """
    if path.exists():
        return
    aside = path.with_name(f'.{path.name}.{os.getpid()}')
    with open(aside, 'wb', opener=partial(os.open, mode=0o600)) as file:
        file.write(first)
    try:
        with suppress(FileExistsError):
            os.link(aside, path)
    finally:
        os.unlink(aside)


def _show(event: dict[str, Any]) -> None:
    """
    In the log, on a line.
    """
    match event['way']:
        case 'sent':
            what = f'-> {event["method"]}'
        case 'received':
            what = f'<- {event.get("method", "")}'
        case way:
            what = f'-- {way} {event.get("path", "")}'
    if 'took' in event:
        what += f' {1000 * event["took"]:.1f} ms'
    if 'status' in event:
        what += f' {event["status"]}'
    if 'message' in event:
        what += f' {shorten(event["message"])}'
    who = f'{event["actor"]} {event["conn"]}'
    log.debug('%s %s', who, what, extra={'one_line': True})


def describe(message: str | bytes, secrets: frozenset[str]) -> str:
    """
    What came, for the log.
    """
    return shorten(get_redactor(secrets).clean(read_json(message)))


def shorten(message: Any, length: int = 400) -> str:
    """
    It as a text of about that length, at most.
    """
    text = _encode(message).decode()
    return text if len(text) <= length else f'{text[:length]}...'
