"""
The gate: strangers get nothing, and neither they nor a broken peer can do any harm.
"""

from __future__ import annotations

import os
import pwd
import random
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import tractor
import trio

from minipiker import _gate
from minipiker._tractor import _is_main, boxed_type_name
from minipiker.clearing import open_ems
from minipiker.clearing.testing import mk_account
from minipiker.data._sampling import open_sample_stream
from minipiker.data.feed import Feed, open_feed
from minipiker.service import find_service
from minipiker.service._liveness import actor_info
from minipiker.testing import Tree, open_test_pikerd
from simvenue.process import open_simvenue

stranger = """
import os, socket, sys
uid, ports, *said = sys.argv[1:]
if int(uid) != os.getuid():
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
for port in ports.split(','):
    for data in said:
        peer = socket.socket()
        peer.settimeout(60)
        received = b''
        try:
            peer.connect(('127.0.0.1', int(port)))
            peer.sendall(bytes.fromhex(data))
            while more := peer.recv(4096):
                received += more
        except ConnectionError:
            pass
        peer.close()
        print(port, len(received))
"""


@acm
async def open_tree(
    conf_dir: Path,
    broker: str,
) -> AsyncIterator[tuple[list[str], Feed]]:
    """
    A tree where every kind of actor has work, their names, and a feed.
    """
    names = ['pikerd', 'samplerd', f'datad.{broker}']
    names += ['emsd', f'brokerd.{broker}', f'paperboi.{broker}']
    async with (
        open_simvenue() as venue,
        open_test_pikerd(conf_dir, url=venue.url, **mk_account()),
        open_sample_stream(0.1),
        open_feed([f'btcusdt.{broker}']) as feed,
        open_ems(broker, 'live'),
        open_ems(broker, 'paper'),
    ):
        yield names, feed


