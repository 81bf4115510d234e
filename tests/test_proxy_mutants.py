"""The suite of the asyncio proxy catches what is easily got wrong in one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    'a cancel is remembered for ever': (
        'cancelled_calls_never_skew_a_later_reply',
        'self._cancelled.discard(mid)',
        'pass',
    ),
    'a call is made for whoever is cancelled': (
        'a_call_in_a_cancelled_scope_is_not_made',
        'await trio.lowlevel.checkpoint_if_cancelled()\n        mid',
        'mid',
    ),
    'a call is cancelled twice': (
        'a_cancelled_method_is_cancelled_once_and_cleans_up',
        """\
            self._tasks[mid].cancel()
""",
        """\
            self._tasks[mid].cancel()
            self._loop.call_later(0.005, self._tasks[mid].cancel)
""",
    ),
    'leaving cancels a second time': (
        'a_cancelled_method_is_cancelled_once_and_cleans_up',
        'elif mid not in self._cancelled:',
        'else:',
    ),
    'leaving spares whoever has been cancelled by others': (
        'leaving_cancels_a_call_whose_own_timeout_is_just_over',
        'elif mid not in self._cancelled:',
        'elif not self._tasks[mid].cancelling():',
    ),
    'a waiting call starts though it was cancelled': (
        'a_call_cancelled_while_it_waits_never_starts',
        'del self._backlog[mid]',
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
        'self._tasks[mid].cancel()',
        'self._tasks.pop(mid).cancel()',
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
    'a dead relay says so nowhere else': (
        'a_dead_relay_fails_every_caller_at_once',
        'if relay.cause is not None:',
        'if relay.cause and False:',
    ),
    'a dead relay says so once more': (
        'a_relay_that_dies_under_a_caller_is_one_error',
        'callers.cancel()',
        'raise self.mk_down()',
    ),
    'a dead relay leaves the subscribers waiting': (
        'a_dead_relay_fails_every_caller_at_once',
        'self._events.fail(self.mk_down)',
        'pass',
    ),
    'a dead relay takes subscribers': (
        'a_subscriber_that_comes_too_late_is_told',
        'if self._mk_down is None:',
        'if True:',
    ),
    'a relay that dies as it is left raises': (
        'a_relay_that_dies_as_it_is_left_waits_no_longer',
        'except asyncio.CancelledError:\n            pass',
        'except trio.TooSlowError:\n            pass',
    ),
    'leaving cancels nothing': (
        'every_way_out_with_calls_in_flight_is_clean',
        "self._reply(mid, {'exception': self.mk_down()})\n            self.cancel(mid)",
        "self._reply(mid, {'exception': self.mk_down()})",
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
    'the newest event is missed': (
        'a_slow_subscriber_misses_events_loudly_and_stalls_nobody',
        'self._recv.receive_nowait()\n            self._send.send_nowait(event)',
        'pass',
    ),
    'a slow subscriber fails the client': (
        'a_slow_subscriber_misses_events_loudly_and_stalls_nobody',
        'except trio.WouldBlock:',
        'except trio.TooSlowError:',
    ),
    'a subscriber has no room': (
        'a_subscriber_without_room_for_one_event_is_refused',
        'if maxlen < 1:',
        'if maxlen < 0:',
    ),
    'a thread wakes subscribers itself': (
        'events_of_a_thread_arrive_in_order',
        'if self._thread == get_ident():',
        'if self._thread:',
    ),
    'a thread fails when nobody listens any more': (
        'a_thread_that_outlives_the_actor_is_not_stopped',
        'with suppress(trio.RunFinishedError):',
        'with suppress(trio.WouldBlock):',
    ),
    'events end with the first proxy that feeds them': (
        'events_end_with_the_last_proxy_that_feeds_them',
        'if self._feeds:',
        'if False:',
    ),
    'events never end': (
        'events_end_with_the_last_proxy_that_feeds_them',
        'self._feeds -= 1',
        'pass',
    ),
    'a proxy without slots hangs its callers': (
        'no_slots_at_all_are_refused',
        'if slots < 1:',
        'if slots < -9:',
    ),
    'what is set on the proxy reaches nobody': (
        'other_attributes_are_set_and_deleted_on_the_client',
        'setattr(self._relay.client, name, value)',
        'pass',
    ),
    'a client cannot be entered': (
        'async_with_enters_and_leaves_the_client',
        "if hasattr(client_type, '__aenter__'):",
        'if False:',
    ),
    'a client that was entered is not the proxy': (
        'async_with_enters_and_leaves_the_client',
        'return self if entered is self._relay.client else entered',
        'return entered',
    ),
    'a client that was entered is not left': (
        'async_with_enters_and_leaves_the_client',
        'scope.shield = True',
        'pass',
    ),
    'a client that does not let go is waited for': (
        'a_client_that_never_lets_go_is_left_all_the_same',
        'trio.move_on_after(self._relay.grace)',
        'trio.move_on_after(3600)',
    ),
    'a client with an odd descriptor is not served': (
        'a_descriptor_that_raises_does_so_where_it_is_asked_for',
        'except Exception:\n            continue',
        'except AttributeError:\n            continue',
    ),
    'what a call leaves behind goes on': (
        'what_calls_leave_behind_ends_with_the_block',
        'await self._end_subtasks()',
        'pass',
    ),
    'what a call leaves behind is not noticed': (
        'what_calls_leave_behind_ends_with_the_block',
        'if tell := starts_task.get(None):',
        'if False:',
    ),
    'what a call cancels is cancelled twice': (
        'what_a_call_cancels_itself_is_cancelled_once',
        'if self._tasks:\n                await',
        'await self._end_subtasks()\n            if True:\n                await',
    ),
    'what starts itself anew is waited for': (
        'what_starts_itself_anew_is_not_waited_for_for_ever',
        'if patience <= 0:\n',
        'if False:\n',
    ),
    'a client that was entered handles a cancel': (
        'async_with_enters_and_leaves_the_client',
        'if handled:\n',
        'if False:\n',
    ),
    "a method that is no class's is called on trio": (
        'other_attributes_are_set_and_deleted_on_the_client',
        'if inspect.iscoroutinefunction(value):',
        'if False:',
    ),
    'what ignores its cancel is not named': (
        'what_is_left_behind_and_ignores_cancel_is_named',
        'for task in (*self._tasks.values(), *self._subtasks):',
        'for task in self._tasks.values():',
    ),
    'what starts too late goes on': (
        'what_is_left_behind_and_ignores_cancel_is_named',
        'task.cancel()\n            return',
        'return',
    ),
}

# Where the proxy is.
SOURCES = ('_proxy.py', '_events.py', '_asyncio.py')


def run_tests(
    project: Path, code: Path, timeout: int, *names: str
) -> subprocess.CompletedProcess[str]:
    """Run tests of the proxy on the `code`, with the project's tools."""
    suites = {path: path.read_text() for path in code.glob('tests/test_proxy_*.py')}
    return subprocess.run(
        [
            *(project / '.venv' / 'bin' / 'python', '-m', 'pytest', '-q'),
            # alone, and with no more plugins than they need
            *('-o', 'addopts=', '-p', 'no:xdist', '-p', 'no:hypothesispytest'),
            f'--timeout={timeout}',
            *(
                f'{path}::test_{name}'
                for name in names
                for path, suite in suites.items()
                if f'def test_{name}(' in suite
            ),
        ],
        cwd=code,
        env=outside(),
        capture_output=True,
        text=True,
        check=False,
    )


