"""
Credentials are for `brokerd` alone, and show up nowhere.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import psutil
import pytest
import tractor
import trio

from minipiker._tractor import boxed_type_name
from minipiker.brokers import BrokerError
from minipiker.brokers._daemon import brokerd_init, maybe_spawn_brokerd
from minipiker.clearing import Order, open_brokerd_dialog, open_ems
from minipiker.clearing.testing import mk_account, mk_order, wait_for
from minipiker.data._daemon import maybe_spawn_datad
from minipiker.data._sampling import open_sample_stream
from minipiker.data.validate import _eps
from minipiker.service import ServiceDied, find_service, open_pikerd
from minipiker.service._liveness import actor_info
from minipiker.testing import (
    OpenSimVenue,
    find_market,
    open_test_pikerd,
    write_brokers_toml,
)

key, secret = 'key-0f6b3c', 'c2VjcmV0LTkxZDRlNw=='
venue_env = {'SIMVENUE_ACCOUNTS': f'{{"{key}": {{"secret": "{secret}"}}}}'}


def files_below(folder: Path) -> list[Path]:
    return list(folder.rglob('*'))


@pytest.mark.case('RULE-SECRETS')
@pytest.mark.usefixtures('no_forkserver')
async def test_credentials_show_up_nowhere(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    mod: ModuleType,
    broker: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    recording = tmp_path / 'session.jsonl'
    monkeypatch.setenv(f'{broker.upper()}_RECORD', str(recording))
    async with open_simvenue(venue_env, rate=0) as venue:
        write_brokers_toml(tmp_path, url=venue.url, **mk_account(key, secret))
        async with open_pikerd(
            loglevel='debug',
            tractor_runtime_overrides={'piker_test_dir': str(tmp_path)},
        ) as services:

            def kill(name: str) -> None:
                os.kill(services.service_tasks[name].process.pid, signal.SIGKILL)

            account = f'{broker}.main'
            # what an earlier test has asked for the root need not ask for again
            async with mod.get_client() as own:
                await own.get_mkt_pairs()
            with pytest.raises(ServiceDied) as died:
                async with open_ems(broker, 'live') as (client, stream, *_):
                    market = await find_market(venue, mod)

                    def mk_buy(times: float, steps: int) -> Order:
                        price, size = market.price(times), market.size(steps)
                        return mk_order(market.fqme, 'buy', price, size, account)

                    await client.send(mk_buy(1.5, 100))
                    refused = await client.send(mk_buy(1.5, 10**15))
                    with pytest.raises(AssertionError) as error:
                        await wait_for(stream, refused.oid, 'open')
                    await venue.misbehave('malformed')
                    kill(f'brokerd.{broker}')
                    order = await client.send(mk_buy(0.7, 100))
                    await wait_for(stream, order.oid, 'open')
                    for process in psutil.Process().children(recursive=True):
                        shown += process.cmdline()
                    kill('emsd')
                    with trio.fail_after(30):
                        while True:
                            await stream.receive()
            shown += traceback.format_exception(died.value)
            shown += traceback.format_exception(error.value)

            # nor when they are asked for
            async with find_service(f'brokerd.{broker}') as portal:
                assert portal
                module = f'{mod.__name__}._broker'
                try:
                    with trio.fail_after(4):
                        answer = await portal.run_from_ns(module, 'load_accounts')
                    shown.append(repr(answer))
                except (tractor.RemoteActorError, TypeError, trio.TooSlowError) as err:
                    shown += traceback.format_exception(err)
            await services.cancel_service(f'brokerd.{broker}')

            write_brokers_toml(tmp_path, url=venue.url, **mk_account(key, 'wrong'))
            with pytest.raises(tractor.RemoteActorError) as denied:
                async with open_brokerd_dialog(mod, exec_mode='live'):
                    pass
            assert 'AuthError' in str(denied.value)
            shown += traceback.format_exception(denied.value)

    shown += capfd.readouterr()
    shown += [
        file.read_text()
        for file in files_below(tmp_path)
        if file.is_file() and file.name != 'brokers.toml'
    ]
    assert any(market.fqme in text for text in shown), 'the ledger'
    for text in shown:
        assert key not in text
        assert secret not in text

    # nor what is made of them, and what the venue gives for them
    _, *events = map(json.loads, recording.read_text().splitlines())
    assert {it['actor'] for it in events} == {'pikerd', f'brokerd.{broker}'}
    hidden = {
        value
        for event in events
        for message in walk(event.get('message'))
        for name, value in message.items()
        if name.lower() in import_module(f'{mod.__name__}.messages').SECRETS
        if isinstance(value, str) and value
    }
    assert len(hidden) > 3
    for value in hidden:
        assert re.fullmatch(r'<[\w-]+-[0-9a-f]{8}>', value)


def walk(message: Any) -> Iterator[dict[str, Any]]:
    """
    The objects in a message.
    """
    if isinstance(message, dict):
        yield message
        message = list(message.values())
    if isinstance(message, list):
        for it in message:
            yield from walk(it)


@pytest.mark.parametrize(
    ('section', 'expected'),
    [
        (mk_account(key, secret), ['main']),
        (mk_account('', ''), []),  # as `piker-new` writes it
        (mk_account(key, ''), 'no api_secret'),
        ({'accounts': {'main': 'mian'}, 'main': {}}, 'names no section'),
        ({'accounts': {'main': {'api_key': key}}}, 'names no section'),
    ],
)
def test_accounts_name_their_credentials(
    section: dict[str, Any],
    expected: list[str] | str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mod: ModuleType,
    broker: str,
) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    write_brokers_toml(tmp_path / 'minipiker', **section)
    load_accounts = import_module(f'{mod.__name__}._config').load_accounts
    if isinstance(expected, str):
        with pytest.raises(BrokerError, match=expected) as refusal:
            load_accounts()
        assert key not in str(refusal.value)
    else:
        assert list(load_accounts()) == [f'{broker}.{label}' for label in expected]


def test_a_secret_is_given_out_only_where_it_is_asked_for(mod: ModuleType) -> None:
    credentials = import_module(f'{mod.__name__}._config').Credentials(key, secret)
    assert credentials.reveal() == secret
    for shown in (repr(credentials), str(credentials), f'{[credentials]}'):
        assert key not in shown
        assert secret not in shown
    for send in (pickle.dumps, copy.copy, msgspec.msgpack.encode):
        with pytest.raises(TypeError) as refusal:
            send(credentials)
        assert secret not in str(refusal.value)


async def test_a_file_that_others_can_read_is_refused(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mod: ModuleType,
    broker: str,
) -> None:
    async with (
        open_simvenue(venue_env) as venue,
        open_test_pikerd(tmp_path) as services,
    ):
        write_brokers_toml(tmp_path, url=venue.url, **mk_account(key, secret))
        path = tmp_path / 'brokers.toml'
        path.chmod(0o640)
        with pytest.raises(tractor.RemoteActorError) as refusal:
            async with open_brokerd_dialog(mod, exec_mode='live'):
                pass
        assert f'chmod 600 {path}' in str(refusal.value)
        await services.cancel_service(f'brokerd.{broker}')

        # one without credentials is anybody's, and the environment is ours
        write_brokers_toml(tmp_path, url=venue.url)
        path.chmod(0o644)
        monkeypatch.setenv(f'{broker.upper()}_API_KEY', key)
        monkeypatch.setenv(f'{broker.upper()}_API_SECRET', secret)
        async with open_brokerd_dialog(mod, exec_mode='live') as (_, _, names):
            assert names == [f'{broker}.main']


@pytest.mark.case('RULE-SECRETS')
@pytest.mark.usefixtures('no_forkserver')
async def test_only_brokerd_inherits_credentials(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fqme: str,
    broker: str,
) -> None:
    variable = f'{broker.upper()}_API_SECRET'
    monkeypatch.setenv(f'{broker.upper()}_API_KEY', key)
    monkeypatch.setenv(variable, secret)
    async with (
        open_simvenue(venue_env) as venue,
        open_test_pikerd(tmp_path, url=venue.url) as services,
        open_sample_stream(1),
        open_ems(fqme, 'paper'),
        open_ems(fqme, 'live') as (_, _, _, accounts, _),
        maybe_spawn_datad(broker),
        find_service(f'paperboi.{broker}') as paperboi,
    ):
        assert paperboi
        assert accounts == [f'{broker}.main']
        pids = {it: task.process.pid for it, task in services.service_tasks.items()}
        pids[f'paperboi.{broker}'] = (await paperboi.run(actor_info))['pid']
        pids['the venue'] = venue.pid
        assert len(pids) == 6, 'datad, brokerd, emsd, paperboi, samplerd and the venue'
        holders = {
            name
            for name, pid in pids.items()
            if variable in psutil.Process(pid).environ()
        }
        # main's write their titles over it
        assert holders <= {f'brokerd.{broker}'}


@pytest.mark.case('RULE-EXPOSED')
async def test_each_daemon_refuses_the_others_functions(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
    broker: str,
) -> None:
    def path(name: str) -> str:
        return f'{getattr(mod, name).__module__}:{name}'

    async with (
        open_simvenue(venue_env) as venue,
        open_test_pikerd(tmp_path, url=venue.url, **mk_account(key, secret)),
        maybe_spawn_datad(broker) as datad,
        open_brokerd_dialog(mod, exec_mode='live'),
        find_service(f'brokerd.{broker}') as brokerd,
    ):
        assert brokerd
        exposed = set((await brokerd.run(actor_info))['enable_modules'])
        assert exposed == {
            'minipiker.brokers._daemon',
            'minipiker.service._liveness',
            mod.__name__,
            *(f'{mod.__name__}.{name}' for name in mod._brokerd_mods),
        }
        host = ['minipiker.data.feed:open_feed_bus', 'minipiker.data.tsp:get_hist']
        for portal, wrong in (
            (brokerd, [*map(path, _eps['datad'] + _eps['middleware']), *host]),
            (datad, [*map(path, _eps['brokerd'] + _eps['middleware'])]),
        ):
            for it in wrong:
                module, _, function = it.partition(':')
                with pytest.raises(tractor.RemoteActorError) as refusal:
                    await portal.run_from_ns(module, function)
                assert boxed_type_name(refusal.value) == 'ModuleNotExposed', it


@pytest.mark.case('RULE-BOOT')
async def test_a_backend_that_cannot_trade_gets_no_brokerd(
    tmp_path: Path,
    mod: ModuleType,
    broker: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data_only = ModuleType(mod.__name__)
    names = vars(mod).keys() - {'__getattr__', 'open_trade_dialog'}
    vars(data_only).update({name: vars(mod)[name] for name in names})
    monkeypatch.setitem(sys.modules, mod.__name__, data_only)
    async with open_test_pikerd(tmp_path) as services:
        with pytest.raises(BrokerError, match='cannot trade'):
            async with maybe_spawn_brokerd(broker):
                pass
        assert services.service_tasks == {}
    # its paper account is another matter
    assert brokerd_init(broker)[0] is data_only
