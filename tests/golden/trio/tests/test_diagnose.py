"""
A tree that hangs: whoever is to blame is named, whatever it is that ails him.
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import msgspec
import pytest
import trio
import trio.testing

from minipiker import cli
from minipiker._tractor import open_nursery
from minipiker.clearing import open_ems
from minipiker.clearing.testing import mk_account, mk_order
from minipiker.data._sampling import open_sample_stream
from minipiker.data.feed import open_feed
from minipiker.data.tsp import load_history
from minipiker.processes import shared_pids
from minipiker.service import _report, maybe_open_pikerd
from minipiker.service._diagnose import Diagnosis, diagnose
from minipiker.service._registry import find_pikerd, find_registry
from minipiker.testing import (
    _load_market,
    open_process,
    run_minipiker,
    write_brokers_toml,
)
from simvenue.client import Controls

pytestmark = pytest.mark.skipif(
    _report._PEERCRED is None, reason='needs what Linux knows of the peer of a socket'
)

_ails = """
import os, signal, sys, threading

released = False
lock = threading.Lock()
done = []

def spin(*_):
    global released
    released = False
    while not released:
        pass

def block(*_):
    lock.acquire()
    with lock:
        pass

def deadlock(*_):
    import trio

    token = trio.lowlevel.current_trio_token()
    event, room = trio.Event(), trio.Lock()
    done.append(lambda: token.run_sync_soon(event.set))

    async def hold_and_wait():
        async with room:
            token.run_sync_soon(trio.lowlevel.spawn_system_task, enter)
            await event.wait()

    async def enter():
        async with room:
            pass

    token.run_sync_soon(trio.lowlevel.spawn_system_task, hold_and_wait)

def release(*_):
    global released
    released = True
    if lock.locked():
        lock.release()
    while done:
        done.pop()()

if 'minipiker._child' in sys.orig_argv or 'pikerd' in sys.orig_argv:
    signal.signal(signal.SIGUSR1, spin)
    signal.signal(signal.SIGUSR2, block)
    signal.signal(signal.SIGALRM, deadlock)
    signal.signal(signal.SIGCONT, release)
