"""
What an actor says of itself, whatever becomes of its event loop.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest
import trio
import trio.testing

from minipiker._tractor import open_nursery
from minipiker.service import _report
from minipiker.service._diagnose import _ask

pytestmark = pytest.mark.skipif(
    _report._PEERCRED is None, reason='needs what Linux knows of the peer of a socket'
)


@pytest.mark.parametrize(('every', 'loop'), [(0.05, 'blocked'), (0.5, 'late')])
async def test_only_who_looks_in_time_sees_it_stand_still(
    monkeypatch: pytest.MonkeyPatch, every: float, loop: str
) -> None:
    """
    On a busy machine the loop may just have had no processor.
    """
    looks = itertools.count()
    clock = SimpleNamespace(
        monotonic=lambda: every * next(looks), process_time=lambda: 0, sleep=time.sleep
    )
    monkeypatch.setattr(_report, 'time', clock)
    reporter = _report.Reporter()
    seen: list[str] = []
    watcher = threading.Thread(target=lambda: seen.extend(reporter._watch_loop()))
    try:
        watcher.start()
        watcher.join()
    finally:
        reporter.end()
    assert seen[0] == loop


async def test_the_name_is_free_for_the_next_one() -> None:
    for _ in range(300):
        _report.Reporter().end()


async def test_who_holds_what_others_wait_for_may_work() -> None:
    room, event = trio.Lock(), trio.Event()

    async def hold(in_child: bool) -> None:
        with trio.CancelScope(shield=True):  # from the test's own deadline
            async with room, open_nursery() as tn:
                if in_child:
                    tn.start_soon(event.wait)
                else:
                    await event.wait()

    async def enter() -> None:
        async with room:
            pass

    reporter = _report.Reporter()
    try:
        for in_child in (True, False):
            async with open_nursery() as tn:
                tn.start_soon(hold, in_child)
                await trio.testing.wait_all_tasks_blocked()
                tn.start_soon(enter)
                await trio.testing.wait_all_tasks_blocked()
                stuck = await trio.to_thread.run_sync(reporter._find_stuck)
                event.set()
            assert ('hold' in stuck) == (not in_child)
            event = trio.Event()
    finally:
        reporter.end()


def test_what_a_session_says_has_no_secret(mod: ModuleType) -> None:
    session_mod, api = (
        import_module(f'{mod.__name__}.{it}') for it in ('_session', 'api')
    )
    url = 'wss://joe:secret@host:1/path?token=secret'
    venue: Any = SimpleNamespace(limits=api.LIMITS, pools={})
    session = session_mod.Session(url, venue)
    session._last_error = OSError(f'no WebSocket at {url}, wss://joe:secret@host/2')
    said = session.report()
    assert said['url'] == 'wss://host:1'
    assert said['error'] == 'no WebSocket at wss://host:1, wss://host/2'
    assert 'secret' not in str(said)


def test_nobody_can_speak_for_another_process() -> None:
    key = bytes(32)
    process = psutil.Process(os.getppid())
    with socket.socket(socket.AF_UNIX) as impostor:
        impostor.bind(_report.mk_name(process.pid, key))
        impostor.listen()
        with _ask(process, key) as receive:
            assert receive() is None


def test_a_killed_process_leaves_no_socket() -> None:
    script = (
        'import trio\n'
        'from minipiker import _gate\n'
        'from minipiker.service._report import reporting\n'
        'async def main():\n'
        '    with _gate.use_key(bytes(32)), reporting():\n'
        '        print("up", flush=True)\n'
        '        await trio.sleep_forever()\n'
        'trio.run(main)\n'
    )
    key = bytes(32)
    with subprocess.Popen(
        [sys.executable, '-c', script], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline()
            other = psutil.Process(process.pid)
            with _ask(other, b'another key') as receive:
                assert receive() is None
            with _ask(other, key) as receive:
                assert receive()
        finally:
            process.kill()
    with socket.socket(socket.AF_UNIX) as peer, pytest.raises(ConnectionError):
        peer.connect(_report.mk_name(process.pid, key))
