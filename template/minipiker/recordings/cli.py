"""
Recordings from the command line.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .._session import VenueOption
from .._terminal import fail
from ..brokers import __brokers__
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
        file.touch(mode=0o600, exist_ok=False)
        file.unlink()
    except FileExistsError:
        fail(f'{file} is there already: a recording is of one session')
    except OSError as err:
        fail(f'{file}: {err.strerror}')
    listen('RECORD', str(file.absolute()))
    args = command or ['pikerd']
    app(args if venue is None else [*args, '--venue', venue])
