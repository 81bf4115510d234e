"""
Death, of any process of the tree and in whatever way: it is noticed, nothing is left
behind, and the next request is served.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import tractor
import trio
import trio.testing

from minipiker import _spawn
from minipiker._tractor import open_nursery
from minipiker.data._daemon import maybe_spawn_datad
from minipiker.data.feed import open_feed
from minipiker.processes import descendants
from minipiker.service import ServiceDied, find_service, maybe_open_pikerd
from minipiker.service._liveness import actor_info
from minipiker.service._registry import find_registry
from minipiker.testing import (
    Venue,
    open_process,
    open_test_pikerd,
    run_and_kill,
)

_soon: float = 60
"""Seconds; the promise is 1, on an idle machine."""


_lives_on = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read, daemon=True).start()
ctypes.CDLL(None).pthread_exit(None)
"""
"""A program whose first thread ends."""


@pytest.fixture
def _watch(request: pytest.FixtureRequest) -> None:
    """
    Watch processes as this system can, or as any can.
    """
    if request.param == 'looking':
        request.getfixturevalue('_no_pidfds')


@pytest.mark.parametrize('_watch', ['native', 'looking'], indirect=True)
@pytest.mark.usefixtures('_watch')
@pytest.mark.case('RULE-ORPHANS')
async def test_a_killed_datad_is_noticed_and_replaced(
    session_venue: Venue,
    tmp_path: Path,
    broker: str,
) -> None:
    name = f'datad.{broker}'
    async with open_test_pikerd(tmp_path, url=session_venue.url) as services:
        with pytest.raises(ServiceDied, match=name):
            async with maybe_spawn_datad(broker) as p:
                pid = (await p.run(actor_info))['pid']
                os.kill(pid, signal.SIGKILL)
                with trio.fail_after(_soon):
                    await trio.sleep_forever()

        # the next request gets a fresh one, whether or not the old is cleared away
        async with maybe_spawn_datad(broker) as p:
            assert (await p.run(actor_info))['pid'] != pid
        assert list(services.service_tasks) == [name]

        # and a dead one's address is no longer handed out
        os.kill(services.service_tasks[name].process.pid, signal.SIGKILL)
        with trio.fail_after(_soon):
            await services.service_tasks[name].complete.wait()
        async with find_service(name) as gone:
            assert gone is None


async def test_a_datad_that_is_killed_as_it_boots_is_noticed(
    session_venue: Venue,
    tmp_path: Path,
    broker: str,
) -> None:
    async with (
        open_test_pikerd(tmp_path, url=session_venue.url) as services,
        open_nursery() as tn,
    ):
        before = descendants()

        async def kill() -> None:
            while not (born := descendants() - before):
                await trio.lowlevel.checkpoint()
            born.pop().kill()

        tn.start_soon(kill)
        with trio.fail_after(_soon), pytest.raises(ServiceDied, match=broker):
            async with maybe_spawn_datad(broker):
                pass
        async with maybe_spawn_datad(broker) as datad:
            info = await datad.run(actor_info)
        assert services.service_tasks[info['name']].process.pid == info['pid']


