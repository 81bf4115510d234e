"""
The simulated venue by itself, whatever it speaks: engine, controls, process.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import trio

from simvenue.__main__ import open_venue, parse_options
from simvenue.client import Controls, SimVenueError
from simvenue.clock import Clock
from simvenue.events import Event, Trades
from simvenue.faults import Fault, Faults, alter, spoil
from simvenue.journal import Journal
from simvenue.market import Market
from simvenue.process import open_simvenue
from simvenue.server import Server
from simvenue.source import CLOSE, HIGH, LOW, OPEN, VOLUME, Synthetic
from simvenue.tradefile import TradeFile, TradeFileError

_epoch: int = 1_750_000_000_000


def open_server(*options: str) -> Server:
    return open_venue(parse_options([f'--epoch={_epoch}', '--seed=7', *options]))


@pytest.fixture(scope='module')
def server() -> Server:
    """
    A venue without its ports, at a time of its own.
    """
    return open_server()


@pytest.fixture(scope='module')
def market(server: Server) -> Market:
    """
    One of its markets.
    """
    return server.engine.market(next(iter(server.engine.instruments)))


def test_minutes_are_the_sum_of_their_seconds(market: Market) -> None:
    start = (_epoch // 60_000 - 20) * 60
    end = start + 10 * 60 - 1
    seconds = market.candles(1, start, end, 5000)
    minutes = market.candles(60, start, end, 5000)
    assert minutes.times.tolist() == list(range(start * 1000, end * 1000, 60_000))
    assert seconds.times.tolist() == list(range(start * 1000, end * 1000 + 1, 1000))
    for minute, bar in enumerate(minutes.bars):
        of_minute = seconds.bars[60 * minute : 60 * minute + 60]
        assert bar[OPEN] == of_minute[0, OPEN]
        assert bar[HIGH] == of_minute[:, HIGH].max()
        assert bar[LOW] == of_minute[:, LOW].min()
        assert bar[CLOSE] == of_minute[-1, CLOSE]
        assert bar[VOLUME] == of_minute[:, VOLUME].sum()


def test_seconds_are_the_sum_of_their_trades(market: Market) -> None:
    second = _epoch // 1000 - 100
    start, stop = market.seq_at(second * 1000), market.seq_at((second + 1) * 1000)
    trades = market.trades(start, stop)
    assert [trade.seq for trade in trades] == list(range(start, stop))
    prices = [trade.price for trade in trades]
    assert market.candles(1, second, second, 1).bars.tolist() == [
        [
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            sum(trade.amount for trade in trades),
        ]
    ]


def test_long_candles_open_and_close_where_the_short_ones_do(market: Market) -> None:
    day = _epoch // 86_400_000 * 86_400
    days = market.candles(86_400, day - 5 * 86_400, day - 1, 5000)
    for time, bar in zip(days.times // 1000, days.bars, strict=True):
        minutes = market.candles(60, int(time), int(time) + 86_399, 5000).bars
        assert (bar[OPEN], bar[CLOSE]) == (minutes[0, OPEN], minutes[-1, CLOSE])
        # extremes are those of samples
        assert minutes[:, HIGH].max() * 0.98 < bar[HIGH] <= minutes[:, HIGH].max()
        assert minutes[:, LOW].min() * 1.02 > bar[LOW] >= minutes[:, LOW].min()


@pytest.mark.parametrize('seconds', [60, 900, 86_400])
def test_a_candle_is_the_same_whatever_it_is_asked_with(
    market: Market, seconds: int
) -> None:
    end = _epoch // 1000 // seconds * seconds
    some, more = (
        market.candles(seconds, end - 20 * seconds, stop, 100)
        for stop in (end - 10 * seconds, end - 5 * seconds)
    )
    assert len(some.bars) == 11
    assert some.bars.tolist() == more.bars[:11].tolist()


def test_a_path_is_the_same_point_by_point(market: Market) -> None:
    source = Synthetic(market.instrument, seed=7)
    start = _epoch // 1000
    points = source._at(np.arange(start, start + 50))
    assert np.allclose(source._path(start, start + 49), points, rtol=0, atol=1e-12)


def test_history_goes_back_to_the_listing(market: Market) -> None:
    listed = market.instrument.listed // 1000
    assert listed < _epoch // 1000 - 6 * 365 * 86_400
    oldest = market.candles(60, 0, listed + 120, 5000)
    assert (oldest.times // 1000).tolist() == [listed, listed + 60, listed + 120]
    assert not len(market.candles(1, 0, listed - 1, 5000).times)
    assert market.trades(-5, 3)[0].seq == 1


def test_runs_repeat(market: Market) -> None:
    def look(options: str) -> tuple[object, object]:
        engine = open_server(options).engine
        it = engine.market(market.name)
        old = it.candles(1, _epoch // 1000 - 60, _epoch // 1000 - 1, 60)
        return old.bars.tolist(), it.trades(10**6, 10**6 + 20)

    assert look('--seed=7') == look('--seed=7')
    first, other = look('--seed=7'), look('--seed=8')
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_many_markets_cost_nothing_until_they_are_looked_at() -> None:
    engine = open_server('--markets=2000').engine
    assert len(engine.instruments) >= 2000
    assert not any(engine.seen(name) for name in engine.instruments)


@pytest.mark.parametrize('rate', [0.007, 0.3, 1.5, 2.5])
def test_what_does_not_trade_stands_still(rate: float) -> None:
    engine = open_server(f'--rate={rate}').engine
    market = engine.market(next(iter(engine.instruments)))
    end = _epoch // 1000 - 60
    for seconds, n in ((1, 300), (60, 10)):
        candles = market.candles(seconds, end - n * seconds, end, n)
        seqs = [1 + it for it in market.counts((candles.times // 1000).tolist())]
        (last,) = market.trades(seqs[0] - 1, seqs[0])
        for first, after, bar in zip(seqs, seqs[1:], candles.bars, strict=False):
            trades = market.trades(first, after)
            prices = [it.price for it in trades] or [last.price]
            assert bar.tolist() == [
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
                sum(it.amount for it in trades),
            ]
            last = [last, *trades][-1]


def test_what_one_has_missed_is_leapt_over(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_server().engine
    market = engine.market(next(iter(engine.instruments)))
    before = market.next_seq
    left = (_epoch + 3_600_000 - engine.clock.now()) // 1000
    computed: list[int] = []
    trades = Synthetic.trades
    monkeypatch.setattr(
        Synthetic,
        'trades',
        lambda self, second: computed.append(second) or trades(self, second),  # type: ignore[func-returns-value]
    )
    engine.set_clock(_epoch + 3_600_000, None)
    engine.market(market.name)
    # only those that are asked for are computed
    assert len(computed) < 5
    assert market.next_seq >= before + left * 8
    missed = market.trades(before, before + 3)
    assert [trade.seq for trade in missed] == [before, before + 1, before + 2]


def test_replays_trades_from_a_file(tmp_path: Path, server: Server) -> None:
    name = next(iter(server.engine.instruments))
    file = tmp_path / 'trades.csv'
    file.write_text(
        'timestamp,instrument,price,amount,side\n'
        f'{_epoch + 100},{name},60000.5,20,buy\n'
        f'{_epoch + 200},{name},60001,50,sell\n'
        f'2025-06-15T15:06:41.300Z,{name},60002.5,10,buy\n'
    )
    options = parse_options([f'--trades={file}'])
    engine = open_venue(options).engine
    assert abs(engine.clock.now() - _epoch) < 1000
    engine.set_clock(_epoch + 3000, None)
    market = engine.market(name)
    value, size = market.prices.value, market.amounts.value
    assert [
        (it.seq, it.timestamp, value(it.price), size(it.amount), it.direction)
        for it in market.trades(1, 10)
    ] == [
        (1, _epoch + 100, 60000.5, 20, 'buy'),
        (2, _epoch + 200, 60001, 50, 'sell'),
        (3, _epoch + 1300, 60002.5, 10, 'buy'),
    ]
    bars = market.candles(1, _epoch // 1000 - 1, _epoch // 1000 + 2, 10).bars
    # what was before leads up to the first trade, what comes after is silence
    assert value(int(bars[0, CLOSE])) == 60000.5
    assert [value(int(it)) for it in bars[2, :VOLUME]] == [60002.5] * 4
    assert bars[3].tolist() == [*[bars[2, CLOSE]] * 4, 0]


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('', 'no trades'),
        ('timestamp,price\n1,2\n', "no column 'instrument'"),
        ('timestamp,instrument,price,amount,side\n1,A-B,0,1,buy\n', ':2: price and'),
        ('timestamp,instrument,price,amount,side\n1,A-B,1,1,hold\n', ':2: side must'),
        ('timestamp,instrument,price,amount,side\nx,A-B,1,1,buy\n', ':2: Invalid'),
    ],
)
def test_bad_trade_files_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / 'trades.csv'
    file.write_text(text)
    with pytest.raises(TradeFileError, match=complaint):
        TradeFile(file, seed=0)


def test_faults_strike_what_they_are_armed_for() -> None:
    faults = Faults()
    faults.arm(Fault('delay', operation='ticker', market='A', count=2))
    assert not faults.take('delay', operation='time', market='A')
    assert not faults.take('delay', operation='ticker', market='B')
    assert not faults.take('skip', operation='ticker', market='A')
    assert faults.take('skip', 'delay', operation='ticker', market='A')
    assert faults.take('delay', operation='ticker', market='A')
    assert not faults.armed
    faults.arm(Fault('malformed', topic='trades'))
    assert not faults.take('malformed', operation='trades')
    assert faults.take('malformed', topics=('book', 'trades'))
    faults.arm(Fault('maintenance', seconds=60))
    assert faults.take('maintenance', operation='a')
    assert faults.take('maintenance', operation='b')


def test_spoilt_messages() -> None:
    reply = {'order': {'id': 1, 'price': 2.5, 'more': 'x' * 20}, 'trades': []}
    odd = {'not': 'what it was'}
    assert alter(None, reply) == reply
    assert alter(Fault('wrong_type'), reply) == {
        'order': {'id': odd, 'price': odd, 'more': odd},
        'trades': [],
    }
    assert alter(Fault('missing_field'), reply) == {'order': {}, 'trades': []}
    more = alter(Fault('unknown_field'), reply)
    assert more['order'].items() > reply['order'].items()  # type: ignore[attr-defined]
    assert alter(Fault('wrong_type'), [{'a': 1}, {'a': 2}]) == [{'a': odd}, {'a': odd}]
    assert alter(Fault('wrong_type'), 7) == odd
    assert spoil(Fault('malformed'), b'12345678') == b'1234'
    assert b'[' * 10_000 in spoil(Fault('nested'), b'{"a":1}')
    assert len(spoil(Fault('huge'), b'1')) > 50_000_000


async def test_what_happens_together_is_told_together() -> None:
    engine = open_server('--rate=1000').engine
    name = next(iter(engine.instruments))
    engine.watch(name)
    told: list[Event] = []
    counts: list[int] = []

    def count() -> None:
        counts.append(sum(len(it.trades) for it in told if isinstance(it, Trades)))
        told.clear()
        if sum(counts) > 200:
            scope.cancel()

    engine.listeners.append(told.append)
    with trio.CancelScope() as scope:
        await engine.run(count)
    # not one by one, though each has a ms of its own
    assert sum(counts) > 5 * len(counts)


async def test_numbers_survive_a_restart() -> None:
    async with open_simvenue(rate=0) as venue:
        name = (await venue.markets())[0].name
        printed = [
            await venue.print_trade(name, price, 10)
            for price in (50_000, 50_001, 50_002)
        ]
        url, controls_url = venue.url, venue.controls_url
        await venue.restart()
        assert (venue.url, venue.controls_url) == (url, controls_url)
        assert (await venue.market(name)).last == 50_002
        printed.append(await venue.print_trade(name, 50_003, 10, side='sell'))
        assert all(b.seq - a.seq == 1 and b.id > a.id for a, b in pairwise(printed))

        await venue.restart(memory=False)
        assert (await venue.print_trade(name, 50_004, 10)).seq == printed[0].seq


async def test_what_was_written_in_part_never_was(tmp_path: Path) -> None:
    state = tmp_path / 'state'
    async with open_simvenue(state=state, rate=0) as venue:
        name = (await venue.markets())[0].name
        for price in (50_000, 50_001, 50_002):
            await venue.print_trade(name, price, 10)
        await venue.kill()
        state.write_bytes(state.read_bytes()[:-5])
        await venue.restart()
        assert (await venue.market(name)).last == 50_001
    assert state.stat().st_mode & 0o777 == 0o600


async def test_nothing_happens_in_a_market_that_is_delisted(tmp_path: Path) -> None:
    options = ('--rate=1000', f'--state={tmp_path / "state"}')
    engine = open_server(*options).engine
    name = next(iter(engine.instruments))
    numbers: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, Trades):
            numbers.extend(it.seq for it in event.trades)

    async def let_pass(is_over: Callable[[], bool], seconds: float = 60) -> None:
        def look() -> None:
            engine.journal.commit()
            if is_over():
                scope.cancel()

        with trio.move_on_after(seconds) as scope:
            await engine.run(look)

    engine.watch(name)
    engine.listeners.append(note)
    await let_pass(lambda: bool(numbers))
    engine.delist(name)
    told = len(numbers)
    await let_pass(lambda: len(numbers) > told, 0.05)
    assert len(numbers) == told
    last = engine.market(name).next_seq - 1
    assert last == numbers[-1]
    # who looks at it only later finds the same
    again = open_server(*options).engine
    assert name not in again.instruments
    again.recall(name, again.clock.now())
    assert again.market(name).next_seq - 1 == last
    engine.add(name, None)
    await let_pass(lambda: len(numbers) > told)
    assert numbers == [*range(numbers[0], numbers[-1] + 1)]
    assert name in open_server(*options).engine.instruments


async def test_the_clock_is_set() -> None:
    async with open_simvenue(rate=0) as venue:
        assert abs(await venue.set_clock(now=_epoch, speed=100) - _epoch) < 60_000
        before = (await venue.state()).now
        await venue.restart()
        assert 0 < (await venue.state()).now - before < 10**7


async def test_a_venue_that_differs_does_so_after_a_restart() -> None:
    async with open_simvenue(rate=0) as venue:
        was = (await venue.state()).traits
        await venue.differ(nonces=not was['nonces'])
        await venue.restart()
        assert (await venue.state()).traits == was | {'nonces': not was['nonces']}
        await venue.restart(memory=False)
        assert (await venue.state()).traits == was


async def test_a_port_is_closed_and_open_when_it_is_said_to_be() -> None:
    async with open_simvenue(rate=0) as venue:
        port = urlsplit(venue.url).port
        assert port
        for again in range(4):
            for _ in range(1 + again % 2):
                await venue.misbehave('refuse')
            with pytest.raises(OSError, match='attempts to connect'):
                await trio.open_tcp_stream('127.0.0.1', port)
            await venue.behave()
            async with httpx.AsyncClient() as client:
                assert (await client.get(f'http://127.0.0.1:{port}/')).content


async def test_bad_controls_are_refused() -> None:
    async with open_simvenue(rate=0) as venue:
        market = (await venue.markets())[0]
        name, half = market.name, float(market.tick_size) / 2
        await venue.differ(nonces=False)
        for what, complaint in [
            (venue.misbehave('stale_nonce'), 'to this venue have no nonces'),
            (venue.misbehave('nothing'), "'nothing' is none of drop, "),
            (venue.misbehave('delay', operation='x'), "'x' is none of "),  # type: ignore[arg-type]
            (venue.misbehave('delay', market='X'), 'unknown_market X'),
            (venue.print_trade(name, 50_000 + half, 10), 'is not a multiple of'),
            (
                venue.print_trade(name, 50_000, 1.5 * float(market.amount_step)),
                'is not a multiple of',
            ),
            (venue.market('X'), 'unknown_market X'),
            (venue.differ(x=1), "'x' is none of "),
        ]:
            with pytest.raises(SimVenueError, match=complaint):
                await what
        await venue.misbehave('delay', operation='time', market=name, count=3)
        (fault,) = (await venue.state()).faults
        assert (fault.kind, fault.operation, fault.count) == ('delay', 'time', 3)
        await venue.behave()
        assert not (await venue.state()).faults
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.post(f'{venue.controls_url}/nothing')
        assert (reply.status_code, reply.json().keys()) == (400, {'error'})


async def test_controls_of_a_venue_that_is_gone() -> None:
    async with Controls('http://127.0.0.1:1') as controls:
        with pytest.raises(SimVenueError, match='is gone'):
            await controls.state()


def test_a_journal_keeps_what_was_committed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / 'journal')
    journal.append('a', 1)
    journal.append('b', 'x')
    journal.commit()
    journal.append('a', 2)
    again = Journal(tmp_path / 'journal')
    assert (again.take('a', int), again.take('b', str)) == ([1], ['x'])


def test_a_clock_that_was_set() -> None:
    clock = Clock(_epoch, speed=10)
    assert 0 <= clock.now() - _epoch < 10_000
    clock.set(_epoch * 2, 1)
    assert 0 <= clock.now() - 2 * _epoch < 1000