async def find_ports(names: list[str]) -> dict[str, tuple[int, int]]:
    """
    By its name the process of each actor, and where it listens.
    """
    pids = {'pikerd': os.getpid()}
    for name in set(names) - {*pids}:
        async with find_service(name) as portal:
            assert portal, name
            pids[name] = (await portal.run(actor_info))['pid']
    found = {
        name: (pid, connection.laddr.port)
        for name, pid in pids.items()
        for connection in psutil.Process(pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert found.keys() == {*names}
    return found


def frame(msg: Any) -> bytes:
    data = msgspec.msgpack.encode(msg)
    return struct.pack('<I', len(data)) + data


def name_of(name: str = 'mallory', uuid: str = 'u') -> bytes:
    """
    What an actor says first.
    """
    if _is_main:
        from tractor.msg.types import Aid

        return frame(Aid(name=name, uuid=uuid, pid=1))
    return frame([name, uuid])


def call_of(module: str, function: str, kwargs: Any = None) -> bytes:
    kwargs = {} if kwargs is None else kwargs
    if _is_main:
        from tractor.msg.types import Start

        return frame(
            Start(
                cid='c', ns=module, func=function, kwargs=kwargs, uid=('mallory', 'u')
            )
        )
    return frame({'cmd': [module, function, kwargs, ['mallory', 'u'], 'c']})


async def test_a_stranger_gets_nothing(tmp_path: Path, broker: str) -> None:
    strangers = {'the same user without the key': os.getuid()}
    if os.getuid() == 0:  # who alone can become another one
        strangers['another user'] = pwd.getpwnam('nobody').pw_uid
    async with open_tree(tmp_path, broker) as (names, feed):
        ports = await find_ports(names)
        calls = (
            call_of('minipiker.service._daemon', 'list_services')
            + call_of('minipiker.service._liveness', 'actor_info')
            + call_of('self', 'get_registry')
            + call_of('self', 'cancel')
        )
        said = [(proof + name_of() + calls).hex() for proof in (b'', bytes(64))]
        for who, uid in strangers.items():
            listed = ','.join(str(port) for _, port in ports.values())
            result = await trio.run_process(
                [sys.executable, '-c', stranger, str(uid), listed, *said],
                capture_stdout=True,
                stdin=subprocess.DEVNULL,
            )
            received = [line.split() for line in result.stdout.decode().splitlines()]
            assert len(received) == len(said) * len(ports)
            for port, size in received:
                # a nonce and a proof, and no word of what was asked
                assert int(size) in (0, 32, 64), (who, port)
        await feed.receive()
        assert await find_ports(names) == ports


noise: dict[str, bytes] = {
    'nothing': b'',
    'http': b'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    'half a length': b'\1\0',
    'half a name': name_of()[:-1],
    'huge length': b'\xff\xff\xff\xff' + bytes(1000),
    'no msgpack': struct.pack('<I', 4) + b'\xc1' * 4,
    'deep': struct.pack('<I', 100_000) + b'\x91' * 100_000,
    'an int for a name': frame(5),
    'half of a name': frame(['a']),
    'None for a name': frame(None),
    'name, then no msgpack': name_of() + (struct.pack('<I', 4) + b'\xc1' * 4) * 6,
    'name, then int': name_of() + frame(7),
    'name, then dict': name_of() + frame({}),
    'name, then None': name_of() + frame(None),
    'name, then half a call': name_of() + frame({'cmd': [1]}),
    'unknown method': name_of() + call_of('self', 'nope'),
    'a method that is not for others': name_of() + call_of('self', '_async_main'),
    'arguments that are none': name_of()
    + frame({'cmd': ['minipiker.service._liveness', 'actor_info', 5, ['a', 'b'], 'c']}),
    'wrong arguments': name_of()
    + call_of('minipiker.service._liveness', 'actor_info', {'x': 1}),
    'an error of nobody': name_of()
    + frame({'error': {'tb_str': 'x', 'type_str': 'ValueError'}}),
    'a name that is taken': name_of('pikerd') + frame(7),
}
rng = random.Random(0)
noise |= {f'random {i}': rng.randbytes(rng.randrange(1, 200)) for i in range(10)}
noise |= {f'name, then random {i}': name_of() + rng.randbytes(60) for i in range(10)}


async def test_noise_ends_its_own_connection(tmp_path: Path, broker: str) -> None:
    async with open_tree(tmp_path, broker) as (names, feed):
        ports = await find_ports(names)
        for (name, (_, port)), has_key in product(ports.items(), (False, True)):
            for what, data in noise.items():
                stream = await trio.open_tcp_stream('127.0.0.1', port)
                try:
                    with trio.fail_after(30):
                        async with stream:
                            if has_key:
                                await _gate.greet(stream, dials=True)
                            await stream.send_all(data)
                            await stream.send_eof()
                            while await stream.receive_some():
                                pass
                except trio.BrokenResourceError:
                    pass  # it did not want to hear all of it
                except trio.TooSlowError:
                    pytest.fail(f'{name} keeps a connection after {what}')
        for _ in range(3):
            await feed.receive()
        assert await find_ports(names) == ports


@pytest.mark.parametrize(
    ('module', 'function', 'kwargs', 'refusal'),
    [
        ('service._daemon', 'spawn_service', {'service_name': 'x'}, 'PermissionError'),
        ('service._daemon', 'spawn_service', {'target': 'trio:run'}, 'TypeError'),
        ('service._daemon', 'import_module', {'name': 'this'}, 'ModuleNotExposed'),
        ('data._sampling', 'spawn_samplerd', {'name': 'x'}, 'ModuleNotExposed'),
        ('_gate', 'get_key', {}, 'ModuleNotExposed'),
    ],
)
async def test_pikerd_does_what_it_offers_and_nothing_else(
    shared_tree: Tree,
    module: str,
    function: str,
    kwargs: dict[str, Any],
    refusal: str,
) -> None:
    args = {'loglevel': None, **kwargs} if function == 'spawn_service' else kwargs
    async with shared_tree() as pikerd:
        with pytest.raises(tractor.RemoteActorError) as error:
            await pikerd.run_from_ns(f'minipiker.{module}', function, **args)
        assert boxed_type_name(error.value) == refusal


async def test_an_actors_own_methods_and_its_debugger_are_not_for_others(
    shared_tree: Tree,
    broker: str,
) -> None:
    async with (
        shared_tree() as pikerd,
        open_feed([f'btcusdt.{broker}']),
        find_service(f'datad.{broker}') as datad,
    ):
        assert datad
        for portal in (pikerd, datad):
            for module, function in (
                ('tractor._debug', '_set_trace'),
                ('tractor.devx.debug._tty_lock', 'request_root_stdio_lock'),
            ):
                with pytest.raises(tractor.RemoteActorError) as error:
                    await portal.run_from_ns(module, function)
                assert boxed_type_name(error.value) == 'ModuleNotExposed'
            with pytest.raises(tractor.RemoteActorError) as error:
                await portal.run_from_ns('self', 'load_modules')
            assert boxed_type_name(error.value) == 'PermissionError'


@acm
async def open_connection() -> AsyncIterator[tuple[trio.SocketStream, ...]]:
    (listener,) = await trio.open_tcp_listeners(0, host='127.0.0.1')
    async with listener:
        dialer = await trio.open_tcp_stream(*listener.socket.getsockname())
        accepted = await listener.accept()
        async with dialer, accepted:
            yield dialer, accepted


async def pass_on(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    # not closed: the other direction may still be under way
    with suppress(trio.BrokenResourceError):
        while data := await source.receive_some():
            await sink.send_all(data)
        await sink.send_eof()


async def test_whoever_answers_has_to_know_the_key_too() -> None:
    """
    A port that an actor had may be anybody's when it is dead.
    """
    async with open_connection() as (dialer, listener), trio.open_nursery() as tn:
        tn.start_soon(pass_on, listener, listener)
        with pytest.raises(ConnectionError, match='none of this actor tree'):
            await _gate.greet(dialer, dials=True)
        await dialer.aclose()


async def test_a_proof_is_good_for_one_connection() -> None:
    """
    And cannot be passed on to an actor by who is dialed in its place.
    """
    async with (
        open_connection() as (dialer, before),
        open_connection() as (behind, listener),
        trio.open_nursery() as tn,
    ):
        tn.start_soon(pass_on, before, behind)
        tn.start_soon(pass_on, behind, before)
        refused: list[bool] = []

        async def greet(stream: trio.SocketStream, dials: bool) -> None:
            with pytest.raises(ConnectionError):
                await _gate.greet(stream, dials=dials)
            refused.append(dials)
            await stream.aclose()

        async with trio.open_nursery() as greeters:
            greeters.start_soon(greet, dialer, True)
            greeters.start_soon(greet, listener, False)
        assert sorted(refused) == [False, True]
        tn.cancel_scope.cancel()


async def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / 'conf'
    path.mkdir()
    async with open_test_pikerd(path):
        (file,) = path.glob('*.addr')
        assert _gate.get_key().hex() in file.read_text()
        assert file.stat().st_mode & 0o077 == 0
