"""
The books: ledgers, accounts, positions.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from decimal import Decimal
from itertools import count
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pendulum
import pytest
import trio
import trio.testing
from msgspec import convert

from minipiker.accounting import Asset, MktPair
from minipiker.accounting._ledger import Transaction, open_trade_ledger
from minipiker.accounting._pos import Position, open_account
from minipiker.clearing import open_ems
from minipiker.clearing._messages import BrokerdOrder
from minipiker.clearing._paper_engine import PaperBoi, PaperMarket
from minipiker.clearing.testing import OpenLive, responses


@pytest.fixture(autouse=True)
def _config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))


def mk_record(broker: str, size: float, price: float) -> dict[str, Any]:
    """
    A trade, as the paper engine enters it.
    """
    return Transaction(
        fqme=f'btcusdt.spot.{broker}',
        tid='',
        size=size,
        price=price,
        cost=0.0,
        dt=pendulum.datetime(2026, 1, 1),
    ).to_dict()


@pytest.mark.parametrize(
    ('trades', 'size', 'ppu'),
    [
        ([(1, 100)], 1, 100),
        ([(1, 100), (3, 200)], 4, 175),
        ([(2, 100), (-1, 500)], 1, 100),
        ([(2, 100), (-2, 500)], 0, 0),
        ([(2, 100), (-3, 500)], -1, 500),
        ([(0.1, 100), (0.2, 100)], 0.3, 100),
    ],
)
async def test_a_position_is_what_its_trades_add_up_to(
    mod: ModuleType,
    broker: str,
    trades: list[tuple[float, float]],
    size: float,
    ppu: float,
) -> None:
    async with open_account(mod, 'paper') as account:
        for number, (amount, price) in enumerate(trades):
            account.add(str(number), mk_record(broker, amount, price))
        (position,) = account.pps.values()
    assert position.cumsize == size
    assert position.ppu == pytest.approx(ppu)

    async with open_account(mod, 'paper') as account:
        assert list(account.pps.values()) == [position]


def test_records_are_kept_as_they_are(mod: ModuleType) -> None:
    """
    Those of a venue are its own affair.
    """
    record: dict[str, Any] = {
        'nested': {'deeper': {'a': 1}, 'b': [{'c': 2}]},
        'text': 'a\n\nb "c"',
        'count': 10**15,
    }
    with open_trade_ledger(mod, 'paper') as ledger:
        for tid in ('1', 'two', '3.0'):
            ledger.append(tid, record)
    with open_trade_ledger(mod, 'paper') as ledger:
        found = list(ledger.iter_records())
        assert found == [(it, record) for it in ('1', 'two', '3.0')]
        assert list(ledger.iter_newest()) == found[::-1]


def test_costs_are_part_of_the_price() -> None:
    position = Position('btcusdt.spot.x')
    txn = Transaction('btcusdt.spot.x', '1', 2, 100, 1, pendulum.now())
    position.add_clear(txn)
    assert position.ppu == 101  # of opening, and of closing later


async def test_an_account_file_behind_its_ledger_catches_up(
    mod: ModuleType,
    broker: str,
) -> None:
    """
    As after a `kill -9` between the writing of the two.
    """
    async with open_account(mod, 'paper') as account:
        account.add('1', mk_record(broker, 1, 100))
    with open_trade_ledger(mod, 'paper') as ledger:
        ledger.append('2', mk_record(broker, 2, 100))
    async with open_account(mod, 'paper') as account:
        (position,) = account.pps.values()
        assert position.cumsize == 3
        # and a ledger that was started anew is not what the file is about
        os.truncate(account.ledger.path, 0)
    async with open_account(mod, 'paper') as account:
        assert account.pps == {}


async def test_the_account_file_can_wait(
    mod: ModuleType,
    broker: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    To write it takes as long as an order does, whose client is to hear of it first.
    """
    monkeypatch.setattr('minipiker.accounting._pos._pause', 3600.0)
    async with open_account(mod, 'paper') as account:
        before = account.path.read_text()
        account.add('1', mk_record(broker, 1, 100))
        await trio.testing.wait_all_tasks_blocked()
        assert account.path.read_text() == before
    assert account.path.read_text() != before


WRITING = {os.mkdir, os.open, open, os.write, os.ftruncate, os.replace}


def trade_until_killed(mod: ModuleType, broker: str, step: int) -> list[str]:
    """
    Open an account in a process of its own and enter a trade, then another; but kill
    it before call `step` of those that write. The trades that were entered.
    """
    steps = 0

    def profile(_: FrameType, event: str, function: Any) -> None:
        nonlocal steps
        if event == 'c_call' and function in WRITING:
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)

    async def trade() -> None:
        async with open_account(mod, 'paper') as account:
            for tid in '12':
                account.add(tid, mk_record(broker, 1, 100))
                os.write(told, tid.encode())
                await trio.testing.wait_all_tasks_blocked(0.001)

    said, told = os.pipe()
    if not (pid := os.fork()):
        sys.setprofile(profile)
        trio.run(trade)
        os._exit(0)
    os.close(told)
    with os.fdopen(said) as pipe:
        tids = list(pipe.read())
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL)
    return [*tids, 'the end'] if status == 0 else tids


