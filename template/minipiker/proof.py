"""
A pytest plugin: what was proved, by which test, on which kind of venue, and when.

    @pytest.mark.case('DATA-QUOTES')    what a test proves, see `cases.py`
    pytest --ids                        lists all that, with what each needs
    pytest --calls                      which calls of the backend were answered

Outcomes are kept in pytest's cache, for `minipiker ready`.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from ._terminal import plain
from .calls import Calls
from .cases import CASES

KINDS = ('simulator', 'recording', 'venue')
"""What a test may run on. What needs no venue at all counts as run on the first."""

_needs: dict[str, tuple[str, ...]] = {
    'simulator': ('open_simvenue', 'open_live', 'venue_urls', 'use_venue'),
    'fill': ('may_fill',),
    'trade': ('credentials',),
    'venue': ('session_venue',),
}
"""By the fixtures that a test asks for; the first that fits."""

_outcomes = 'minipiker/outcomes'
_calls = 'minipiker/calls'


class Proof(NamedTuple):
    """
    A test that proves something.
    """

    test: str
    needs: str
    """'' for one that needs no venue."""
    cases: tuple[str, ...]


def needs_of(item: pytest.Item) -> str:
    asked: Iterable[str] = getattr(item, 'fixturenames', ())
    for need, fixtures in _needs.items():
        if not {*fixtures}.isdisjoint(asked):
            return need
    return ''


def proofs_of(items: Iterable[pytest.Item]) -> list[Proof]:
    """
    What each test proves. Raises `UsageError` for an id that there is not.
    """
    known = {case.id for case in CASES}
    proofs: list[Proof] = []
    for item in items:
        ids = [it for mark in item.iter_markers('case') for it in mark.args]
        if unknown := [it for it in ids if it not in known]:
            raise pytest.UsageError(f'{item.nodeid}: {unknown[0]} is not in cases.py')
        proofs.append(Proof(item.nodeid, needs_of(item), (*ids,)))
    return proofs


def kind_of_venue(config: pytest.Config) -> str:
    if config.getoption('replay', None):
        return 'recording'
    url: str | None = config.getoption('--venue')
    return 'venue' if url and not is_loopback(url) else 'simulator'


def is_loopback(url: str) -> bool:
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    try:
        host = urlsplit(url).hostname or ''
        return host == 'localhost' or ip_address(host).is_loopback
    except ValueError:
        return False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        '--ids',
        action='store_true',
        help='list what there is to prove, by which tests, and what each needs',
    )
    parser.addoption(
        '--calls',
        action='store_true',
        help='say which calls and channels of the backend were exercised',
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    if config.getoption('--ids'):
        config.option.numprocesses = 0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line('markers', 'case(*ids): what the test proves')
    if not hasattr(config, 'workerinput'):
        config.pluginmanager.register(Keeper(config), 'minipiker-keeper')


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    proofs_of(items)
    kind = kind_of_venue(config)
    for item in items:
        on = 'simulator' if needs_of(item) in ('', 'simulator') else kind
        # goes along with the report, from whichever process
        item.user_properties.append(('kind', on))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """
    With `--ids`, list them and run nothing.
    """
    if not session.config.getoption('--ids'):
        return None
    reporter: Any = session.config.pluginmanager.get_plugin('terminalreporter')
    proofs = proofs_of(session.items)
    for case in CASES:
        mine = [it for it in proofs if case.id in it.cases]
        needs = ', '.join(sorted({it.needs or 'nothing' for it in mine})) or 'a test'
        reporter.line('')
        reporter.line(f'{case.id:20} needs {needs}: {case.claim}')
        for test in dict.fromkeys(it.test.partition('[')[0] for it in mine):
            reporter.line(f'    {test}')
    return True


class Keeper:
    """
    Keeps the outcomes of a session.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed: dict[tuple[str, str], bool] = {}
        self._calls: Calls | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """
        Before there are other processes, which add to the file. It is where pytest
        clears up, after one that was killed as well.
        """
        if self._config.getoption('--calls'):
            config: Any = self._config
            self._calls = Calls(config._tmp_path_factory.getbasetemp() / 'calls')

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        kind = dict(report.user_properties).get('kind')
        if kind is None or report.skipped:
            return
        key = report.nodeid, str(kind)
        # the call says that it passed, and what goes wrong anywhere that it did not
        if report.failed or report.when == 'call':
            self._failed[key] = self._failed.get(key, False) or report.failed

    def pytest_sessionfinish(self) -> None:
        # which is not there at all with `-p no:cacheprovider`
        cache: pytest.Cache | None = getattr(self._config, 'cache', None)
        if cache is None:
            return
        kept: dict[str, Any] = cache.get(_outcomes, {})
        now = time.time()
        for (test, kind), failed in self._failed.items():
            before = kept.setdefault(test, {}).get(kind, {})
            kept[test][kind] = {
                'outcome': 'failed' if failed else 'passed',
                'passed': before.get('passed') if failed else now,
            }
        if self._failed:
            cache.set(_outcomes, kept)
        if self._calls:
            heard = self._calls.read()
            calls: dict[str, Any] = cache.get(_calls, {})
            kind = kind_of_venue(self._config)
            calls[kind] = {**calls.get(kind, {}), **heard}
            cache.set(_calls, calls)

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """
        Say what was not run, and why; and what was asked of the venue.
        """
        skipped: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for report in terminalreporter.getreports('skipped'):
            _, _, reason = report.longrepr
            skipped[reason.removeprefix('Skipped: ')][report.nodeid.split('[')[0]] += 1
        if skipped:
            terminalreporter.section('not run')
        for reason, tests in skipped.items():
            terminalreporter.line(f'{tests.total()} x {reason}')
            for test, count in tests.items():
                times = f' x {count}' if count > 1 else ''
                terminalreporter.line(f'    {test}{times}')
        if self._calls:
            terminalreporter.section(f'calls: {kind_of_venue(self._config)}')
            for line in self._calls.table():
                terminalreporter.line(plain(line))


def load(config: pytest.Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    What was kept: outcomes by test and kind, calls by kind.
    """
    assert config.cache
    return config.cache.get(_outcomes, {}), config.cache.get(_calls, {})
