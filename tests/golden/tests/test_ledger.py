"""
The books: ledgers, accounts, positions.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pendulum
import pytest

from minipiker.accounting._ledger import Transaction, open_trade_ledger
from minipiker.accounting._pos import Position, open_account


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
        assert ledger.last_record() == record


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


def test_a_ledger_survives_kill(mod: ModuleType, broker: str) -> None:
    script = f"""
from minipiker.accounting._ledger import open_trade_ledger
from minipiker.brokers import get_brokermod

with open_trade_ledger(get_brokermod({broker!r}), 'paper') as ledger:
    number = 0
    while True:
        record = {{'text': 'of\\n\\ntwo lines', 'number': number}}
        ledger.append(str(number), record)
        print(number, flush=True)
        number += 1
"""
    with subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE) as it:
        assert it.stdout
        for line in it.stdout:
            if line == b'100\n':
                it.send_signal(signal.SIGKILL)
                break
        told = 1 + max(map(int, it.stdout.read().split()), default=100)

    with open_trade_ledger(mod, 'paper') as ledger:
        kept = [record['number'] for _, record in ledger.iter_records()]
        assert kept[:told] == list(range(told))
        last = ledger.last_record()
        assert last
        assert last['number'] == kept[-1]
        size = ledger.size

        # half an entry, as a full disk may leave it
        with ledger.path.open('a') as file:
            file.write('[half]\nprice = 1')
    with open_trade_ledger(mod, 'paper') as ledger:
        assert ledger.size == size
        assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_the_venues_records_become_transactions(mod: ModuleType, broker: str) -> None:
    record = {
        'fqme': f'btcusdt.spot.{broker}',
        'instrument_name': 'BTC-USDT',
        'direction': 'sell',
        'amount': 0.5,
        'price': 60_000.0,
        'fee': 15.0,
        'timestamp': 1_700_000_000_500,
    }
    txn = mod.norm_trade('7', record, {})
    assert (txn.tid, txn.fqme, txn.bs_mktid) == ('7', record['fqme'], 'BTC-USDT')
    assert (txn.size, txn.price, txn.cost) == (-0.5, 60_000.0, 15.0)
    assert txn.dt.timestamp() == 1_700_000_000.5
    assert mod.norm_trade('8', {'kind': 'deposit'}, {}) is None


def test_a_cost_is_the_same_for_maker_and_taker(mod: ModuleType) -> None:
    cost = mod.get_cost(60_000.0, 0.5)
    assert cost == mod.get_cost(60_000.0, 0.5, is_taker=True) > 0
