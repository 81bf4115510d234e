"""
The actor tree: who runs, once, and who may ask whom for what.
"""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import tractor
import trio

from minipiker._tractor import boxed_type_name, registry_addr, unwrap_address
from minipiker.data._daemon import maybe_spawn_datad
from minipiker.data._sampling import open_sample_stream
from minipiker.data.feed import open_feed
from minipiker.data.search import open_search
from minipiker.data.tsp import load_history
from minipiker.processes import descendants
from minipiker.service import Services, find_service, open_pikerd
from minipiker.service._liveness import actor_info
from minipiker.service._registry import free_addr
from minipiker.testing import Tree, Venue, open_test_pikerd


def actor_names(services: type[Services]) -> set[str]:
    return set(services.service_tasks)


@pytest.mark.case('RULE-RUNTIME-VARS')
async def test_daemons_are_spawned_by_need_and_end_with_the_root(
    session_venue: Venue,
    tmp_path: Path,
    broker: str,
) -> None:
    async with open_test_pikerd(tmp_path, url=session_venue.url) as services:
        assert actor_names(services) == set()
        async with maybe_spawn_datad(broker) as portal:
            datad = await portal.run(actor_info)
            assert actor_names(services) == {f'datad.{broker}'}
        async with open_sample_stream(0.1) as steps:
            first = await anext(steps)
            assert await anext(steps) > first
        assert actor_names(services) == {f'datad.{broker}', 'samplerd'}

        # they stay for the next client, until somebody ends them
        async with maybe_spawn_datad(broker) as portal:
            assert await portal.run(actor_info) == datad
        await services.cancel_service(f'datad.{broker}')
        assert actor_names(services) == {'samplerd'}
        async with find_service(f'datad.{broker}') as gone:
            assert gone is None
    assert actor_names(services) == set()


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere it cannot be kept')
async def test_the_port_of_a_tree_is_nobody_elses_before_it_is_up(
    tmp_path: Path,
) -> None:
    conf_dir = {'piker_test_dir': str(tmp_path)}
    with free_addr() as addr:
        with socket.socket() as other, pytest.raises(OSError, match='in use'):
            other.bind(addr)
        async with open_pikerd(addr, 'critical', conf_dir):
            assert registry_addr() == addr


async def test_racing_clients_get_one_daemon(
    session_venue: Venue,
    tmp_path: Path,
    broker: str,
) -> None:
    pids: list[int] = []

    async def client() -> None:
        async with maybe_spawn_datad(broker) as portal:
            pids.append((await portal.run(actor_info))['pid'])

    async with (
        open_test_pikerd(tmp_path, url=session_venue.url),
        trio.open_nursery() as tn,
    ):
        for _ in range(8):
            tn.start_soon(client)
    assert len(pids) == 8
    assert len(set(pids)) == 1


async def test_clients_of_several_processes_get_one_daemon(
    shared_tree: Tree,
    broker: str,
) -> None:
    script = f"""
import trio
from minipiker.data._daemon import maybe_spawn_datad
from minipiker.service import maybe_open_pikerd
from minipiker.service._liveness import actor_info
from minipiker.service._registry import find_registry

async def main():
    async with (
        maybe_open_pikerd(find_registry()),
        maybe_spawn_datad({broker!r}) as portal,
    ):
        print((await portal.run(actor_info))['pid'])

if __name__ == '__main__':
    trio.run(main)
"""
    pids: list[bytes] = []

    async def client() -> None:
        process = await trio.run_process(
            [sys.executable, '-c', script], capture_stdout=True
        )
        pids.append(process.stdout)

    async with trio.open_nursery() as tn:
        for _ in range(3):
            tn.start_soon(client)
    assert len(pids) == 3
    assert len(set(pids)) == 1


@pytest.mark.case('RULE-NO-BROKERD')
@pytest.mark.usefixtures('no_forkserver')
async def test_watching_charts_runs_no_brokerd(
    session_venue: Venue,
    tmp_path: Path,
    fqme: str,
    broker: str,
) -> None:
    """
    Asked of the operating system, not of the service manager.
    """
    async with (
        open_test_pikerd(tmp_path, url=session_venue.url),
        open_feed([fqme]) as feed,
        open_search(broker) as search,
    ):
        await feed.receive()
        (mkt,) = feed.mkts.values()
        assert await search(mkt.bs_fqme)
        await load_history(fqme, count=10)

        actors = [' '.join(process.cmdline()) for process in descendants()]
        assert any(f'datad.{broker}' in actor for actor in actors)
        assert not any('brokerd' in actor for actor in actors)


