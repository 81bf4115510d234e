"""
Orders, as a client of piker's ems places them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import tractor

from piker.accounting import MktPair
from piker.brokers import get_brokermod
from piker.clearing import Cancel, Order, OrderClient, open_ems
from piker.data import open_feed

from . import BROKER, SECTION, SYMBOL, get_fqme


def configure(conf_dir: Path, api_key: str = '', api_secret: str = '') -> None:
    """
    Write `brokers.toml`, for its owner alone.
    """
    path = conf_dir / 'brokers.toml'
    path.touch(mode=0o600)
    path.write_text(f"""\
{SECTION}
accounts.main = 'main'
main.api_key = '{api_key}'
main.api_secret = '{api_secret}'
""")


class Orders:
    """
    A client of the ems, which trades one market on one account.
    """

    def __init__(
        self,
        client: OrderClient,
        stream: tractor.MsgStream,
        account: str,
        mkt: MktPair,
        min_size: Decimal,
        last: float,
    ) -> None:
        self._client = client
        self._stream = stream
        self._account = account
        self._mkt = mkt
        self._min_size = min_size
        self._last = last

    def price(self, times: float) -> float:
        """
        About so many times the market's.
        """
        tick = self._mkt.price_tick
        return float(round(Decimal(str(self._last * times)) / tick) * tick)

    @property
    def off_tick(self) -> float:
        """
        A price that the venue does not take.
        """
        return self.price(0.7) + float(self._mkt.price_tick) / 4

    def size(self, steps: int) -> float:
        return float(steps * self._min_size)

    async def send(self, size: float, price: float, oid: str = '') -> str:
        """
        Order to buy, or change the order `oid`.
        """
        oid = oid or str(uuid4())
        order = Order(
            action='buy',
            exec_mode='live',
            oid=oid,
            symbol=self._mkt.fqme,
            account=self._account,
            size=size,
            price=price,
            brokers=[BROKER],
        )
        await self._client.send(order)
        return oid

    async def cancel(self, oid: str) -> None:
        # whoever has sent it
        await self._stream.send(Cancel(oid=oid, symbol=self._mkt.fqme))

    async def follow(self, oid: str, *expected: str) -> None:
        """
        Wait until all that is `expected` was said of the order `oid`.
        """
        missing = [*expected]
        while missing:
            msg = await self._stream.receive()
            said = msg['resp'] if msg.get('oid') == oid else msg['name']
            if said in missing:
                missing.remove(said)


@acm
async def open_orders(mode: str) -> AsyncIterator[Orders]:
    account = 'paper' if mode == 'paper' else f'{BROKER}.main'
    fqme = await get_fqme()
    async with (
        open_feed([fqme], loglevel='critical') as feed,
        open_ems(fqme, mode=mode, loglevel='critical') as (
            client,
            stream,
            _,
            accounts,
            _,
        ),
    ):
        assert list(accounts) == [account]
        flume = feed.flumes[fqme]
        last = flume.first_quote['last']
        _, pair = await get_brokermod(BROKER).get_mkt_info(SYMBOL)
        yield Orders(client, stream, account, flume.mkt, pair.min_size, last)


async def fill_and_cancel(orders: Orders) -> str:
    """
    Fill an order, and cancel another one. The oid of the first.
    """
    filled = await orders.send(orders.size(50), orders.price(1.5))
    await orders.follow(filled, 'fill', 'closed', 'position')
    canceled = await orders.send(orders.size(25), orders.price(0.7))
    await orders.follow(canceled, 'open')
    await orders.cancel(canceled)
    await orders.follow(canceled, 'canceled')
    return filled