@pytest.mark.filterwarnings('ignore:.*multi-threaded, use of fork')
def test_books_survive_kill_between_any_two_writes(
    mod: ModuleType,
    broker: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('minipiker.accounting._pos._pause', 0.0)

    async def check(told: list[str]) -> None:
        async with open_account(mod, 'paper') as account:
            tids = [tid for tid, _ in account.ledger.iter_records()]
            assert tids[: len(told)] == told
            assert len(tids) <= len(told) + 1
            position = sum(it.cumsize for it in account.pps.values())
            assert position == len(tids)
            account.add('3', mk_record(broker, 1, 100))

    for step in count(1):
        told = trade_until_killed(mod, broker, step)
        if ended := told[2:]:
            break
        trio.run(check, told)
        names = sorted(it.name for it in tmp_path.rglob('*') if it.is_file())
        assert names == [f'account.{broker}.paper.toml', f'trades_{broker}_paper.toml']
        shutil.rmtree(tmp_path / 'minipiker')
    assert ended
    assert step > 12


def test_half_an_entry_is_none(mod: ModuleType, broker: str) -> None:
    """
    As a full disk may leave it.
    """
    record = mk_record(broker, 1, 100)
    with open_trade_ledger(mod, 'paper') as ledger:
        ledger.append('1', record)
        size = ledger.size
        with ledger.path.open('a') as file:
            file.write('[half]\nprice = 1')
    with open_trade_ledger(mod, 'paper') as ledger:
        assert ledger.size == size
        assert list(ledger.iter_newest()) == [('1', record)]
        assert ledger.path.stat().st_mode & 0o777 == 0o600


async def test_no_space_for_an_entry(
    mod: ModuleType,
    broker: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = os.write
    async with open_account(mod, 'paper') as account:
        account.add('1', mk_record(broker, 1, 100))
        with monkeypatch.context() as patch:
            patch.setattr(os, 'write', lambda file, text: write(file, text[:20]))
            with pytest.raises(OSError, match='no space'):
                account.add('2', mk_record(broker, 1, 100))
        account.add('3', mk_record(broker, 1, 100))
        assert [tid for tid, _ in account.ledger.iter_records()] == ['1', '3']
        assert [it.cumsize for it in account.pps.values()] == [2]


def test_records_are_found_from_either_end(mod: ModuleType) -> None:
    with open_trade_ledger(mod, 'paper') as ledger:
        assert ledger.find('0') is None
        assert list(ledger.iter_newest()) == []
        for number in range(2000):
            ledger.append(str(number), {'number': number, 'text': '\n\n[7]\n' * 9})
        numbers = [record['number'] for _, record in ledger.iter_newest()]
        assert numbers == list(reversed(range(2000)))
        for number in (0, 1, 7, 1000, 1999):
            assert (ledger.find(str(number)) or {})['number'] == number
        assert ledger.find('2000') is None


@pytest.mark.case('EXEC-LEDGER')
async def test_the_venues_records_become_transactions(
    open_live: OpenLive,
    mod: ModuleType,
) -> None:
    async with open_live() as live:
        async with open_ems(mod.name, 'live') as (client, stream, *_):
            order = await client.send(live.order('sell', 0.5))
            assert (await responses(stream, order.oid))[-1] == 'closed'
        await live.services.cancel_service(f'brokerd.{mod.name}')
        async with open_account(mod, live.account) as account:
            records = dict(account.ledger.iter_records())
        fills = (await live.venue.account('simkey')).fills

    txns = [mod.norm_trade(tid, record, {}) for tid, record in records.items()]
    assert {txn.tid for txn in txns} == records.keys()
    assert {(txn.fqme, txn.bs_mktid) for txn in txns} == {
        (live.market.fqme, live.market.name)
    }
    assert sorted((txn.size, txn.price, txn.dt.timestamp()) for txn in txns) == sorted(
        (-fill.amount, fill.price, fill.timestamp / 1000) for fill in fills
    )
    assert all(txn.cost >= 0 for txn in txns)
    assert mod.norm_trade('8', {'kind': 'deposit'}, {}) is None


def test_a_cost_is_the_same_for_maker_and_taker_buyer_and_seller(
    mod: ModuleType,
) -> None:
    cost = mod.get_cost(60_000.0, 0.5)
    assert cost == mod.get_cost(60_000.0, 0.5, is_taker=True) > 0
    assert cost == mod.get_cost(60_000.0, -0.5)


async def test_costs_are_asked_for_as_piker_does(
    mod: ModuleType,
    broker: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    With a signed size: one that follows the sign would pay the seller.
    """
    asked: list[tuple[Any, ...]] = []

    def get_cost(*args: Any) -> float:
        asked.append(args)
        return 1.0

    monkeypatch.setattr(mod, 'get_cost', get_cost)
    btc, usdt = (Asset(it, 'crypto', Decimal('1e-8')) for it in ('btc', 'usdt'))
    tick = Decimal('0.1')
    mkt = MktPair(btc, tick, tick, 'BTC-USDT', broker, usdt, 'spot')
    market = PaperMarket(mkt, 100, 100)
    async with open_account(mod, 'paper') as account, trio.open_nursery() as tn:
        engine = PaperBoi(mod, account, tn)
        for action in ('buy', 'sell'):
            order = convert(
                {
                    'oid': action,
                    'account': 'paper',
                    'time_ns': 0,
                    'symbol': mkt.bs_fqme,
                    'price': 100.0,
                    'size': 0.5,
                    'action': action,
                },
                BrokerdOrder,
            )
            market.orders[order.oid] = order
            engine._fill(market, order, 100.0)
    assert asked == [(100.0, 0.5), (100.0, -0.5)]
