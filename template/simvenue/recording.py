"""
What went over a backend's connections once: a file of JSON lines, a header and then an
event each.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct

_FORMAT = 1


class RecordingError(Exception):
    """
    A recording that cannot be read.
    """


class Header(Struct, kw_only=True):
    recording: int
    backend: str = ''
    protocol: str = ''
    venue: str = ''
    """Its host."""
    date: str = ''


class Event(Struct, kw_only=True, omit_defaults=True):
    """
    A message, sent by the backend or received by it; or a connection that was opened or
    closed.
    """

    time: float
    """Epoch s."""
    actor: str
    conn: str = ''
    over: str = ''
    """ws or http."""
    way: str
    """
    sent, received, opened or closed; or, in that of a suite, `test` for one that begins
    and `market` for the one that it runs on.
    """
    method: str = ''
    """As the backend calls what it asks for."""
    took: float = 0
    """Of a reply, seconds since the request."""
    request: int = 0
    """By HTTP, its number."""
    status: int = 0
    headers: dict[str, str] = {}
    path: str = ''
    """Of what is opened; of a test or a market, its name."""
    message: Any = UNSET

    @property
    def is_asked(self) -> bool:
        return self.way == 'sent'

    @property
    def is_unasked(self) -> bool:
        """
        Whether it came by itself.
        """
        return self.way == 'received' and not self.method


def check_place(path: Path) -> None:
    """
    Raise `RecordingError` where none can be made.
    """
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.unlink()
    except FileExistsError:
        raise RecordingError(
            f'{path} is there already: a recording is of one session'
        ) from None
    except OSError as err:
        raise RecordingError(f'{path}: {err.strerror}') from None


class Recording:
    """
    A file's header and events. Raises `RecordingError`.
    """

    def __init__(self, header: Header, events: Iterable[Event]) -> None:
        self.header = header
        self.events = list(events)
        self.torn = False
        """Whether the last line was not whole, as when the writer was killed."""

    @classmethod
    def read(cls, path: Path) -> Recording:
        try:
            first, *lines = path.read_bytes().splitlines(keepends=True) or [b'']
        except OSError as err:
            raise RecordingError(f'{path}: {err.strerror}') from None
        try:
            header = msgspec.json.decode(first, type=Header)
        except msgspec.MsgspecError:
            raise RecordingError(f'{path} is no recording') from None
        if header.recording != _FORMAT:
            raise RecordingError(
                f'{path} is of format {header.recording}, and not {_FORMAT}'
            )
        recording = cls(header, [])
        for number, line in enumerate(lines, 2):
            try:
                recording.events.append(_decode(line))
            except msgspec.MsgspecError as err:
                if line is lines[-1] and not line.endswith(b'\n'):
                    recording.torn = True
                    break
                raise RecordingError(f'{path}:{number}: {err}') from None
        return recording

    def write(self, path: Path) -> None:
        """
        Raises `RecordingError`.
        """
        lines = map(encode, [self.header, *self.events])
        try:
            path.write_bytes(b''.join(line + b'\n' for line in lines))
        except OSError as err:
            raise RecordingError(f'{path}: {err.strerror}') from None

    def named(self, way: str) -> dict[str, float]:
        """
        When what was called so came first: `test`s, or `market`s.
        """
        found: dict[str, float] = {}
        for event in self.events:
            if event.way == way:
                found.setdefault(event.path, event.time)
        return found

    @property
    def start(self) -> float:
        return self.events[0].time if self.events else 0.0


# numbers keep their digits, of which there may be a checksum
_decode = msgspec.json.Decoder(Event, float_hook=Decimal).decode
encode = msgspec.json.Encoder(decimal_format='number').encode
