"""
How far the backend is: what was proved, on which kind of venue, when; and what was not.

Nothing here is taken on trust. Which test proves what is asked of the suite as it is
now, and how the test ended is what pytest's cache has kept.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, structs
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from . import proof
from ._case import Case
from ._terminal import cell, draw, fail, say
from .brokers import __brokers__, get_brokermod
from .calls import find_calls, find_channels, name_of
from .cases import CASES
from .data.validate import _eps

(_broker,) = __brokers__

_root = Path(__file__).parents[1]
_live = ('venue', 'trade', 'fill')

Cell = tuple[str, float]
"""
How something stands on a kind of venue: `passed`, `stale` (the backend was changed
since), `failed`, `never`, or '' where it is not for that kind. And since when, epoch s.
"""


class Line(Struct):
    """
    A claim, and what proves it.
    """

    name: str
    claim: str
    cases: list[str]
    tests: list[str]
    needs: list[str]
    on: dict[str, Cell]

    @property
    def is_red(self) -> bool:
        """
        It is claimed, and not proved as far as it can be without a real venue.
        """
        return self.on['simulator'][0] not in ('passed', 'stale')


class Page(Struct):
    """
    All that there is to say.
    """

    backend: str
    cases: list[Line]
    endpoints: list[Line]
    traits: list[Line]
    calls: dict[str, dict[str, int]]
    """How often each was answered, by the kind of venue."""
    todos: list[str]
    other_tests: dict[str, int]
    """Those that prove none of this, by how they stand."""

    @property
    def red(self) -> list[str]:
        lines = [*self.endpoints, *self.traits, *self.cases]
        return [line.name for line in lines if line.is_red]


class _Collected:
    """
    A plugin that sees what is collected.
    """

    def __init__(self) -> None:
        self.proofs: list[proof.Proof] = []
        self.outcomes: dict[str, Any] = {}
        self.calls: dict[str, Any] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.proofs = proof.proofs_of(session.items)
        self.outcomes, self.calls = proof.load(session.config)


def collect() -> _Collected:
    found, output = _Collected(), io.StringIO()
    args = ['--collect-only', '-qq', '-n0', f'--rootdir={_root}', str(_root / 'tests')]
    with redirect_stdout(output):
        status = pytest.main([*args, '-c', str(_root / 'pyproject.toml')], [found])
    if status or not found.proofs:
        fail(f'the tests cannot be collected: {output.getvalue().strip()[-2000:]}')
    return found


def stand(
    test: proof.Proof, kind: str, outcomes: dict[str, Any], edited: float
) -> Cell:
    """
    How a test stands on a kind of venue.
    """
    if kind != 'simulator' and test.needs not in _live:
        return '', 0.0
    kept = outcomes.get(test.test, {}).get(kind)
    if not kept:
        return 'never', 0.0
    since = kept['passed'] or 0.0
    if kept['outcome'] != 'passed':
        return 'failed', since
    return ('passed' if since > edited else 'stale'), since


_gravity = ('', 'passed', 'stale', 'never', 'failed')


def worst(cells: Iterable[Cell]) -> Cell:
    """
    How they stand together: as the one that stands worst, since the oldest.
    """
    found = [it for it in cells if it[0]]
    if not found:
        return '', 0.0
    state = max((it[0] for it in found), key=_gravity.index)
    return state, min(it[1] for it in found)


def last_edit(folder: Path) -> float:
    return max(path.stat().st_mtime for path in folder.rglob('*.py'))


def mk_page() -> Page:
    found = collect()
    mod = get_brokermod(_broker)
    package = Path(next(iter(mod.__path__)))
    edited = last_edit(package)

    def mk_line(name: str, claim: str, cases: Iterable[Case]) -> Line:
        ids = {case.id for case in cases}
        tests = [it for it in found.proofs if ids & {*it.cases}]
        on = {
            kind: worst(stand(it, kind, found.outcomes, edited) for it in tests)
            for kind in proof.KINDS
        }
        if not tests or ids - {it for test in tests for it in test.cases}:
            on['simulator'] = 'never', 0.0  # something of it has no test at all
        names = dict.fromkeys(it.test.partition('[')[0] for it in tests)
        needs = dict.fromkeys(it.needs for it in tests if it.needs)
        listed = [case.id for case in CASES if case.id in ids]
        return Line(name, claim, listed, [*names], [*needs], on)

    endpoints: list[Line] = []
    for kind, names in _eps.items():
        for name in names:
            if not hasattr(mod, name) and not getattr(mod, f'_{kind}_mods', True):
                continue  # it does not say that it has it
            is_there = kind if hasattr(mod, name) else f'{kind}: is missing'
            cases = [it for it in CASES if it.about == name]
            endpoints.append(mk_line(name, is_there, cases))
            if not hasattr(mod, name):
                endpoints[-1].on['simulator'] = 'failed', 0.0
    api = import_module(f'{mod.__name__}.api')
    traits = [
        mk_line(name, repr(value), [it for it in CASES if it.about == f'TRAITS.{name}'])
        for name, value in structs.asdict(api.TRAITS).items()
    ]
    others = [it for it in found.proofs if not it.cases]
    states = [stand(it, 'simulator', found.outcomes, edited)[0] for it in others]
    places = [*map(name_of, find_calls()), *(f'channel {it}' for it in find_channels())]
    return Page(
        backend=_broker,
        cases=[mk_line(it.id, it.claim, [it]) for it in CASES],
        endpoints=endpoints,
        traits=traits,
        calls={
            place: {
                kind: found.calls.get(kind, {}).get(place, 0) for kind in proof.KINDS
            }
            for place in places
        },
        todos=find_todos(package, _root / 'simvenue' / 'dialect'),
        other_tests={state: states.count(state) for state in {*states}},
    )


def find_todos(*folders: Path) -> list[str]:
    return [
        f'{path.relative_to(_root)}:{number}: {line.strip()}'
        for folder in folders
        for path in sorted(folder.rglob('*.py'))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if 'TODO' in line
    ]


def show(as_json: bool) -> None:
    page = mk_page()
    if as_json:
        import json

        from msgspec import to_builtins

        # whatever is in it, it is one document
        print(json.dumps({**to_builtins(page), 'red': page.red}, indent=2))
        return
    draw(Text.assemble((f'{page.backend}: how far it is', 'bold')))
    for title, lines in (
        ('endpoints', page.endpoints),
        ('traits', page.traits),
        ('rules and cases', page.cases),
    ):
        draw(_mk_table(title, lines))
    calls = Table('calls and channels', *proof.KINDS, box=SIMPLE_HEAD, pad_edge=False)
    for place, counts in page.calls.items():
        calls.add_row(cell(place), *(_mk_count(counts[kind]) for kind in proof.KINDS))
    draw(calls)
    for todo in page.todos:
        say(todo)
    others = ', '.join(f'{count} {it}' for it, count in page.other_tests.items())
    say(f'{len(page.todos)} TODOs; of the other tests, on the simulator: {others}')
    said = len([*page.endpoints, *page.traits, *page.cases])
    say(f'{len(page.red)} of {said} claims are not proved on the simulator')


_styles = {'passed': 'green', 'stale': 'yellow', 'failed': 'red', 'never': 'red'}


def _mk_table(title: str, lines: list[Line]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(title, overflow='fold')
    for kind in proof.KINDS:
        table.add_column(kind, justify='right', no_wrap=True)
    for line in lines:
        needs = f' (needs {", ".join(line.needs)})' if line.needs else ''
        name = Text.assemble(cell(line.name, 'bold'), cell(f'  {line.claim}{needs}'))
        # a case has tests, all else has cases
        by = line.tests if line.cases == [line.name] else [', '.join(line.cases)]
        proofs = [cell(f'  {it}', 'dim') for it in by if it]
        proofs = proofs or [cell('  no test', 'red')]
        cells = (_mk_cell(*line.on[it]) for it in proof.KINDS)
        table.add_row(Text('\n').join([name, *proofs]), *cells)
    return table


def _mk_cell(state: str, since: float) -> Text:
    if not state:
        return cell('-', 'dim')
    when = _ago(time.time() - since) if since else ''
    return cell(when if state == 'passed' else f'{state} {when}', _styles[state])


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, 'd'), (3600, 'h'), (60, 'min')):
        if seconds >= size:
            return f'{seconds / size:.0f} {unit} ago'
    return 'just now'


def _mk_count(count: int) -> Text:
    return cell(count or 'never', '' if count else 'red')
