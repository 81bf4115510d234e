"""The suite of the asyncio proxy catches what is easily got wrong in one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import MakeProject, outside

# What is wrong, the test that tells, and the edit that makes it so.
MUTANTS: dict[str, tuple[str, str, str]] = {
    'a reply goes to the next caller': (
        'cancelled_calls_never_skew_a_later_reply',
        "self._reply(mid, {'result': result})",
        "self._reply(mid + 1, {'result': result})",
    ),
    'a cancel is dropped': (
        'cancelling_one_caller_leaves_the_others_alone',
        'self._relay.cancel(mid)',
        'pass',
    ),
    'a cancel hits another call': (
        'cancelling_one_caller_leaves_the_others_alone',
        'self._relay.cancel(mid)',
        'self._relay.cancel(mid - 1)',
    ),
    'a call is cancelled twice': (
        'a_cancelled_method_is_cancelled_once_and_cleans_up',
        """\
            task.cancel()
        else:
""",
        """\
            task.cancel()
            asyncio.get_running_loop().call_later(0.005, task.cancel)
        else:
""",
    ),
    'leaving cancels a second time': (
        'a_cancelled_method_is_cancelled_once_and_cleans_up',
        'if not task.cancelling():',
        'if task:',
    ),
    'a waiting call starts though it was cancelled': (
        'a_call_cancelled_while_it_waits_never_starts',
        'self._backlog.pop(mid, None)',
        'pass',
    ),
    'an exception is swallowed': (
        'errors_keep_type_message_attributes_and_cause',
        "self._reply(mid, {'exception': err})\n        else:",
        "self._reply(mid, {'result': None})\n        else:",
    ),
    'an exception is shipped as its text': (
        'errors_keep_type_message_attributes_and_cause',
        "self._reply(mid, {'exception': err})\n        else:",
        "self._reply(mid, {'exception': Exception(str(err))})\n        else:",
    ),
    'only the exceptions of one kind are shipped': (
        'errors_keep_type_message_attributes_and_cause',
        'except BaseException as err:\n            self._reply',
        'except OSError as err:\n            self._reply',
    ),
    'SystemExit ends the loop': (
        'methods_that_exit_or_interrupt_wedge_nothing',
        'except (SystemExit, KeyboardInterrupt) as err:',
        'except KeyboardInterrupt as err:',
    ),
    'a cancel by the client is not told': (
        'a_call_that_the_client_cancels_raises_an_ordinary_error',
        'if task.cancelled():',
        'if task.cancelled() and False:',
    ),
    'a slot is not released': (
        'thousands_of_calls_run_or_wait_their_turn',
        'del self._tasks[mid]\n',
        'pass\n',
    ),
    'a slot is released when its caller leaves': (
        'a_cancelled_method_is_cancelled_once_and_cleans_up',
        'task := self._tasks.get(mid)',
        'task := self._tasks.pop(mid, None)',
    ),
    'nobody takes a slot that is free again': (
        'calls_beyond_the_slots_start_in_order',
        'if self._backlog:\n',
        'if self._backlog and False:\n',
    ),
    'slots bound nothing': (
        'thousands_of_calls_run_or_wait_their_turn',
        'len(self._tasks) < self._slots',
        'self._slots',
    ),
    'a dead relay tells nobody': (
        'a_dead_relay_fails_every_caller_at_once',
        'for mid in (*self._tasks, *self._backlog):',
        'for mid in ():',
    ),
    'a dead relay tells those that run only': (
        'a_dead_relay_fails_every_caller_at_once',
        'for mid in (*self._tasks, *self._backlog):',
        'for mid in self._tasks:',
    ),
    'a dead relay takes calls': (
        'a_dead_relay_fails_every_caller_at_once',
        'if self._stopping.is_set():\n            self._reply',
        'if False:\n            self._reply',
    ),
    'leaving cancels nothing': (
        'every_way_out_with_calls_in_flight_is_clean',
        'for task in self._tasks.values():\n            # a second',
        'for task in ():\n            # a second',
    ),
    'leaving does not wait': (
        'every_way_out_with_calls_in_flight_is_clean',
        'if self._tasks:\n                await',
        'if False:\n                await',
    ),
    'events are missed silently': (
        'a_slow_subscriber_misses_events_loudly_and_stalls_nobody',
        'self._missed += 1',
        'pass',
    ),
    'a slow subscriber fails the client': (
        'a_slow_subscriber_misses_events_loudly_and_stalls_nobody',
        'except trio.WouldBlock:',
        'except trio.TooSlowError:',
    ),
}


def run_tests(
    project: Path, code: Path, *names: str
) -> subprocess.CompletedProcess[str]:
    """Run tests of the proxy on the `code`, with the project's tools."""
    return subprocess.run(
        [
            *(project / '.venv' / 'bin' / 'pytest', '-q', '--numprocesses=0'),
            # for callers that are never answered: each test takes a small part of it
            '--timeout=5',
            *(f'tests/test_proxy.py::test_{name}' for name in names),
        ],
        cwd=code,
        env=outside(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_mutant(make_project: MakeProject) -> None:
    project = make_project('--client', 'asyncio')
    done = run_tests(project, project, *{test for test, *_ in MUTANTS.values()})
    assert done.returncode == pytest.ExitCode.OK, done.stdout


@pytest.mark.parametrize('mutant', MUTANTS)
def test_mutant(mutant: str, make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project('--client', 'asyncio')
    code = shutil.copytree(
        project, tmp_path / 'code', ignore=shutil.ignore_patterns('.*')
    )
    test, right, wrong = MUTANTS[mutant]
    proxy = code / 'piker_deribit2' / '_proxy.py'
    source = proxy.read_text()
    assert source.count(right) == 1, 'the mutant is out of date'
    proxy.write_text(source.replace(right, wrong))

    done = run_tests(project, code, test)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