async def test_a_datad_that_is_quicker_than_who_has_started_it(
    session_venue: Venue,
    tmp_path: Path,
    broker: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_process = _spawn._open_process

    async def open_and_wait(command: list[str], **options: Any) -> trio.Process:
        process = await open_process(command, **options)
        actor = tractor.current_actor()
        peers = getattr(actor, 'ipc_server', actor)._peers
        while not any(name == f'datad.{broker}' for name, _ in peers):
            await trio.lowlevel.checkpoint()
        return process

    monkeypatch.setattr(_spawn, '_open_process', open_and_wait)
    with trio.fail_after(_soon):
        async with (
            open_test_pikerd(tmp_path, url=session_venue.url),
            maybe_spawn_datad(broker) as datad,
        ):
            await datad.run(actor_info)


@pytest.mark.parametrize('how', ['killed', 'cancelled'])
async def test_a_dead_daemon_leaves_nothing_in_pikerd(
    session_venue: Venue,
    tmp_path: Path,
    broker: str,
    how: str,
) -> None:
    def count() -> tuple[int, int, int]:
        gc.collect()
        # there are types of which it is not text
        modules = (str(type(it).__module__) for it in gc.get_objects())
        return (
            trio.lowlevel.current_statistics().tasks_living,
            psutil.Process().num_fds(),
            sum(module.startswith('tractor') for module in modules),
        )

    name = f'datad.{broker}'
    counts: list[tuple[int, int, int]] = []
    async with open_test_pikerd(tmp_path, url=session_venue.url) as services:
        for _ in range(4):
            service: Any = None
            with suppress(ServiceDied):
                async with maybe_spawn_datad(broker):
                    service = services.service_tasks[name]
                    if how == 'killed':
                        service.process.kill()
                        await trio.sleep_forever()
            await services.cancel_service(name)
            await service.complete.wait()
            with trio.fail_after(_soon):
                # what was under way then comes to its end by and by
                while counts and any(
                    now > first for now, first in zip(count(), counts[0], strict=True)
                ):
                    await trio.testing.wait_all_tasks_blocked(0.01)
            counts.append(count())


@pytest.mark.parametrize(
    ('by', '_watch'),
    [
        (signal.SIGINT, 'native'),
        (signal.SIGTERM, 'native'),
        (signal.SIGHUP, 'native'),
        (signal.SIGKILL, 'native'),
        (signal.SIGKILL, 'looking'),
    ],
    indirect=['_watch'],
)
@pytest.mark.usefixtures('_watch', 'open_simvenue')
@pytest.mark.case('RULE-ORPHANS')
def test_nothing_is_left_when_the_root_ends(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    fqme: str,
    by: signal.Signals,
) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    tree: list[psutil.Process] = []
    with open_process('minipiker', 'pikerd', '--until-eof') as (root, _):

        async def client() -> None:
            async with (
                maybe_open_pikerd(find_registry()),
                open_feed([fqme]) as feed,
            ):
                await feed.receive()
                pikerd = psutil.Process(root.pid)
                tree.extend([pikerd, *pikerd.children(recursive=True)])
                root.send_signal(by)
                async for _ in feed:
                    pass

        # the client is told, too, by whichever of the daemons it misses first
        with pytest.raises((ServiceDied, ConnectionError, tractor.RemoteActorError)):
            trio.run(client)
        status = -by if by is signal.SIGKILL else 128 + by
        assert root.wait(timeout=60) == status

    assert len(tree) == 3, 'pikerd, datad and the venue'
    _, alive = psutil.wait_procs(tree, timeout=_soon)
    assert not alive
    # so no port is left either; who listens where one of these did was given it since
    assert not [
        it
        for it in psutil.process_iter(['environ'])
        if (it.info['environ'] or {}).get('XDG_CONFIG_HOME') == str(tmp_path)
    ]
    assert find_registry() is None
    assert not list(tmp_path.rglob('*.addr')), 'not even by SIGKILL, once looked for'
    assert 'Traceback' not in capfd.readouterr().err


@pytest.mark.parametrize('who_leaves', ['client', 'pikerd'])
async def test_whoever_wanted_it_is_gone_when_a_daemon_is_up(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    broker: str,
    who_leaves: str,
) -> None:
    """
    It has somebody who looks after it all the same, or it would not end with the rest.
    """
    async with open_test_pikerd(tmp_path) as services:
        nursery: Any = type(services.actor_n)
        start_actor = nursery.start_actor
        client = trio.CancelScope()
        leaver = services.service_n.cancel_scope if who_leaves == 'pikerd' else client

        async def start_and_leave(*args: Any, **kwargs: Any) -> Any:
            portal = await start_actor(*args, **kwargs)
            leaver.cancel()
            # where trio's own `start()` has one
            await trio.lowlevel.checkpoint()
            return portal

        with monkeypatch.context() as patch, client:
            patch.setattr(nursery, 'start_actor', start_and_leave)
            with suppress(ConnectionError):
                async with maybe_spawn_datad(broker):
                    pass
        if who_leaves == 'client':
            async with maybe_spawn_datad(broker) as datad:
                pid = (await datad.run(actor_info))['pid']
            assert services.service_tasks[f'datad.{broker}'].process.pid == pid


@pytest.mark.skipif(
    not hasattr(os, 'waitid'),
    reason='sees the end of a process without taking it from the runtime',
)
async def test_a_daemon_that_dies_as_it_is_cancelled_is_gone_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    broker: str,
) -> None:
    async with open_test_pikerd(tmp_path) as services, open_nursery() as tn:
        async with maybe_spawn_datad(broker):
            service = services.service_tasks[f'datad.{broker}']
        pid = service.process.pid
        send_all = trio.SocketStream.send_all

        def kill() -> None:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        async def kill_and_send(*args: Any) -> None:
            kill()
            await send_all(*args)

        # what it leaves unread ends the connection by a reset, of which the first to
        # read or to send hears: here the sender
        os.kill(pid, signal.SIGSTOP)
        tn.start_soon(service.portal.run, actor_info)
        await trio.testing.wait_all_tasks_blocked()
        with monkeypatch.context() as patch:
            patch.setattr(trio.SocketStream, 'send_all', kill_and_send)
            assert not await service.portal.cancel_actor()
        with trio.fail_after(_soon):
            await service.complete.wait()
        tn.cancel_scope.cancel()


