"""
Trades that are complete, and histories in pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Struct

from minipiker.data.testing import Bid
from piker_deribit2 import _trades
from piker_deribit2._bars import mk_trade_bars
from piker_deribit2._channels import ChannelStream
from piker_deribit2._piker import BrokerError
from piker_deribit2._ticks import stream_ticks
from piker_deribit2._trades import Tape, page_through


class Trade(Struct, frozen=True):
    number: int | None
    timestamp: int
    price: float = 1
    amount: float = 1

    @property
    def trade_id(self) -> str:
        return f'{self.timestamp}-{self.amount}'


class Market:
    """
    A market's history as a venue has it.
    """

    def __init__(self, trades: list[Trade], at_most: int = 3) -> None:
        self.trades = trades
        self._at_most = at_most

    async def get_trades(
        self,
        *,
        first_number: int | None = None,
        last_number: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        count: int = 1000,
        newest_first: bool = False,
    ) -> tuple[list[Trade], bool]:
        found = [
            it
            for it in self.trades
            if (first_number is None or (it.number or 0) >= first_number)
            and (last_number is None or (it.number or 0) <= last_number)
            and (start_ms is None or it.timestamp >= start_ms)
            and (end_ms is None or it.timestamp <= end_ms)
        ]
        page = found[::-1] if newest_first else found
        at_most = min(count, self._at_most)
        return page[:at_most], len(page) > at_most


def numbered(*numbers: int) -> list[Trade]:
    return [Trade(number, timestamp=1000 * number) for number in numbers]


async def collect(runs: AsyncIterator[tuple[int, Any]]) -> list[tuple[int, list[int]]]:
    return [(missed, [it.number for it in trades]) async for missed, trades in runs]


async def test_what_a_channel_leaves_out_is_fetched() -> None:
    market = Market(numbered(*range(1, 21)))
    tape = Tape('m', market.get_trades, numbered=True, last_number=5)
    assert await collect(tape.take(numbered(6, 7))) == [(0, [6, 7])]
    assert await collect(tape.take(numbered(7, 6))) == []
    # a page at a time
    assert await collect(tape.take(numbered(15))) == [
        (0, [8, 9, 10]),
        (0, [11, 12, 13]),
        (0, [14, 15]),
    ]
    # what came late is known by now
    assert await collect(tape.take(numbered(14))) == []
    assert await collect(tape.take(numbered(17, 16))) == [(0, [16, 17])]
    assert await collect(tape.resume()) == [(0, [18, 19, 20])]
    assert await collect(tape.resume()) == []


async def test_what_has_come_together_is_told_together() -> None:
    """
    A turn of the loop for each message would cost more than the message.
    """
    tape = Tape('x', Market([]).get_trades, numbered=True, last_number=0)
    stream: ChannelStream[Any] = ChannelStream(('trades', 'quotes'), 100)
    for msg in (numbered(1, 2), numbered(3), Bid(0, 7.0), Bid(0, 8.0), numbered(4)):
        stream.push(msg)
    stream.fail(BrokerError('the end'))
    told: list[list[Any]] = []
    with pytest.raises(BrokerError, match='the end'):
        async for ticks in stream_ticks(tape, stream):
            told.append([tick.get('trade_id') or tick['price'] for tick in ticks])
    assert told == [[1, 2, 3], [7.0, 8.0], [4]]


async def test_what_the_venue_no_longer_has_is_counted() -> None:
    market = Market(numbered(1, 2, 3, 7, 8, 20, 21))
    tape = Tape('m', market.get_trades, numbered=True, last_number=2)
    assert await collect(tape.take(numbered(21))) == [
        (0, [3]),
        (3, [7, 8]),
        (11, [20, 21]),
    ]


async def test_of_far_too_many_the_latest_are_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_trades, '_page', 3)
    monkeypatch.setattr(_trades, '_max_pages', 2)
    market = Market(numbered(*range(1, 101)))
    tape = Tape('m', market.get_trades, numbered=True, last_number=1)
    assert await collect(tape.take(numbered(100))) == [
        (93, [95, 96, 97]),
        (0, [98, 99, 100]),
    ]


async def test_a_tape_begins_with_what_comes_next() -> None:
    market = Market(numbered(*range(1, 11)))
    tape = Tape('m', market.get_trades, numbered=True)
    await tape.begin()
    assert tape.last_number == 10
    market.trades += numbered(11, 12)
    assert await collect(tape.take(numbered(12))) == [(0, [11, 12])]


async def test_the_first_trade_of_all_is_waited_for() -> None:
    market = Market([])
    tape = Tape('m', market.get_trades, numbered=True)
    await tape.begin()
    market.trades = numbered(1, 2)
    assert await collect(tape.take(numbered(2))) == [(0, [1, 2])]


async def test_the_first_trade_of_all_may_have_no_number() -> None:
    market = Market([])
    tape = Tape('m', market.get_trades, numbered=False)
    await tape.begin()
    market.trades = [Trade(None, 1000), Trade(None, 2000)]
    assert [run async for run in tape.resume()] == [(0, market.trades)]


@pytest.mark.parametrize('told', [True, False])
async def test_trades_without_numbers(told: bool, warnings: list[str]) -> None:
    """
    They are known again by their ids, and fetched by time.
    """
    trades = [Trade(None, 1000 * (i // 4), amount=i) for i in range(30)]
    market = Market(trades[:10], at_most=5)
    tape = Tape('m', market.get_trades, numbered=not told)
    seen: list[Trade] = []

    async def note(runs: AsyncIterator[tuple[int, Any]]) -> None:
        seen.extend([it async for _, run in runs for it in run])

    await tape.begin()
    await note(tape.take(trades[10:12]))
    await note(tape.take(trades[10:14]))
    await note(tape.take([*trades[14:16], *trades[15:17]]))
    market.trades = trades
    await note(tape.resume())
    await note(tape.take(trades[28:]))
    assert seen == trades[10:]
    assert any('no numbers' in it for it in warnings) == (not told)


async def test_numbers_that_have_gaps_are_not_told() -> None:
    """
    Whoever hears them would take the gaps for trades that were lost.
    """
    tape = Tape('m', Market([]).get_trades, numbered=False)
    stream: ChannelStream[Any] = ChannelStream(('trades',), 100)
    stream.push(numbered(1, 2, 7))
    stream.fail(BrokerError('the end'))
    told: list[dict[str, Any]] = []
    with pytest.raises(BrokerError, match='the end'):
        async for ticks in stream_ticks(tape, stream):
            told += ticks
    assert [tick['time'] for tick in told] == [1, 2, 7]
    assert not any('trade_id' in tick for tick in told)


async def test_pages_have_an_end(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    monkeypatch.setattr(_trades, '_max_pages', 10)

    async def count_on(start: int) -> tuple[list[int], int | None]:
        return [start], start + 1

    async def stay(start: int) -> tuple[list[int], int | None]:
        return [start], start

    assert [it async for it in page_through(count_on, 5)] == [[i] for i in range(5, 15)]
    assert 'the venue has more' in warnings[0]
    assert [it async for it in page_through(stay, 5)] == [[5]]
    assert 'again and again' in warnings[1]


def test_bars_are_built_from_trades() -> None:
    prices = [(10_000, 5.0), (10_999, 7.0), (10_500, 4.0), (13_000, 6.0)]
    trades = [Trade(None, timestamp, price, 2) for timestamp, price in prices]
    bars = mk_trade_bars(trades, 15)
    assert bars['time'].tolist() == [10, 11, 12, 13, 14]
    assert bars['open'].tolist() == [5, 7, 7, 6, 6]
    assert bars['high'].tolist() == [7, 7, 7, 6, 6]
    assert bars['low'].tolist() == [4, 7, 7, 6, 6]
    assert bars['close'].tolist() == [7, 7, 7, 6, 6]
    assert bars['volume'].tolist() == [6, 0, 0, 2, 0]
    assert mk_trade_bars([], 15).size == 0

    bars = mk_trade_bars(trades, 16, seconds=4)
    assert bars['time'].tolist() == [8, 12]
    assert bars['open'].tolist() == [5, 6]
    assert bars['close'].tolist() == [7, 6]
    assert bars['volume'].tolist() == [6, 2]