@pytest.mark.parametrize(
    ('modules', 'needless'),
    [
        (
            'minipiker.data._daemon, minipiker.data.feed, minipiker.data.tsp',
            {'numpy', 'pendulum', 'rich', 'psutil', 'minipiker.clearing._ems'},
        ),
        ('minipiker.clearing._ems', {'numpy', 'pendulum', 'rich', 'psutil'}),
        ('minipiker.cli', {'numpy', 'pendulum', 'psutil'}),
    ],
    ids=[
        'datad',
        'emsd',
        'commands',
    ],
)
def test_none_imports_more_than_it_must(
    mod: ModuleType, modules: str, needless: set[str]
) -> None:
    """
    What only histories, orders and logs need would double the time in which it boots.
    """
    code = f'import sys, {modules}, {mod.__name__}; print(*sys.modules)'
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert not needless & {*done.stdout.split()}


@pytest.mark.case('RULE-EXPOSED')
async def test_datad_exposes_no_more_than_it_must(
    shared_tree: Tree,
    mod: ModuleType,
    broker: str,
) -> None:
    async with shared_tree(), maybe_spawn_datad(broker) as portal:
        exposed = set((await portal.run(actor_info))['enable_modules'])
    assert exposed == {
        'minipiker.data._daemon',
        'minipiker.data.feed',
        'minipiker.data.tsp',
        'minipiker.service._liveness',
        mod.__name__,
        *(f'{mod.__name__}.{name}' for name in mod._datad_mods),
    }


@pytest.mark.parametrize(
    'path',
    [
        '_client:get_client',
        '_feed:stream_quotes',
        '_broker:open_trade_dialog',
        '_ledger:norm_trade',
        '_piker:get_logger',
    ],
)
@pytest.mark.case('RULE-EXPOSED')
async def test_datad_refuses_functions_of_other_modules(
    shared_tree: Tree,
    mod: ModuleType,
    broker: str,
    path: str,
) -> None:
    module, _, function = path.partition(':')
    assert callable(getattr(import_module(f'{mod.__name__}.{module}'), function))
    async with shared_tree(), maybe_spawn_datad(broker) as portal:
        with pytest.raises(tractor.RemoteActorError) as refusal:
            await portal.run_from_ns(f'{mod.__name__}.{module}', function)
        assert boxed_type_name(refusal.value) == 'ModuleNotExposed'


async def test_a_call_is_forgotten_when_it_is_over(
    shared_tree: Tree,
    broker: str,
) -> None:
    """
    Or whoever calls once a second would grow for ever.
    """
    async with shared_tree(), maybe_spawn_datad(broker) as portal:
        calls = tractor.current_actor()._contexts
        gc.collect()
        before = len(calls)
        for _ in range(3):
            await portal.run(actor_info)
            with pytest.raises(tractor.RemoteActorError):
                await portal.run_from_ns('os', 'getcwd')
        gc.collect()
        assert len(calls) <= before


async def test_only_pikerd_spawns(shared_tree: Tree, broker: str) -> None:
    """
    The function that spawns is there in a `datad`, but not for others to call.
    """
    async with shared_tree(), maybe_spawn_datad(broker) as portal:
        with pytest.raises(tractor.RemoteActorError) as refusal:
            await portal.run_from_ns(
                'minipiker.data._daemon', 'spawn_datad', brokername=broker
            )
        assert boxed_type_name(refusal.value) == 'ModuleNotExposed'


@pytest.mark.case('RULE-ADDRESSES')
async def test_addresses_in_any_form(shared_tree: Tree) -> None:
    async with shared_tree() as pikerd:
        for addr in (
            ('127.0.0.1', 1024),
            ['127.0.0.1', 1024],
            ('tcp', '127.0.0.1', 1024),
            ['tcp', '127.0.0.1', 1024],
        ):
            assert unwrap_address(addr) == ('127.0.0.1', 1024)
        assert unwrap_address(pikerd.channel.raddr) == registry_addr()
