"""
The paper engine: a broker that is not there. It clears orders against the live feed
of `datad`, and speaks like a `brokerd`.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from functools import partial
from types import ModuleType
from typing import Any

import tractor
import trio
from msgspec import Struct, convert, to_builtins

from .._tractor import context, error_text, open_nursery
from ..accounting import MktPair
from ..accounting._ledger import Transaction
from ..accounting._mktinfo import check_step
from ..accounting._pos import Account, Position
from ..data.feed import keep_feed
from ._messages import (
    BrokerdCancel,
    BrokerdError,
    BrokerdFill,
    BrokerdOrder,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdStatus,
    Order,
    Status,
)


class PaperMarket(Struct):
    """
    A market that orders are cleared in.
    """

    mkt: MktPair
    bid: float
    ask: float
    orders: dict[str, BrokerdOrder] = {}
    """The open ones, by oid."""


class PaperBoi:
    """
    The engine, one per actor. Fills are whole: an order at or through the market
    trades at the market, another one at its own price when the market gets there.
    """

    def __init__(
        self,
        mod: ModuleType,
        account: Account,
        nursery: trio.Nursery,
    ) -> None:
        self.broker: str = mod.name
        self.account = account
        self.dialogs: set[trio.MemorySendChannel[Any]] = set()
        self.since = time.time_ns()
        """Older orders were given to a predecessor, who may have cleared them."""
        self._mod = mod
        self._nursery = nursery
        self._markets: dict[str, PaperMarket] = {}
        self._locks: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._recent: deque[str] = deque(maxlen=1024)
        """The oids of orders that were filled or canceled."""

    def tell(self, msg: Any) -> None:
        for dialog in self.dialogs:
            dialog.send_nowait(to_builtins(msg))

    def positions(self) -> list[BrokerdPosition]:
        return [self._position(pp) for pp in self.account.pps.values()]

    def _position(self, position: Position) -> BrokerdPosition:
        return BrokerdPosition(
            broker=self.broker,
            account='paper',
            symbol=position.fqme,
            size=position.cumsize,
            avg_price=position.ppu,
        )

    def open_orders(self) -> list[Status]:
        return [
            Status(
                time_ns=time.time_ns(),
                oid=order.oid,
                resp='open',
                reqid=order.oid,
                src='paper',
                req=Order(
                    action=order.action or 'buy',
                    exec_mode='live',
                    oid=order.oid,
                    symbol=order.symbol,
                    account='paper',
                    price=order.price,
                    size=order.size,
                    brokers=[self.broker],
                ),
            )
            for market in self._markets.values()
            for order in market.orders.values()
        ]

    async def handle(self, msg: dict[str, Any]) -> None:
        """
        Do what a client asks.
        """
        try:
            match msg:
                case {'action': 'cancel'}:
                    self._cancel(convert(msg, BrokerdCancel))
                case _:
                    order = convert(msg, BrokerdOrder)
                    self.tell(BrokerdOrderAck(order.oid, order.oid, order.account))
                    await self._submit(order)
        except (ValueError, tractor.RemoteActorError) as err:
            oid = msg['oid']
            self.tell(
                BrokerdError(
                    error_text(err),
                    msg.get('symbol'),
                    oid=oid,
                    reqid=oid,
                    broker_details={'name': 'paper', 'flow': msg},
                )
            )

    async def _submit(self, order: BrokerdOrder) -> None:
        if order.account != 'paper':
            raise ValueError(f'no account {order.account!r} here, only paper')
        if self._recall(order):
            return
        market = await self._get_market(order.symbol)
        check_step('price', order.price, market.mkt.price_tick)
        check_step('size', order.size, market.mkt.size_tick)
        market.orders[order.oid] = order
        self._tell_status(order, 'open', filled=0.0)
        touch = market.ask if order.action == 'buy' else market.bid
        if _reached(order, touch):
            self._fill(market, order, touch)

    def _recall(self, order: BrokerdOrder) -> bool:
        """
        Tell the end of an order that came to one before.
        """
        if order.oid in self._recent or order.time_ns < self.since:
            ledger = self.account.ledger
            if record := ledger.find(order.oid):
                txn = ledger.norm_trade(order.oid, record)
                assert txn
                self._tell_fill(order, txn)
                return True
        if order.oid in self._recent:
            self._tell_status(order, 'canceled', filled=0.0)
            return True
        return False

    def _cancel(self, msg: BrokerdCancel) -> None:
        for market in self._markets.values():
            if order := market.orders.pop(msg.oid, None):
                self._recent.append(msg.oid)
                self._tell_status(order, 'canceled', filled=0.0)
                return
        raise ValueError('no such order is open')

    async def _get_market(self, symbol: str) -> PaperMarket:
        async with self._locks[symbol]:
            if symbol not in self._markets:
                self._markets[symbol] = await self._nursery.start(
                    partial(
                        keep_feed,
                        f'{symbol}.{self.broker}',
                        lambda mkt, last: PaperMarket(mkt, last, last),
                        self._on_tick,
                    )
                )
            return self._markets[symbol]

    def _on_tick(self, market: PaperMarket, tick: dict[str, Any]) -> None:
        price = tick['price']
        match tick['type']:
            case 'bid':
                market.bid = price
                side = 'sell'
            case 'ask':
                market.ask = price
                side = 'buy'
            case 'trade' | 'last':
                side = ''
            case _:
                return
        for order in list(market.orders.values()):
            if side in ('', order.action) and _reached(order, price):
                self._fill(market, order, order.price)

    def _fill(self, market: PaperMarket, order: BrokerdOrder, price: float) -> None:
        import pendulum

        get_cost = getattr(self._mod, 'get_cost', None)
        size = order.size if order.action == 'buy' else -order.size
        txn = Transaction(
            fqme=market.mkt.fqme,
            tid=order.oid,
            size=size,
            price=price,
            cost=get_cost(price, size) if get_cost else 0.0,
            dt=pendulum.now('UTC'),
            bs_mktid=market.mkt.bs_mktid,
        )
        # on disk first: what nobody was told can be asked for again
        position = self.account.add(txn.tid, txn.to_dict())
        assert position
        del market.orders[order.oid]
        self._recent.append(order.oid)
        self._tell_fill(order, txn)
        self.tell(self._position(position))

    def _tell_fill(self, order: BrokerdOrder, txn: Transaction) -> None:
        self.tell(
            BrokerdFill(
                time_ns=time.time_ns(),
                broker_time=txn.dt.timestamp(),
                reqid=order.oid,
                size=abs(txn.size),
                price=txn.price,
                action=order.action,
                broker_details={'name': 'paper', 'tid': txn.tid},
            )
        )
        self._tell_status(order, 'closed', filled=order.size)

    def _tell_status(
        self,
        order: BrokerdOrder,
        status: Any,
        filled: float,
    ) -> None:
        self.tell(
            BrokerdStatus(
                time_ns=time.time_ns(),
                reqid=order.oid,
                status=status,
                oid=order.oid,
                account='paper',
                filled=filled,
                remaining=order.size - filled,
                broker_details={
                    'name': 'paper',
                    'price': order.price,
                    'size': order.size,
                },
            )
        )


def _reached(order: BrokerdOrder, price: float) -> bool:
    return price <= order.price if order.action == 'buy' else price >= order.price


_engine: PaperBoi | None = None


def get_engine(
    mod: ModuleType | None = None,
    account: Account | None = None,
    nursery: trio.Nursery | None = None,
) -> PaperBoi:
    """
    This actor's engine, which `_setup_persistent_paperboi()` allocates by passing
    the backend, the account, and the nursery that markets are to be cleared in.
    """
    global _engine
    if _engine is None:
        if mod is None or account is None or nursery is None:
            raise RuntimeError('there is no engine in this actor, only in paperboi')
        _engine = PaperBoi(mod, account, nursery)
    return _engine


@context
async def open_trade_dialog(ctx: tractor.Context) -> None:
    """
    RPC endpoint of `paperboi`, as a backend's of `brokerd`.
    """
    engine = get_engine()
    send_chan, unsent = trio.open_memory_channel[Any](float('inf'))
    to_engine, requests = trio.open_memory_channel[Any](float('inf'))
    await ctx.started((to_builtins(engine.positions()), ['paper']))
    async with ctx.open_stream() as stream, open_nursery() as tn:

        async def send() -> None:
            async for msg in unsent:
                await stream.send(msg)

        async def handle() -> None:
            async for msg in requests:
                await engine.handle(msg)

        for status in engine.open_orders():
            send_chan.send_nowait(to_builtins(status))
        engine.dialogs.add(send_chan)
        try:
            tn.start_soon(send)
            tn.start_soon(handle)
            # taken off the stream at once: it may have to wait for a feed
            async for msg in stream:
                to_engine.send_nowait(msg)
        finally:
            engine.dialogs.discard(send_chan)
        tn.cancel_scope.cancel()
