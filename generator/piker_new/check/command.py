"""The command `piker-new check`, without typer, which is slow to start."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..refusal import Refusal
from .config import read_choice
from .engine import check
from .find import find_backends
from .finding import Finding
from .formats import FORMATS, as_table, explain
from .linters import Linters


def mk_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'piker-new check',
        description='Check which rules of piker and tractor a backend keeps.',
        epilog='Exits with 1 where an error was found, with 2 for wrong use.',
    )
    parser.add_argument(
        'target',
        nargs='*',
        default=['.'],
        help='a package, a module (piker.brokers.kraken), or a folder of backends',
    )
    parser.add_argument('--select', metavar='IDS', help='only these: PK1,PK401')
    parser.add_argument('--ignore', metavar='IDS', help='all but these')
    parser.add_argument('--format', choices=FORMATS, default='text')
    parser.add_argument(
        '--boot',
        action='store_true',
        help='run the suite of a project as well, and print a scorecard',
    )
    parser.add_argument('--list', action='store_true', help='list the rules')
    parser.add_argument('--explain', metavar='ID', help='all about a rule')
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command; its exit status."""
    given = mk_parser().parse_args(arguments)
    try:
        if given.list:
            print(as_table(), end='')
            return 0
        if given.explain is not None:
            return _explain(given.explain)
        return _check(given)
    except Refusal as refusal:
        print('error:', refusal, file=sys.stderr)
        return refusal.status


def _explain(id: str) -> int:
    text = explain(id)
    if text is None:
        raise Refusal(
            f'there is no rule {id!r}\n'
            'note: an id is written like PK401\n'
            'help: piker-new check --list'
        )
    print(text, end='')
    return 0


def _check(given: argparse.Namespace) -> int:
    backends = find_backends(given.target)
    choice = read_choice(
        [it.root for it in backends],
        given.select.split(',') if given.select is not None else None,
        given.ignore.split(',') if given.ignore is not None else None,
    )
    if given.boot:
        from .boot import boot, find_project

        for backend in backends:
            find_project(backend)  # or it would be refused when much is done
    found: list[Finding] = []
    notes: list[str] = []
    if choice.linters:
        modules = (module for it in backends for module in it.modules.values())
        with Linters(module.path for module in modules) as linters:
            found += check(backends, choice.rules)
            found += (it for it in linters.read() if it.id in choice)
            notes += linters.notes
    else:
        found += check(backends, choice.rules)
    found.sort()
    print(FORMATS[given.format](found), end='')
    if given.format == 'text':
        if found:
            print()
        for note in notes:
            print('note:', note)
        print(_summary(found, len(backends)))
    failed = any(it.level == 'error' for it in found)
    if given.boot:
        for backend in backends:
            card = boot(backend, found)
            print('', *card.lines, sep='\n')
            failed = failed or card.failed > 0
    return int(failed)


def _summary(found: list[Finding], backends: int) -> str:
    errors = sum(it.level == 'error' for it in found)
    counts = [
        f'{count} {word}{"" if count == 1 else "s"}'
        for count, word in (
            (errors, 'error'),
            (len(found) - errors, 'warning'),
            (backends, 'backend'),
        )
    ]
    return f'{counts[0]}, {counts[1]} in {counts[2]}'