def run_mutant(mutant: str, project: Path, code: Path) -> int | str:
    """What pytest says of a mutant: its exit code, or that there is no such mutant."""
    shutil.copytree(project, code, ignore=shutil.ignore_patterns('.*', '__pycache__'))
    test, right, wrong = MUTANTS[mutant]
    sources = [code / 'piker_deribit2' / name for name in SOURCES]
    found = [path for path in sources for _ in range(path.read_text().count(right))]
    if len(found) != 1:
        return 'the mutant is out of date'
    found[0].write_text(found[0].read_text().replace(right, wrong))
    # some callers are never answered; each test takes a small part of this
    return run_tests(project, code, 3, test).returncode


@pytest.fixture(scope='module')
def outcomes(
    make_project: MakeProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[int | str]]]:
    """All mutants at once: most of the time passes in waiting."""
    project = make_project('--client', 'asyncio')
    folder = tmp_path_factory.mktemp('mutants')
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            mutant: pool.submit(run_mutant, mutant, project, folder / str(number))
            for number, mutant in enumerate(MUTANTS)
        }
        pool.shutdown(cancel_futures=True)


def test_no_mutant(make_project: MakeProject) -> None:
    project = make_project('--client', 'asyncio')
    tests = {test for test, *_ in MUTANTS.values()}
    done = run_tests(project, project, 60, *sorted(tests))
    assert done.returncode == pytest.ExitCode.OK, done.stdout


@pytest.mark.parametrize('mutant', MUTANTS)
def test_mutant(mutant: str, outcomes: dict[str, Future[int | str]]) -> None:
    assert outcomes[mutant].result() == pytest.ExitCode.TESTS_FAILED
