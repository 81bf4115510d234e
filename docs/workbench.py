"""Draw the workbench of generated projects: `uv run python docs/workbench.py`.

From real runs. A venue's picture comes into the projects that are made for it, from
`parts/*/workbench.svg`.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from piker_new.questions import questions

ROOT = Path(__file__).parents[1]
SEARCHES = {'deribit': '"btc perp"', 'kraken': '"btc usd"'}
COLUMNS, LINES = 80, 16

REDRAWN = re.compile(r'(?:\r?\x1b\[2K(?:\x1b\[1A)?)+|\x1b\[\?25[hl]')
"""What stands between two states of a table that is updated in place."""


def main() -> None:
    for protocol, venue in zip(questions()['protocol'].choices, SEARCHES, strict=True):
        with TemporaryDirectory() as folder:
            project = Path(folder, f'{venue}2')
            make = [sys.executable, '-m', 'piker_new', 'backend', project.name]
            subprocess.run(
                [*make, str(project), '--protocol', protocol],
                check=True,
                stdout=sys.stderr,
            )
            picture = draw(project, SEARCHES[venue])
        (ROOT / 'parts' / venue / 'workbench.svg').write_text(picture)


def draw(project: Path, search: str) -> str:
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for command in (f'search {search}', 'quotes btcusd ethusd', 'history btcusd'):
        console.print(Text(f'$ uv run -m minipiker {command}', 'bold'))
        shown = ''.join(screen(project, command)).replace('\r\n', '\n')
        frames = [it for it in REDRAWN.split(shown) if it.strip()]
        console.print(Text.from_ansi(frames[-1]))
    picture = console.export_svg(title=project.name)
    picture = re.sub(r'@font-face \{.*?\}\s*', '', picture, flags=re.DOTALL)
    return re.sub(r'\s*\n', '\n', picture)


def screen(project: Path, command: str) -> Iterator[str]:
    """What a command of the workbench shows on a terminal; Ctrl-C after a while."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (LINES, COLUMNS))
    with subprocess.Popen(
        ['sh', '-c', f'exec uv run -q -m minipiker {command}'],
        cwd=project,
        env={**os.environ, 'TERM': 'xterm-256color', 'XDG_CONFIG_HOME': str(project)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        with suppress(OSError):  # its end
            while shown := os.read(ours, 65_536).decode(errors='replace'):
                yield shown
                if re.search(r'\b2\d\d quotes', shown):
                    os.killpg(process.pid, signal.SIGINT)
    os.close(ours)


main()