async def test_a_killed_client_leaves_no_subscription(
    monkeypatch: pytest.MonkeyPatch,
    session_venue: Venue,
    tmp_path: Path,
    fqme: str,
) -> None:
    """
    `datad` goes on, for the others and for the next.
    """
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    script = f"""
import trio
from minipiker.data.feed import open_feed
from minipiker.service import maybe_open_pikerd
from minipiker.service._registry import find_registry

async def main():
    async with (
        maybe_open_pikerd(find_registry()),
        open_feed([{fqme!r}]) as feed,
    ):
        async for _ in feed:
            print('quote', flush=True)

if __name__ == '__main__':
    trio.run(main)
"""
    async with (
        open_test_pikerd(tmp_path / 'minipiker', url=session_venue.url),
        open_feed([fqme]) as feed,
    ):
        await run_and_kill(script)
        for _ in range(20):
            await feed.receive()


_hang_up = """
import trio
from tractor import Context, open_nursery, open_root_actor
from minipiker._tractor import boxed_type_name, collapse, context, root_kwargs
from minipiker._tractor import wait_for_result
from minipiker.service._registry import free_addr

@context
async def hang_up(ctx: Context) -> None:
    await ctx.started()
    raise trio.BrokenResourceError

async def main() -> None:
    with free_addr() as addr:
        await talk(root_kwargs(addr))

async def talk(root: dict) -> None:
    async with (
        open_root_actor(loglevel='critical', **root),
        open_nursery() as nursery,
    ):
        portal = await nursery.start_actor('peer', enable_modules=[__name__])
        try:
            async with portal.open_context(hang_up) as (ctx, _):
                await wait_for_result(ctx)
        except Exception as err:
            print(boxed_type_name(collapse(err)))
        await portal.cancel_actor()

if __name__ == '__main__':
    trio.run(main)
"""


def test_who_is_there_hears_that_the_other_side_took_it_for_gone(
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    """
    As where one side closes its stream, and the other ends before it takes its leave.
    """
    script = tmp_path / 'hang_up.py'
    script.write_text(_hang_up)
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, 'PYTHONPATH': str(pytestconfig.rootpath)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, 'ContextCancelled\n'), done.stderr


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux has such zombies')
def test_who_has_lost_its_first_thread_is_left_behind_and_not_waited_for() -> None:
    command = [sys.executable, '-c', _lives_on]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            pass
        assert process in descendants()
        child.kill()
        child.wait()
        assert process not in descendants()
