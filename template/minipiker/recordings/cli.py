"""
Recordings from the command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import to_builtins
from rich.table import Table

from simvenue.recording import Event, Recording, RecordingError, check_place

from .._session import VenueOption
from .._terminal import cell, draw, fail, say
from ..brokers import __brokers__, get_brokermod
from ..service._registry import find_registry

app = typer.Typer()

(_broker,) = __brokers__


def listen(what: str, value: str) -> None:
    """
    Have the connections of the daemons that are started from here on recorded, or
    shown.
    """
    if find_registry():
        fail('a pikerd is running already, and nobody listens to it; end it first')
    os.environ[f'{_broker.upper()}_{what}'] = value


@app.command(
    context_settings={'ignore_unknown_options': True}, options_metavar='[--venue URL]'
)
def record(
    file: Annotated[Path, typer.Argument(help='To be made')],
    command: Annotated[
        list[str] | None,
        typer.Argument(help='A command of this program; `pikerd` if there is none'),
    ] = None,
    venue: VenueOption = None,
) -> None:
    """
    Run a command, and record all that goes over the backend's connections meanwhile.

    What is configured as a secret is not in the file, nor what the venue's API has of
    that kind.
    """
    from ..cli import app

    try:
        check_place(file)
    except RecordingError as err:
        fail(err)
    listen('RECORD', str(file.absolute()))
    args = command or ['pikerd']
    app(args if venue is None else [*args, '--venue', venue])


@app.command()
def trim(
    file: Annotated[Path, typer.Argument(help='A recording')],
    into: Annotated[
        Path | None, typer.Option(help='Where to put it; by default in its place')
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help='Messages of each stream')] = 20,
) -> None:
    """
    Make a recording smaller, and no poorer: what repeats itself is left out.
    """
    from .trim import trim

    recording = _read(file)
    smaller = trim(recording, keep)
    into = into or file
    before = file.stat().st_size
    try:
        smaller.write(into)
    except RecordingError as err:
        fail(err)
    say(
        f'{into}: {len(smaller.events)} of {len(recording.events)} events, '
        f'{into.stat().st_size} of {before} bytes'
    )


@app.command()
def drift(
    files: Annotated[list[Path], typer.Argument(help='Recordings of the venue')],
    against: Annotated[
        list[Path] | None,
        typer.Option(help="The simulator's; by default those in recordings/"),
    ] = None,
    json: Annotated[bool, typer.Option('--json', help='For programs.')] = False,
) -> None:
    """
    Compare what the venue says with what the backend and the simulator take for
    granted. The exit status is 1 where the backend would break.
    """
    from .drift import find_drift

    folder = Path(__file__).parents[2] / 'recordings'
    expected = _read_all(against or folder.glob('*.jsonl'))
    events = _read_all(files)
    found = find_drift(get_brokermod(_broker), expected, events)
    if json:
        rows = [{**to_builtins(it), 'count': count} for it, count in found]
        say(msgspec.json.encode(rows).decode())
    elif found:
        table = Table()
        for column in ('message', 'field', 'what', 'details', 'times'):
            table.add_column(column, overflow='fold')
        for it, count in found:
            style = 'red' if it.what == 'breaks' else ''
            row = (it.kind, it.path, it.what, it.details, count)
            table.add_row(*(cell(value, style) for value in row))
        draw(table)
    else:
        say(f'{len(events)} events, and nothing is new')
    raise SystemExit(any(it.what == 'breaks' for it, _ in found))


def _read_all(paths: Iterable[Path]) -> list[Event]:
    return [event for path in paths for event in _read(path).events]


def _read(path: Path) -> Recording:
    try:
        recording = Recording.read(path)
    except RecordingError as err:
        fail(err)
    if recording.torn:
        print(f'{path}: its last line is torn, and left out', file=sys.stderr)
    return recording
