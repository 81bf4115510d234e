"""
The simulated venue by itself: a process, a socket, and what comes out of it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import trio
from trio_websocket import ConnectionClosed

from minipiker.testing import open_process
from simvenue.process import open_simvenue
from simvenue.source import RecordingError, read_recording
from simvenue.wire import Refused, SimVenueError, call, open_wire

_epoch: int = 1_750_000_000_000
_btc: dict[str, Any] = {'instrument_name': 'BTC-USDT'}


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """
    A venue that the tests of this module share, where time flies.
    """
    options = ('--seed=7', f'--epoch={_epoch}', '--speed=5')
    with open_process('simvenue', *options) as (_, url):
        yield url


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_ends_quietly(signum: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, '-m', 'simvenue'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline().startswith('ws://127.0.0.1:')
        process.send_signal(signum)
        assert process.communicate(timeout=10) == ('', '')
    assert process.returncode == 0


def test_dies_with_its_parent() -> None:
    parent = """
import trio
from simvenue.process import open_simvenue

async def main():
    async with open_simvenue() as venue:
        print(venue.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""
    with subprocess.Popen(
        [sys.executable, '-c', parent], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        venue = psutil.Process(int(process.stdout.readline()))
        process.kill()
    venue.wait(timeout=10)


async def test_minutes_are_the_sum_of_their_seconds(url: str) -> None:
    start = (_epoch // 60_000 - 20) * 60_000
    end = start + 10 * 60_000 - 1
    seconds, minutes = [
        await call(
            url, 'public/get_candles', **_btc, resolution=it, start=start, end=end
        )
        for it in (1, 60)
    ]
    assert minutes['time'] == list(range(start, end, 60_000))
    assert seconds['time'] == list(range(start, end, 1000))
    for minute in range(10):
        of_minute = slice(60 * minute, 60 * minute + 60)
        assert minutes['open'][minute] == seconds['open'][of_minute][0]
        assert minutes['high'][minute] == max(seconds['high'][of_minute])
        assert minutes['low'][minute] == min(seconds['low'][of_minute])
        assert minutes['close'][minute] == seconds['close'][of_minute][-1]
        assert minutes['volume'][minute] == pytest.approx(
            sum(seconds['volume'][of_minute])
        )


async def test_seconds_are_the_sum_of_their_trades(url: str) -> None:
    async with open_wire(url) as wire:
        await wire.request('public/subscribe', channels=['trades.BTC-USDT'])
        trades: list[Any] = []
        while not trades or trades[-1]['timestamp'] < trades[0]['timestamp'] + 2000:
            trades += (await wire.notification())['data']['trades']
        second = trades[0]['timestamp'] // 1000 + 1
        candles = await wire.request(
            'public/get_candles', **_btc, resolution=1, end=second * 1000, limit=1
        )
    prices = [it['price'] for it in trades if it['timestamp'] // 1000 == second]
    amounts = [it['amount'] for it in trades if it['timestamp'] // 1000 == second]
    candle = {name: column[0] for name, column in candles.items()}
    assert candle == {
        'time': second * 1000,
        'open': prices[0],
        'high': max(prices),
        'low': min(prices),
        'close': prices[-1],
        'volume': pytest.approx(sum(amounts)),
    }


async def test_history_goes_back_to_the_listing(url: str) -> None:
    (btc, *_) = await call(url, 'public/get_instruments')
    listed = btc['creation_timestamp']
    assert listed < _epoch - 6 * 365 * 86_400_000
    oldest = await call(
        url, 'public/get_candles', **_btc, resolution=60, end=listed + 120_000
    )
    assert oldest['time'] == [listed, listed + 60_000, listed + 120_000]
    older = await call(url, 'public/get_candles', **_btc, resolution=1, end=listed - 1)
    assert older == {name: [] for name in oldest}


async def test_runs_repeat(url: str) -> None:
    async def look(url: str) -> list[Any]:
        return [
            await call(url, 'public/get_candles', **_btc, resolution=1, end=_epoch - 1),
            await call(url, 'public/get_trades', **_btc, start_id=10**9),
        ]

    seen = await look(url)
    async with open_simvenue(seed=7, epoch=_epoch) as venue:
        assert await look(venue.url) == seen
    async with open_simvenue(seed=8, epoch=_epoch) as venue:
        candles, trades = await look(venue.url)
    assert candles != seen[0]
    assert trades != seen[1]


async def test_a_restart_forgets_nothing() -> None:
    async with open_simvenue(speed=5) as venue, open_wire(venue.url) as wire:
        url = venue.url
        await wire.request('public/subscribe', channels=['trades.BTC-USDT'])
        trades: list[Any] = []
        while len(trades) < 3:
            trades += (await wire.notification())['data']['trades']
        printed = await venue.call('sim/trade', **_btc, price=50_000, amount=2)
        while trades[-1]['timestamp'] < printed['timestamp'] + 2000:
            trades += (await wire.notification())['data']['trades']
        assert printed in trades
        second = {'resolution': 1, 'end': printed['timestamp'] + 1000, 'limit': 1}
        candle = await venue.call('public/get_candles', **_btc, **second)

        await venue.kill()
        with pytest.raises(SimVenueError, match='is gone'):
            await venue.call('public/get_time')
        await venue.restart()

        assert venue.url == url
        again = await venue.call(
            'public/get_trades', **_btc, start_id=trades[0]['trade_id'], limit=1000
        )
        # computed this time, not added up from trades
        assert candle == await venue.call('public/get_candles', **_btc, **second)
    assert again[: len(trades)] == trades
    assert all(b['trade_id'] - a['trade_id'] == 1 for a, b in pairwise(again))
    assert all(b['timestamp'] >= a['timestamp'] for a, b in pairwise(again))


async def test_what_was_written_in_part_never_was(tmp_path: Path) -> None:
    state = tmp_path / 'state'
    async with open_simvenue(state=state, rate=0) as venue:
        trades = [
            await venue.call('sim/trade', **_btc, price=price, amount=1)
            for price in (50_000, 50_001, 50_002)
        ]
        await venue.kill()
        state.write_bytes(state.read_bytes()[:-5])
        await venue.restart()
        assert await venue.call('public/get_trades', **_btc) == trades[:2]
        assert (await venue.call('public/ticker', **_btc))['last_price'] == 50_001
    assert state.stat().st_mode & 0o777 == 0o600


async def test_replays_a_recording(tmp_path: Path) -> None:
    recording = tmp_path / 'trades.csv'
    recording.write_text(
        'timestamp,instrument,price,amount,side\n'
        f'{_epoch + 100},BTC-USDT,60000.5,0.25,buy\n'
        f'{_epoch + 200},BTC-USDT,60001,0.5,sell\n'
        '2025-06-15T15:06:41.300Z,BTC-USDT,60002.5,1,buy\n'
        f'{_epoch + 1100},XYZ-EUR,3,7,buy\n'
    )
    async with open_simvenue(replay=recording, speed=10) as venue:
        while await venue.call('public/get_time') < _epoch + 3000:
            pass
        trades = await venue.call('public/get_trades', **_btc)
        candles = await venue.call(
            'public/get_candles', **_btc, resolution=1, start=_epoch - 1000
        )
        instruments = await venue.call('public/get_instruments')

    assert [
        (it['trade_id'], it['timestamp'], it['price'], it['amount'], it['direction'])
        for it in trades
    ] == [
        (1, _epoch + 100, 60000.5, 0.25, 'buy'),
        (2, _epoch + 200, 60001.0, 0.5, 'sell'),
        (3, _epoch + 1300, 60002.5, 1.0, 'buy'),
    ]
    rows = list(zip(*candles.values(), strict=True))
    # what was before leads up to the first trade, what comes after is silence
    assert rows[0][4] == 60000.5
    assert rows[1:3] == [
        (_epoch, 60000.5, 60001.0, 60000.5, 60001.0, 0.75),
        (_epoch + 1000, 60002.5, 60002.5, 60002.5, 60002.5, 1.0),
    ]
    assert rows[3:] == [
        (_epoch + 1000 * second, *4 * (60002.5,), 0.0)
        for second in range(2, len(rows) - 1)
    ]
    ticks = {it['instrument_name']: it['tick_size'] for it in instruments}
    assert (ticks['BTC-USDT'], ticks['XYZ-EUR']) == ('0.1', '1')


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('', 'no trades'),
        ('timestamp,price\n1,2\n', "no column 'instrument'"),
        ('timestamp,instrument,price,amount,side\n1,A-B,0,1,buy\n', ':2: price and'),
        ('timestamp,instrument,price,amount,side\n1,A-B,1,1,hold\n', ':2: side must'),
        ('timestamp,instrument,price,amount,side\nx,A-B,1,1,buy\n', ':2: Invalid'),
        ('timestamp,instrument,price,amount,side\n1,AB,1,1,buy\n', "'AB' is not BASE"),
    ],
)
def test_bad_recordings_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    recording = tmp_path / 'trades.csv'
    recording.write_text(text)
    with pytest.raises(RecordingError, match=complaint):
        read_recording(recording, seed=0)


async def test_says_why_it_does_not_start(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SimVenueError, match='did not start'):
        async with open_simvenue(replay='/nowhere.csv'):
            pass
    assert capfd.readouterr().err == (
        'simvenue: /nowhere.csv: No such file or directory\n'
    )


def test_says_that_its_port_is_taken(url: str) -> None:
    port = url.rpartition(':')[2]
    refused = subprocess.run(
        [sys.executable, '-m', 'simvenue', '--port', port],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (1, '')
    assert re.fullmatch(r'simvenue: .*already in use\n', refused.stderr)


def test_ends_quietly_where_nobody_reads_its_url() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with subprocess.Popen(
        [sys.executable, '-m', 'simvenue'],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(write_end)
        _, stderr = process.communicate(timeout=60)
        assert stderr == ''
    assert process.returncode == 0


async def test_channels_count_their_messages(url: str) -> None:
    channels = ['trades.ETH-USDT', 'quote.ETH-USDT']
    async with open_wire(url) as wire:
        assert await wire.request('public/subscribe', channels=channels) == channels
        seqs: dict[str, list[int]] = {channel: [] for channel in channels}
        while min(map(len, seqs.values())) < 4:
            params = await wire.notification()
            seqs[params['channel']].append(params['data']['seq'])
        await wire.request('public/unsubscribe', channels=channels)
        assert not (await wire.request('sim/state'))['channels']
    for numbers in seqs.values():
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ('message', 'code'),
    [
        ('{"id": 1, "method": ', -32700),
        ('[]', -32600),
        ('{"id": 1}', -32600),
        ('{"id": 1, "method": "public/nothing"}', -32601),
        ('{"id": 1, "method": "public/ticker"}', -32602),
        ('{"id": 1, "method": "public/ticker", "params": {"who": "X"}}', -32602),
        ('{"id": 1, "method": "public/search_instruments", "params": []}', -32600),
    ],
)
async def test_bad_requests(url: str, message: str, code: int) -> None:
    async with open_wire(url) as wire:
        await wire.websocket.send_message(message)
        assert (await wire.receive())['error']['code'] == code
        # and the connection goes on
        assert await wire.request('public/get_time') > _epoch


async def test_unknown_names(url: str) -> None:
    async with open_wire(url) as wire:
        with pytest.raises(Refused, match='11050'):
            await wire.request('public/ticker', instrument_name='BTC-XXX')
        for channel in ('trades', 'trades.BTC-XXX', 'x.BTC-USDT'):
            channels = ['quote.BTC-USDT', channel]
            with pytest.raises(Refused, match='11051'):
                await wire.request('public/subscribe', channels=channels)
        assert not (await wire.request('sim/state'))['channels']


async def test_too_many_requests() -> None:
    async with (
        open_simvenue(burst=1, requests_per_second=1) as venue,
        open_wire(venue.url) as wire,
    ):
        await wire.request('public/get_time')
        with pytest.raises(Refused, match='10028') as refused:
            await wire.request('public/get_time')
        pause = refused.value.data['retry_after']
        assert 0 < pause <= 1
        # whoever waits as long as he is told is served
        await trio.sleep(pause)
        await wire.request('public/get_time')


async def test_a_silent_client_is_dropped(url: str) -> None:
    async with open_wire(url) as wire:
        await wire.request('public/set_heartbeat', interval=0.3)
        assert await wire.notification() == {'type': 'test_request'}
        await wire.send('public/test')
        with pytest.raises(ConnectionClosed):
            while True:
                await wire.receive()


async def test_faults_spare_who_asks_for_them(url: str) -> None:
    async with open_wire(url) as author, open_wire(url) as other:

        async def meet(kind: str) -> None:
            await author.request('sim/fault', kind=kind, method='public/get_time')
            await author.request('public/get_time')
            await other.request('public/get_time')

        with pytest.raises(Refused) as refused:
            await meet('rate_limit')
        assert refused.value.data == {'retry_after': 0.1}
        await meet('delay')
        with pytest.raises(msgspec.DecodeError):
            await meet('malformed')
        with pytest.raises(ConnectionClosed):
            await meet('lose_reply')
        assert (await author.request('sim/state'))['faults'] == []


async def test_a_trade_is_printed_where_one_wants_it(url: str) -> None:
    sol = {'instrument_name': 'SOL-USDT'}
    async with open_wire(url) as wire:
        wanted = {'price': 200.5, 'amount': 3, 'direction': 'sell'}
        trade = await wire.request('sim/trade', **sol, **wanted)
        assert wanted.items() <= trade.items()
        trades = await wire.request(
            'public/get_trades', **sol, start_id=trade['trade_id'], limit=1
        )
        assert trades == [trade]
        with pytest.raises(Refused, match=r'200\.001 is not a multiple of 0\.01'):
            await wire.request('sim/trade', **sol, price=200.001, amount=3)
