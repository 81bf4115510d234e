"""
A pytest plugin: the suite recorded, and run on a recording.

A recording says which tests it is of. On it those run that need a venue, but one that
they do not disturb: it does not answer what it was not asked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
import trio

from simvenue.client import Controls
from simvenue.recording import Recording, RecordingError, check_place

from ..brokers import __brokers__, get_brokermod

(_broker,) = __brokers__

_recording = pytest.StashKey[Recording]()
_variable: str = f'{_broker.upper()}_RECORD'


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        '--record',
        metavar='FILE',
        help='record what goes over the connections to the venue',
    )
    parser.addoption(
        '--replay',
        metavar='FILE',
        help='run on what was recorded; tests that it cannot carry are skipped',
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    record, replay = (config.getoption(it) for it in ('record', 'replay'))
    if replay and (record or config.getoption('--venue')):
        raise pytest.UsageError('--replay takes the place of a venue')
    if record:
        try:
            check_place(Path(record))
        except RecordingError as err:
            raise pytest.UsageError(str(err)) from None
    if record or replay:
        # one test after the other, whose messages can be told apart
        config.option.numprocesses = 0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        'markers', 'present: a test that no recording carries, for it asks for now'
    )
    if not (path := config.getoption('replay')):
        return
    try:
        recording = Recording.read(Path(path))
    except RecordingError as err:
        raise pytest.UsageError(str(err)) from None
    if not (markets := recording.named('market')):
        raise pytest.UsageError(f'{path} is of no suite: make one by --record')
    config.stash[_recording] = recording
    config.option.symbol = config.option.symbol or next(iter(markets))


@pytest.fixture(autouse=True)
def _in_recording(request: pytest.FixtureRequest) -> None:
    """
    Have the test marked in what is recorded, or begin there in what is replayed.
    """
    config, name = request.config, request.node.nodeid
    for option in ('record', 'replay'):
        if config.getoption(option) and 'open_simvenue' in request.fixturenames:
            pytest.skip(f'needs a venue that can be disturbed: run without --{option}')
    if 'session_venue' not in request.fixturenames:
        return
    if recording := config.stash.get(_recording, None):
        if request.node.get_closest_marker('present'):
            pytest.skip('is about the moment at which it runs')
        if (since := recording.named('test').get(name)) is None:
            pytest.skip('is not in the recording')
        venue = request.getfixturevalue('session_venue')
        trio.run(_seek, venue.controls_url, since)
    if path := os.environ.get(_variable):
        mark(path, 'market', request.getfixturevalue('session_venue').symbol)
        mark(path, 'test', name)


async def _seek(url: str, since: float) -> None:
    async with Controls(url) as controls:
        await controls.seek(since)


@pytest.fixture
def venue_time(
    request: pytest.FixtureRequest, _in_recording: None
) -> Callable[[], float]:
    """
    What time it is at the session's venue, in epoch s.
    """
    if recording := request.config.stash.get(_recording, None):
        ahead = recording.named('test')[request.node.nodeid] - time.time()
        return lambda: time.time() + ahead
    return time.time


@pytest.fixture(scope='session', autouse=True)
def _recorded(request: pytest.FixtureRequest, _isolation: Path) -> Iterator[None]:
    """
    Have everything recorded that is started in this session.
    """
    if not (path := request.config.getoption('record')):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(_variable, str(Path(path).absolute()))
        yield


def mark(path: str, way: str, name: str) -> None:
    """
    Write down what begins here.
    """
    package = get_brokermod(_broker).__name__
    protocol = import_module(f'{package}._connection').PROTOCOL
    recorder = import_module(f'{package}._tap').Recorder(path, '', protocol)
    recorder.write({'time': time.time(), 'actor': 'pytest', 'way': way, 'path': name})
    recorder.close()
