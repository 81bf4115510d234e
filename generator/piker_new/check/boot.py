"""The dynamic half: a project's own suite, as far as it proves that rules are kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from ..refusal import Refusal
from ..temporary import temporary_folder
from .finding import Finding
from .model import Backend
from .model.contract import ENDPOINTS
from .rules import IGNORES, RULES

# The test that proves a rule, on minipiker's actors and the simulated venue.
PROOFS: dict[str, str] = {
    'PK101': 'test_contract::test_endpoints_of_a_kind_are_complete',
    'PK104': 'test_contract::test_endpoints_are_exported',
    'PK105': 'test_contract::test_the_name_is_for_the_host_to_set',
    'PK112': 'test_contract::test_quote_and_history_endpoints_take_what_a_host_passes',
    'PK113': 'test_history::test_frames_meet_and_ascend',
    'PK114': 'test_contract::test_a_kind_enables_just_the_modules_that_define_its_'
    'contexts',
    'PK121': 'test_orders::test_without_credentials_one_trades_on_paper',
    'PK123': 'test_feed::test_the_backend_streams_as_a_host_calls_it',
    'PK124': 'test_feed::test_the_backend_streams_as_a_host_calls_it',
    'PK204': 'test_credentials::test_each_daemon_refuses_the_others_functions',
    'PK205': 'test_daemons::test_datad_exposes_no_more_than_it_must',
    'PK206': 'test_contract::test_a_kind_enables_just_the_modules_that_define_its_'
    'contexts',
    'PK207': 'test_contract::test_a_kind_enables_just_the_modules_that_define_its_'
    'contexts',
    'PK208': 'test_contract::test_enabled_modules_are_the_union_of_both_kinds',
    'PK301': 'test_contract::test_every_kind_of_daemon_has_its_lifecycle',
    'PK302': 'test_contract::test_every_kind_of_daemon_has_its_lifecycle',
    'PK303': 'test_daemons::test_watching_charts_runs_no_brokerd',
    'PK304': 'test_daemons::test_racing_clients_get_one_daemon',
    'PK305': 'test_credentials::test_a_backend_that_cannot_trade_gets_no_brokerd',
    'PK401': 'test_orders::test_a_live_session',
    'PK404': 'test_symbols::test_a_lookup_is_cached_by_positional_arguments',
    'PK501': 'test_proxy_calls::test_cancelled_calls_never_skew_a_later_reply',
    'PK502': 'test_proxy_calls::test_cancelling_one_caller_leaves_the_others_alone',
    'PK503': 'test_proxy_calls::test_errors_keep_type_message_attributes_and_cause',
    'PK505': 'test_proxy_events::test_a_slow_subscriber_misses_events_loudly_and_'
    'stalls_nobody',
    'PK506': 'test_proxy_events::test_events_of_a_thread_arrive_in_order',
    'PK601': 'test_daemons::test_daemons_are_spawned_by_need_and_end_with_the_root',
    'PK604': 'test_daemons::test_addresses_in_any_form',
    'PK701': 'test_feed::test_quotes_are_as_piker_wants_them',
    'PK702': 'test_feed::test_quotes_are_as_piker_wants_them',
    'PK703': 'test_feed::test_quotes_are_as_piker_wants_them',
    'PK704': 'test_feed::test_the_backend_streams_as_a_host_calls_it',
    'PK711': 'test_ledger::test_a_cost_is_the_same_for_maker_and_taker_buyer_and_'
    'seller',
    'PK712': 'test_ledger::test_a_cost_is_the_same_for_maker_and_taker_buyer_and_'
    'seller',
    'PK721': 'test_history::test_frames_meet_and_ascend',
    'PK722': 'test_history::test_a_timeframe_that_the_venue_lacks',
    'PK731': 'test_order_dialog::test_an_order_that_rests',
    'PK732': 'test_order_dialog::test_an_order_that_rests',
    'PK733': 'test_order_dialog::test_an_order_that_rests',
    'PK735': 'test_order_dialog::test_bad_requests_are_answered',
    'PK901': 'test_credentials::test_credentials_show_up_nowhere',
    'PK903': 'test_credentials::test_credentials_show_up_nowhere',
    'PK904': 'test_credentials::test_only_brokerd_inherits_credentials',
}

# What shows that an endpoint works, be it declared or not.
WORKS: dict[str, str] = {
    'get_client': 'test_requests::test_replies_overtake_each_other',
    'get_mkt_info': 'test_symbols::test_every_form_of_a_name_is_the_same_market',
    'open_history_client': 'test_history::test_frames_meet_and_ascend',
    'open_symbol_search': 'test_symbols::test_search_answers_each_pattern_once',
    'stream_quotes': 'test_feed::test_quotes_are_as_piker_wants_them',
    'open_trade_dialog': 'test_order_dialog::test_an_order_that_rests',
    'norm_trade': 'test_ledger::test_the_venues_records_become_transactions',
}

# What it stands when things go wrong around it.
FAULTS: dict[str, str] = {
    'a venue that misbehaves': 'test_feed::test_no_trade_is_lost_or_doubled_when_the_'
    'venue_misbehaves',
    'a venue that restarts': 'test_feed::test_the_stream_resumes_when_the_venue_'
    'restarts',
    'a killed datad': 'test_lifetimes::test_a_killed_datad_is_noticed_and_replaced',
    'a killed brokerd': 'test_orders::test_no_order_is_lost_with_brokerd',
    'a disconnect with open orders': 'test_orders::test_orders_in_the_middle_of_a_'
    'disconnect',
    'the end of the root': 'test_lifetimes::test_nothing_is_left_when_the_root_ends',
}


@dataclass
class Scorecard:
    """What was read, what was run, and what came of it."""

    backend: Backend
    findings: list[Finding]
    results: dict[str, bool]
    """Whether a test passed, by `<module>::<test>`; others are not there to be run."""
    lines: list[str] = field(default_factory=list)
    failed: int = 0

    def __post_init__(self) -> None:
        self._rules()
        self._capabilities()
        self._faults()

    def _rules(self) -> None:
        broken = {it.id for it in self.findings}
        self.lines.append(f'{"rule":8}{"read":8}{"run":8}by')
        for rule in RULES:
            if rule in IGNORES:
                continue
            test = PROOFS.get(rule.id, '')
            ran = self.results.get(test)
            self.failed += ran is False
            read = 'broken' if rule.id in broken else 'kept'
            by = f'tests/{test.replace("::", ".py::")}' if ran is not None else ''
            self._add(rule.id, read, _word(ran, 'kept', 'broken'), by)

    def _capabilities(self) -> None:
        self.lines.append('')
        self.lines.append(f'{"endpoint":24}{"declared":12}works')
        for name in ENDPOINTS:
            declared = self.backend.binds(name)
            works = self.results.get(WORKS.get(name, ''))
            if not declared and works is None:
                continue
            self.failed += works is not None and declared is not works
            said = 'yes' if declared else 'no'
            self.lines.append(f'{name:24}{said:12}{_word(works, "yes", "no")}')

    def _faults(self) -> None:
        self.lines.append('')
        self.lines.append(f'{"fault":36}survived')
        for fault, test in FAULTS.items():
            survived = self.results.get(test)
            if survived is not None:
                self.failed += not survived
                self.lines.append(f'{fault:36}{_word(survived, "yes", "no")}')

    def _add(self, id: str, read: str, run: str, by: str) -> None:
        self.lines.append(f'{id:8}{read:8}{run:8}{by}'.rstrip())


def _word(result: bool | None, yes: str, no: str) -> str:
    return '-' if result is None else yes if result else no


def find_project(backend: Backend) -> Path:
    """The project of a backend, which has a host and a suite; raises `Refusal`."""
    root = backend.root.resolve().parent
    if not ((root / 'minipiker').is_dir() and (root / 'tests').is_dir()):
        raise Refusal(
            f"'{backend.root}' has no minipiker and no tests beside it\n"
            'note: --boot runs the suite of a project that piker-new has made\n'
            'help: leave out --boot; what can be read is checked all the same'
        )
    return root


def boot(backend: Backend, findings: Iterable[Finding]) -> Scorecard:
    """Run what proves something in the project of a backend; raises `Refusal`."""
    project = find_project(backend)
    wanted = {*PROOFS.values(), *WORKS.values(), *FAULTS.values()}
    there = sorted(it for it in wanted if _is_there(project, it))
    with temporary_folder() as folder:
        report = folder / 'report.xml'
        tests = [f'tests/{it.replace("::", ".py::")}' for it in there]
        done = subprocess.run(
            [
                *_pytest(project),
                *('-q', '-p', 'no:cacheprovider', f'--junitxml={report}'),
                *tests,
            ],
            cwd=project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1) or not report.exists():
            said = (done.stdout + done.stderr).strip().splitlines() or ['nothing']
            raise Refusal(
                f"the suite of '{project}' cannot be run\n"
                f'note: {said[-1]}\n'
                'help: see that `uv run pytest` works there',
                status=1,
            )
        results = _read_report(report)
    findings = [it for it in findings if _is_in(it, backend)]
    return Scorecard(backend, findings, results)


def _is_in(finding: Finding, backend: Backend) -> bool:
    return any(finding.place.path == it.shown for it in backend.modules.values())


def _is_there(project: Path, test: str) -> bool:
    module, _, name = test.partition('::')
    path = project / 'tests' / f'{module}.py'
    return path.is_file() and f'def {name}(' in path.read_text(encoding='utf-8')


def _pytest(project: Path) -> list[str]:
    """With the project's own environment, or by uv, which makes it."""
    own = project / '.venv' / 'bin' / 'pytest'
    if own.is_file():
        return [str(own)]
    if uv := shutil.which('uv') or os.environ.get('UV'):
        return [uv, 'run', 'pytest']
    raise Refusal(
        f"'{project}' has no environment to run its suite in\n"
        'note: uv makes one, and there is no uv\n'
        'help: install it: https://docs.astral.sh/uv/'
    )


def _read_report(report: Path) -> dict[str, bool]:
    """Whether all cases of a test passed; those that were skipped are not there."""
    results: dict[str, bool] = {}
    for case in _cases(report):
        module = case.get('classname', '').rpartition('.')[2]
        test = f'{module}::{case.get("name", "").partition("[")[0]}'
        kinds = {child.tag for child in case}
        if 'skipped' not in kinds:
            passed = not kinds & {'failure', 'error'}
            results[test] = results.get(test, True) and passed
    return results


def _cases(report: Path) -> Iterator[ElementTree.Element]:
    yield from ElementTree.parse(report).getroot().iter('testcase')
