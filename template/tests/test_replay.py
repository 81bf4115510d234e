"""
A recorded session, replayed.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from minipiker.brokers import BrokerError
from minipiker.testing import OpenSimVenue, find_market, open_test_pikerd
from simvenue.__main__ import open_venue, parse_options
from simvenue.dialect import replay as words
from simvenue.recording import Event, Header, Recording, RecordingError
from simvenue.replay import Replay
from simvenue.session import Call

_minute: int = 60_000


async def look_around(client: Any, feed: Any, name: str, now: int) -> list[Any]:
    """
    What the venue says to one who only asks.
    """
    async with client.session.open_channel(*feed.mk_channels(name)) as stream:
        ticker = await client.get_ticker(name)
        trades = await client.get_trades(name, count=3, newest_first=True)
        heard = [await stream.receive() for _ in range(12)]
    bars = [
        await client.get_bars(name, 60, now - (20 + it) * _minute, now - it * _minute)
        for it in (0, 60)
    ]
    return [
        await client.get_assets(reload=True),
        [*await client.get_mkt_pairs(reload=True)],
        (ticker.last, ticker.best_bid_price, ticker.best_ask_amount),
        trades,
        bars,
        [without_time(feed, it) for it in heard],
    ]


def without_time(feed: Any, heard: Any) -> Any:
    """
    Trades, or what a quote says: not every venue says of that when it was.
    """
    if isinstance(heard, list):
        return heard
    return [(it['type'], it['price'], it['size']) for it in feed.mk_quote_ticks(heard)]


@pytest.fixture
def feed(mod: ModuleType) -> Any:
    return import_module(f'{mod.__name__}._feed')


async def test_says_what_was_recorded(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broker: str,
    mod: ModuleType,
    feed: Any,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path, variable = tmp_path / 'session.jsonl', broker.upper()
    async with open_simvenue() as venue:
        monkeypatch.setenv(f'{variable}_URL', venue.url)
        async with open_test_pikerd(tmp_path / 'conf'):
            market = await find_market(venue, mod)
            monkeypatch.setenv(f'{variable}_RECORD', str(path))
            async with mod.get_client() as client:
                now = client.clock.now_ms()
                args = feed, market.name, now
                said = await look_around(client, *args)
    monkeypatch.delenv(f'{variable}_RECORD')

    # a second time as well, which was not recorded
    async with open_simvenue(replay=path, pace='full') as venue:
        monkeypatch.setenv(f'{variable}_URL', venue.url)
        async with open_test_pikerd(tmp_path / 'conf'):
            for _ in range(2):
                async with mod.get_client() as client:
                    assert await look_around(client, *args) == said

            # all else fails
            async with mod.get_client() as client:
                with pytest.raises(BrokerError):
                    await client.get_ticker(market.name[:-1])
                with pytest.raises(BrokerError):
                    async with client.session.open_channel(
                        *feed.mk_channels(market.name[:-1])
                    ):
                        pass
    complaints = capfd.readouterr().err
    assert 'was not recorded' in complaints
    assert '-   ' in complaints
    assert '+   ' in complaints
    check_that_each_part_counts(path)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    match value:
        case dict():
            for key, it in value.items():
                yield from leaves(it, (*path, key))
        case list():
            for at, it in enumerate(value):
                yield from leaves(it, (*path, at))
        case _:
            yield path


def changed(message: Any, path: tuple[Any, ...]) -> Any:
    message = copy.deepcopy(message)
    *way, last = path
    part = message
    for key in way:
        part = part[key]
    part[last] = 'changed' if isinstance(part[last], str) else 77
    return message


def check_that_each_part_counts(path: Path) -> None:
    replay = open_venue(parse_options([f'--replay={path}'])).dialect
    assert isinstance(replay, Replay)
    # of what is asked by HTTP it is another word
    assert replay._said({words.ID: 7}, {'verb': 'GET'}) == {words.ID: 7}
    counted = 0
    for (over, _), exchanges in replay._exchanges.items():
        request = exchanges[0].event.message
        for leaf in leaves(request):
            names = {it for it in leaf if isinstance(it, str)}
            counts = not names & (words.IGNORED | words.TIMES | words.NAMES)
            found = replay._find(over, changed(request, leaf))
            assert (found is None) == counts, (request, leaf)
            counted += counts
    assert counted > 10


@pytest.mark.parametrize('operation', ['subscribe', 'login'])
def test_subscriptions_at_once_come_in_any_order(operation: str) -> None:
    """
    Whichever is made first, the others are those of the same moment. A venue may begin
    to tell an account of itself as soon as it has logged in.
    """
    examples = (Path(__file__).parents[1] / 'recordings').glob('*.jsonl')
    subscriptions = {
        str(words.channels(event.message)): event
        for path in examples
        for event in Recording.read(path).events
        if event.over == 'ws' and event.is_asked and words.subscribes(event.message)
    }
    first, second, *_ = [*subscriptions.values()] * 2
    moments = [
        replace(event, conn=str(conn), time=conn + 0.1 * at)
        for conn in (1, 2)
        for at, event in enumerate((first, second))
    ]
    nothing = cast(Any, None)
    replay = Replay(nothing, Recording(Header(recording=1), moments), 0)
    session = cast(Any, SimpleNamespace(after_reply=[]))
    call = Call(operation, '', nothing, nothing, nothing)
    for event in (second, first):
        replay._replayed(session, 'ws ', call, event.message)
    assert {it.event.conn for it in replay._used} == {'1'}
    assert len(session.after_reply) == 2, 'each brings what came on its channels'


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('', 'is no recording'),
        ('{"recording": 2}\n', 'is of format 2'),
        ('{"recording": 1}\n{}\n', ':2: Object missing'),
        (None, 'No such file'),
    ],
)
def test_what_is_no_recording_is_refused(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    path = tmp_path / 'session.jsonl'
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecordingError, match=complaint):
        open_venue(parse_options([f'--replay={path}']))


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / 'session.jsonl'
    event = Event(time=1.0, actor='a', conn='1', over='ws', way='opened')
    recording = Recording(Header(recording=1), [event, event])
    recording.write(path)
    assert not Recording.read(path).torn
    path.write_bytes(path.read_bytes()[:-5])
    torn = Recording.read(path)
    assert torn.torn
    assert torn.events == [event]


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / 'session.jsonl'
    line = b'{"time":1.5,"actor":"a","way":"sent","message":{"qty":0.50,"n":100.0}}\n'
    path.write_bytes(b'{"recording":1}\n' + line)
    recording = Recording.read(path)
    recording.write(path)
    assert path.read_bytes().endswith(line)


def run_suite(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *args],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_suite_on_a_recording(tmp_path: Path) -> None:
    path = tmp_path / 'suite.jsonl'
    feed = 'tests/test_feed.py::test_'
    carried = f'{feed}the_backend_streams_as_a_host_calls_it'
    recorded = run_suite(f'--record={path}', carried)
    assert '1 passed' in recorded.stdout, recorded.stdout
    assert list(Recording.read(path).named('test')) == [carried]

    tests = ('an_unknown_market_is_refused', 'several_markets_in_one_feed')
    others = (f'{feed}{it}' for it in tests)
    replayed = run_suite(f'--replay={path}', carried, *others)
    assert '1 passed, 2 skipped' in replayed.stdout, replayed.stdout
    assert 'is not in the recording' in replayed.stdout
    assert 'needs a venue that can be disturbed' in replayed.stdout
