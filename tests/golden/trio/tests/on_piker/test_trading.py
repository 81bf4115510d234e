"""
Orders on paper and at the venue, and the books that are kept of them.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from piker import config
from piker.accounting import open_account, open_trade_ledger
from piker.brokers import get_brokermod
from piker.clearing import open_brokerd_dialog
from piker.data._symcache import open_symcache
from piker.service import maybe_spawn_brokerd

from . import BROKER, URL, Run, check_daemons, get_fqme
from .orders import configure, fill_and_cancel, open_orders


def test_paper_orders(run: Run) -> None:
    async def main() -> None:
        async with open_orders('paper') as orders:
            oid, size = await fill_and_cancel(orders), orders.size(50)
        check_daemons()
        (record,) = await read_ledger('paper')
        assert (record['tid'], record['size']) == (oid, size)

    run(main)


def test_live_orders_and_ledger_sync(run: Run, conf_dir: Path) -> None:
    if '//127.0.0.1:' not in URL:
        pytest.skip('places orders: for a simulated venue alone')
    configure(conf_dir, 'simkey', 'simsecretkey')
    assert config.load_accounts([BROKER])[f'{BROKER}.main'] == 'main'
    left_open = fqme = ''
    filled = 0.0

    async def main() -> None:
        nonlocal left_open, filled, fqme
        fqme = await get_fqme()
        async with open_orders('live') as orders:
            await fill_and_cancel(orders)

            # the same oid again is a change; a refused one leaves the order open
            low, off_tick, high = orders.price(0.7), orders.off_tick, orders.price(1.5)
            size = orders.size(50)
            changed = await orders.send(size, low)
            await orders.follow(changed, 'open')
            await orders.send(size, off_tick, changed)
            await orders.follow(changed, 'error', 'open')
            await orders.send(size, high, changed)
            await orders.follow(changed, 'fill', 'closed', 'position')

            refused = await orders.send(size, off_tick)
            await orders.follow(refused, 'error')

            left_open = await orders.send(size, low)
            await orders.follow(left_open, 'open')
            filled = 2 * size

    async def resume() -> None:
        async with open_orders('live') as orders:
            await orders.follow(left_open, 'open')
            await orders.cancel(left_open)
            await orders.follow(left_open, 'canceled')

    async def sync() -> None:
        # as the command does; the dialog that it opens is what writes the books
        async with (
            maybe_spawn_brokerd(BROKER, loglevel='critical') as portal,
            open_brokerd_dialog(
                get_brokermod(BROKER),
                portal=portal,
                exec_mode='live',
                loglevel='critical',
            ) as (stream, positions, accounts),
        ):
            assert list(accounts) == [f'{BROKER}.main']
            assert [*positions[BROKER, f'{BROKER}.main']] == [fqme]
            await stream._ctx.cancel()

    # piker ends with a daemon that is ended by whoever spawned it: not these parts
    run(main, maybe_spawn_brokerd)
    run(resume, maybe_spawn_brokerd)
    records, size = read_books(conf_dir, fqme)
    assert size == filled
    shutil.rmtree(conf_dir / 'accounting')
    (conf_dir / 'accounting').mkdir()
    run(sync, maybe_spawn_brokerd)
    assert read_books(conf_dir, fqme) == (records, size)


def read_books(conf_dir: Path, fqme: str) -> tuple[dict[str, Any], float]:
    """
    The records in the ledger's file, and the position in the account's, which has one.
    """
    path = conf_dir / 'accounting' / 'ledgers' / f'trades_{BROKER}_main.toml'
    with open_account(BROKER, 'main', _fp=conf_dir / 'accounting') as account:
        (position,) = account.pps.values()
    assert position.mkt.fqme == fqme
    return tomllib.loads(path.read_text()), position.cumsize


async def read_ledger(label: str) -> list[dict[str, Any]]:
    async with open_symcache(get_brokermod(BROKER)) as symcache:
        with open_trade_ledger(BROKER, label, symcache=symcache) as ledger:
            return list(ledger.values())
