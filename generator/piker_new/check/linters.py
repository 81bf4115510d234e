"""ruff and flake8-async, whose rules on async code are not written again here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from .finding import Finding, Place

_COMMANDS = {
    'ruff': [
        'check', '--isolated', '--no-cache', '--select=ASYNC', '--output-format=json',
        '--exit-zero',
    ],
    'flake8-async': ['--enable=ASYNC1,ASYNC2'],
}  # fmt: skip
_LINE = re.compile(r'(.+?):(\d+):(\d+):? (ASYNC\d+):? (.*)')

# Of flake8-async, and here seen as well: a broad `except` that swallows Cancelled.
_OURS = {'ASYNC103', 'ASYNC104'}


class Linters:
    """They run while the rules do: entered to start them, read for what they found."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = [os.path.relpath(path) for path in paths]
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._stack = ExitStack()
        self.missing: list[str] = []

    def __enter__(self) -> Linters:
        for name, arguments in _COMMANDS.items():
            if command := _find(name):
                process = subprocess.Popen(
                    [command, *arguments, '--', *self._paths]
                    if name == 'ruff'
                    else [command, *arguments, *self._paths],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                self._running[name] = self._stack.enter_context(process)
            else:
                self.missing.append(name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            for process in self._running.values():
                with suppress(ProcessLookupError):
                    process.kill()
        self._stack.close()

    def read(self) -> Iterator[Finding]:
        """What they found, a place and id once."""
        seen: set[tuple[str, int, str]] = set()
        for name, process in self._running.items():
            out, _ = process.communicate()
            for finding in _from_ruff(out) if name == 'ruff' else _from_flake8(out):
                key = finding.place.path, finding.place.line, finding.id
                if key not in seen and finding.id not in _OURS:
                    seen.add(key)
                    yield finding


def _find(name: str) -> str | None:
    """Beside this Python, or on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.is_file() else shutil.which(name)


def _from_ruff(out: str) -> Iterator[Finding]:
    try:
        rows = json.loads(out or '[]')
    except ValueError:
        return
    for row in rows:
        place = Place(
            os.path.relpath(row['filename']),
            row['location']['row'],
            row['location']['column'],
        )
        yield _finding(place, row['code'], row['message'], 'ruff', row.get('url') or '')


def _from_flake8(out: str) -> Iterator[Finding]:
    for line in out.splitlines():
        if match := _LINE.fullmatch(line):
            path, row, column, id, what = match.groups()
            place = Place(os.path.relpath(path), int(row), int(column))
            yield _finding(
                place, id, what, 'flake8-async', 'https://flake8-async.readthedocs.io'
            )


def _finding(place: Place, id: str, what: str, name: str, url: str) -> Finding:
    return Finding(place, id, what.rstrip('.'), f'{name} says so.', f'see {url}')