"""
"""What each process of the tree runs first, so that it can be made to hang."""

_kinds = [
    'pikerd',
    'samplerd',
    'datad',
    'emsd',
    'brokerd',
    'paperboi',
]


_ailments: list[tuple[signal.Signals, str]] = [
    (signal.SIGSTOP, 'is stopped'),
    (signal.SIGUSR1, 'spins at .* in spin,'),
    (signal.SIGUSR2, 'is blocked at .* in block,'),
    (signal.SIGALRM, 'a deadlock: .*hold_and_wait, at .* in Event.wait, holds what 1'),
]


class Sick(NamedTuple):
    """
    A tree in which all daemons run, and its venue.
    """

    venue_pid: int
    controls_url: str
    pids: dict[str, int]
    """By the kinds of the actors."""

    @contextmanager
    def ail(self, by_kind: dict[str, signal.Signals]) -> Iterator[None]:
        """
        Have actors hang while the block runs.
        """
        for kind, by in by_kind.items():
            os.kill(self.pids[kind], by)
        try:
            yield
        finally:
            for kind in by_kind:
                os.kill(self.pids[kind], signal.SIGCONT)
            while look().findings:
                pass


def look() -> Diagnosis:
    root = find_pikerd()
    assert root
    return diagnose(*root)


@pytest.fixture(scope='module')
def sick(
    _isolation: Path, tmp_path_factory: pytest.TempPathFactory, broker: str
) -> Iterator[Sick]:
    folder = tmp_path_factory.mktemp('sick')
    (folder / 'sitecustomize.py').write_text(_ails)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv('XDG_CONFIG_HOME', str(folder))
        venue, url = stack.enter_context(open_process('simvenue', '--until-eof'))
        assert venue.stdout
        controls_url = venue.stdout.readline().strip()
        write_brokers_toml(folder / 'minipiker', url=url, **mk_account())
        with pytest.MonkeyPatch.context() as of_the_tree:
            of_the_tree.setenv('PYTHONPATH', str(folder), prepend=os.pathsep)
            args = ('minipiker', 'pikerd', '--until-eof', '-l', 'error')
            root, _ = stack.enter_context(open_process(*args))
        shared_pids.update((venue.pid, root.pid))
        trio.run(_start_daemons, broker)
        pids = {it.name.partition('.')[0]: it.pid for it in look().actors}
        assert pids.keys() == {*_kinds}
        yield Sick(venue.pid, controls_url, pids)


async def _start_daemons(broker: str) -> None:
    async with (
        maybe_open_pikerd(find_registry()),
        open_sample_stream(0.1),
        open_feed([f'btcusdt.{broker}']),
        open_ems(broker, 'live'),
        open_ems(broker, 'paper'),
    ):
        pass


def test_a_tree_that_is_well(sick: Sick) -> None:
    diagnosis = look()
    assert not diagnosis.findings
    for actor in diagnosis.actors:
        assert actor.report
        assert actor.report.loop == 'turns'
        assert actor.report.tasks
        if actor.name != 'pikerd':
            # its parent; and what it says goes there and back
            assert {'pikerd', 'emsd'} & {it.peer for it in actor.connections}
        if Path('/proc/net/tcp').exists():
            assert {it.unread for it in actor.connections} == {0}


@pytest.mark.parametrize(
    ('kind', 'ailment'),
    [*zip(_kinds, cycle(_ailments))],
    ids=_kinds,
)
def test_who_hangs_is_named(
    sick: Sick, kind: str, ailment: tuple[signal.Signals, str]
) -> None:
    by, what = ailment
    with sick.ail({kind: by}):
        began = time.monotonic()
        culprit = look().findings[0]
        assert time.monotonic() - began < 10
    assert culprit.startswith(kind)
    assert f'(pid {sick.pids[kind]})' in culprit
    assert re.search(what, culprit)


# another one for each than when it hangs alone
@pytest.mark.parametrize('turn', [1, 2])
def test_each_that_hangs_is_named(sick: Sick, turn: int) -> None:
    """
    By itself, whatever ails the others.
    """
    ailments = dict(zip(_kinds, islice(cycle(_ailments), turn, None), strict=False))
    found: dict[str, list[str]] = {}
    with sick.ail({kind: by for kind, (by, _) in ailments.items()}):
        # who gets no processor at all while it is looked at, nothing can be said of
        for _ in range(5):
            findings = look().findings
            found = {
                kind: [it for it in findings if f'{sick.pids[kind]})' in it]
                for kind in ailments
            }
            if all(found.values()):
                break
    for kind, (_, what) in ailments.items():
        (said,) = found[kind]
        assert re.search(what, said)


@pytest.mark.parametrize('how', ['silent', 'gone'])
async def test_a_venue_that_is_to_blame(
    sick: Sick, mod: ModuleType, broker: str, how: str
) -> None:
    fqme = f'btcusdt.{broker}'
    names = {f'datad.{broker} '}
    names.add(f'brokerd.{broker} ')
    async with (
        Controls(sick.controls_url) as venue,
        maybe_open_pikerd(find_registry()),
        open_feed([fqme]),
        open_ems(broker, 'live') as (client, _, _, (account, *_), _),
        open_nursery() as tn,
    ):
        market = await _load_market(fqme, mod)
        order = mk_order(fqme, 'buy', market.price(0.5), market.size(1), account)
        if how == 'gone':
            await venue.misbehave('refuse')
            await venue.misbehave('drop')
        else:
            os.kill(sick.venue_pid, signal.SIGSTOP)
            tn.start_soon(load_history, fqme)
            await client.send(order)
        try:
            while names:
                findings = (await trio.to_thread.run_sync(look)).findings
                for found in findings:
                    assert re.match('the venue at .*(silent|cannot be reached)', found)
                names -= {name for name in names if any(name in it for it in findings)}
        finally:
            os.kill(sick.venue_pid, signal.SIGCONT)
            await venue.behave()
            tn.cancel_scope.cancel()
    while look().findings:
        pass


def test_the_command(sick: Sick, capsys: pytest.CaptureFixture[str]) -> None:
    done = run_minipiker('diagnose', '--tasks')
    assert (done.returncode, done.stderr) == (0, '')
    assert '\nnothing wrong is seen\n' in done.stdout
    assert '_setup_persistent_datad, at minipiker/data/_daemon.py' in done.stdout
    kind = 'samplerd'
    with sick.ail({kind: signal.SIGUSR1}), pytest.raises(SystemExit) as status:
        cli.diagnose(as_json=True)
    as_json = capsys.readouterr()
    assert (status.value.code, as_json.err) == (1, '')
    told = msgspec.json.decode(as_json.out, type=Diagnosis)
    assert told.findings[0].startswith(kind)
    (report,) = [it.report for it in told.actors if it.name == kind]
    assert report
    assert report.loop == 'spins'
    root = find_pikerd()
    assert root
    for secret in ('simkey', 'simsecretkey', root[1].hex()):
        assert secret not in done.stdout + as_json.out


def test_there_is_no_tree(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    with pytest.raises(SystemExit):
        cli.diagnose()
    assert capsys.readouterr().err == 'error: no pikerd is running\n'


_stranger = """
import os, socket, sys
uid, pid, name = int(sys.argv[1]), int(sys.argv[2]), bytes.fromhex(sys.argv[3])
if uid != os.getuid():
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
with socket.socket(socket.AF_UNIX) as peer:
    peer.settimeout(60)
    peer.connect(name)
    sys.stdout.write(str(len(peer.recv(100))))
"""


def test_another_user_is_told_nothing(sick: Sick) -> None:
    if os.getuid() != 0:
        pytest.skip('only root can become another user')
    root = find_pikerd()
    assert root
    name = _report.mk_name(*root).encode().hex()
    for user, expected in (('root', '100'), ('nobody', '0')):
        uid = str(pwd.getpwnam(user).pw_uid)
        done = subprocess.run(
            [sys.executable, '-c', _stranger, uid, str(root[0]), name],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == expected
