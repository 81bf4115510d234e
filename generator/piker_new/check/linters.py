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

_RUFF = [
    'check', '--isolated', '--no-cache', '--select=ASYNC', '--output-format=json',
    '--exit-zero', '--',
]  # fmt: skip

# Left out of flake8-async: what is seen here as well (103, 104), what is about its own
# options (114), what takes piker's `acm` for no context manager (101, 119), and what is
# often meant like that: to await something when an error was caught (120), to be async
# because the host awaits it (124), and to use the httpx that piker has, since what
# followed it needs a trio that no release of tractor takes (127).
_FLAKE8_ASYNC = [
    '--enable=ASYNC1,ASYNC2',
    '--disable=ASYNC101,ASYNC103,ASYNC104,ASYNC114,ASYNC119,ASYNC120,ASYNC124,ASYNC127',
]
_COMMANDS = {'ruff': _RUFF, 'flake8-async': _FLAKE8_ASYNC}
_LINE = re.compile(r'(.+?):(\d+):(\d+):? (ASYNC\d+):? (.*)')


class Linters:
    """They run while the rules do: entered to start them, read for what they found."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._paths = [os.path.relpath(path) for path in files]
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._stack = ExitStack()
        self.notes: list[str] = []
        """Why one of them has not found anything."""

    def __enter__(self) -> Linters:
        for name, arguments in _COMMANDS.items():
            if command := _find(name):
                process = subprocess.Popen(
                    [command, *arguments, *self._paths],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                self._running[name] = self._stack.enter_context(process)
            else:
                self.notes.append(f'{name} is not installed; its rules were not run')
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
            found = [*(_from_ruff(out) if name == 'ruff' else _from_flake8(out))]
            if process.returncode and not found:
                self.notes.append(f'{name} failed; run it by itself to see why')
            for finding in found:
                key = finding.place.path, finding.place.line, finding.id
                if key not in seen:
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
