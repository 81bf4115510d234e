"""
The exchange: what becomes of orders.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec.structs import replace

from .accounts import Account, AccountNews, Delivery, Fill, Liquidity, fee_of
from .events import Trades
from .instruments import Instrument
from .market import Market, Trade
from .matching import Offer, Order, OrderState, OrderType, TimeInForce, opposite
from .pricing import payoff
from .refusals import Refusal
from .reports import Direction

if TYPE_CHECKING:
    from .engine import Engine


class Exchange:
    """
    Matches the orders of its accounts, with each other and with the market maker's.

    It is put together again from the engine's journal, which has each state of an
    order and each fill, those of one event together.
    """

    def __init__(self, engine: Engine, accounts: dict[str, Account]) -> None:
        self.accounts = accounts
        self._engine = engine
        self._changed: defaultdict[str, dict[str, Order]] = defaultdict(dict)
        self._filled: defaultdict[str, list[Fill]] = defaultdict(list)
        self._resting: defaultdict[str, int] = defaultdict(int)
        """How many open orders keep a market watched."""
        self._printed: set[int] = set()
        """Ids of trades that are ours."""
        engine.listeners.append(self._on_event)

        journal = engine.journal
        for key, fill in journal.take('fill', tuple[str, Fill]):
            if account := accounts.get(key):
                instrument = engine.recall(fill.market, fill.timestamp)
                account.fills.append(fill)
                account.trade(instrument, *fill.signed(instrument), fill.fee)
        for delivery in journal.take('delivery', Delivery):
            if account := accounts.get(delivery.account):
                instrument = engine.recall(delivery.market, delivery.timestamp)
                account.deliver(instrument, delivery)
        orders = {it.order_id: it for it in journal.take('order', Order)}
        self._count = len(orders)
        self._priority = max((it.priority for it in orders.values()), default=0)
        for order in orders.values():
            if account := accounts.get(order.account):
                account.add(order)
                if order.state == 'open':
                    self._rest(order)
        for account in accounts.values():
            for order in list(account.open_orders.values()):
                if order.cancel_on_disconnect:
                    self.cancel(order, 'cancel_on_disconnect')

    # what accounts do

    def order(self, account: Account, order_id: str) -> Order:
        """
        Raises `Refusal`.
        """
        try:
            return account.orders[order_id]
        except KeyError:
            raise Refusal('order_not_found', order_id) from None

    def place(
        self,
        account: Account,
        name: str,
        direction: Direction,
        amount: float,
        price: float | None,
        *,
        post_only: bool = False,
        slide: bool = False,
        client_id: str = '',
        group: int = 0,
        time_in_force: TimeInForce = 'gtc',
        reduce_only: bool = False,
        cancel_on_disconnect: bool = False,
        replaces: bool = False,
    ) -> tuple[Order, list[Fill]]:
        """
        A new order, and its fills so far; at the market where it has no price. One
        that may only post and would trade is refused, or slides to a price where it
        does not. Raises `Refusal`.
        """
        market = self._engine.market(name)
        if not self._engine.is_active(market.instrument):
            raise Refusal('market_closed', name)
        steps, ticks = market.check_order(amount, price)
        unique = 'never' if replaces else self._engine.traits['client_ids']
        account.check_client_id(client_id, unique)
        now = self._engine.clock.now()
        order_type: OrderType = 'market' if price is None else 'limit'
        order = Order(
            order_id=self._engine.naming.order_id(market.instrument, self._count + 1),
            account=account.key,
            client_id=client_id,
            group=group,
            market=market.name,
            direction=direction,
            order_type=order_type,
            price=ticks,
            amount=steps,
            post_only=post_only,
            reduce_only=reduce_only,
            time_in_force=time_in_force,
            created=now,
            updated=now,
            priority=self._priority + 1,
            cancel_on_disconnect=cancel_on_disconnect,
        )
        if post_only and slide:
            order.price = market.book.beyond(order.direction, order.price)
        matches = self._match(account, market, order, order)
        self._count += 1
        self._priority += 1
        account.add(order)
        return order, self._execute(account, market, order, matches)

    def edit(
        self,
        order: Order,
        amount: float,
        price: float | None,
        *,
        post_only: bool | None = None,
        slide: bool = False,
        replaces: bool = False,
    ) -> tuple[Order, list[Fill]]:
        """
        Change an open order's total amount and its price. It keeps its place in the
        queue where it only shrinks. Returns the order, or another one that `replaces`
        it, and the fills that come of it. Raises `Refusal`, and leaves the order alone
        then.
        """
        account = self.accounts[order.account]
        market = self._engine.market(order.market)
        order.require_open()
        if price is None and order.price is not None:
            price = market.prices.value(order.price)
        steps, ticks = market.check_order(amount, price)
        if (left := steps - order.filled) <= 0:
            raise Refusal('amount_too_low', 'not more than what is filled')
        if replaces:
            market.check_order(market.amounts.value(left), price)
        keeps_place = ticks == order.price and steps <= order.amount
        post_only = order.post_only if post_only is None else post_only
        edited = replace(order, price=ticks, amount=steps, post_only=post_only)
        if edited.post_only and slide:
            edited.price = market.book.beyond(edited.direction, edited.price)
        matches = self._match(account, market, edited, order)
        if replaces:
            return self._replace(order, edited)
        self._unrest(order)
        order.price, order.amount = edited.price, steps
        order.post_only, order.replaced = edited.post_only, True
        if not keeps_place:
            self._priority += 1
            order.priority = self._priority
        return order, self._execute(account, market, order, matches)

    def _replace(self, order: Order, edited: Order) -> tuple[Order, list[Fill]]:
        market, ticks = self._engine.market(order.market), edited.price
        self.cancel(order, 'replaced')
        return self.place(
            self.accounts[order.account],
            order.market,
            order.direction,
            market.amounts.value(edited.amount - order.filled),
            None if ticks is None else market.prices.value(ticks),
            post_only=edited.post_only,
            client_id=order.client_id,
            group=order.group,
            reduce_only=order.reduce_only,
            cancel_on_disconnect=order.cancel_on_disconnect,
            replaces=True,
        )

    def cancel(self, order: Order, reason: str = 'user_request') -> None:
        """
        Raises `Refusal` where it is no longer open.
        """
        self._engine.market(order.market)
        order.require_open()
        self._end(order, reason)
        self._report()

    def cancel_after(self, account: Account, seconds: float) -> None:
        """
        Cancel all its orders then, unless it is put off; with 0 never.
        """
        now = self._engine.clock.now()
        account.cancels_at = now + int(1000 * seconds) if seconds else None
        self._engine.wake()

    def next_due(self) -> int:
        """
        When to `advance()` next, in ms.
        """
        dues = [it.cancels_at or 2**62 for it in self.accounts.values()]
        return min(dues, default=2**62)

    def advance(self) -> None:
        """
        Let happen what was due by now.
        """
        for account in self.accounts.values():
            if (account.cancels_at or 2**62) <= self._engine.clock.now():
                account.cancels_at = None
                for order in list(account.open_orders.values()):
                    self.cancel(order, 'timeout')

    def _end(self, order: Order, reason: str) -> None:
        self._unrest(order)
        self._close(order, 'cancelled', reason)
        self._engine.market(order.market).requote()

    def settle(self, instrument: Instrument) -> None:
        """
        The end of an instrument: of its orders, and of the positions in it.
        """
        due = (instrument.expiry or 2**62) <= self._engine.clock.now()
        for account in self.accounts.values():
            for order in list(account.open_orders.values()):
                if order.market == instrument.name:
                    self._end(order, 'settlement' if due else 'market_closed')
        self._report()
        for account in self.accounts.values():
            if due and instrument.name in account.positions:
                index = self._engine.market(instrument.name).index()
                price = Decimal(str(round(index, 2)))
                paid = Decimal(str(round(payoff(instrument, index), 8)))
                delivery = Delivery(
                    account.key, instrument.name, price, paid, instrument.expiry or 0
                )
                account.deliver(instrument, delivery)
                self._engine.journal.append('delivery', delivery)
                self._tell(account, [], [], [instrument.name])

    def _match(
        self,
        account: Account,
        market: Market,
        order: Order,
        replaced: Order,
    ) -> list[Offer]:
        """
        What the order will trade with, if it may. The account's own orders that are in
        its way are cancelled.
        """
        matches = market.book.match(order.direction, order.left, order.price)
        if order.post_only and matches:
            raise Refusal('would_take', 'it would trade at once')
        own = [
            it.order for it in matches if it.order and it.order.account == account.key
        ]
        matches = [it for it in matches if it.order not in own] if own else matches
        pieces = [(it.price, it.amount) for it in matches]
        filled = sum(amount for _, amount in pieces)
        if order.time_in_force == 'fok' and filled < order.left:
            return []
        if order.price is not None and order.time_in_force == 'gtc':
            pieces.append((order.price, order.left - filled))
        if not pieces and not own:
            if order.price is None:
                raise Refusal('no_liquidity', 'nothing to trade with')
            return []
        currency, needed = account.needs(market.instrument, order.direction, pieces)
        available = account.available(currency, self._engine.known, replaced)
        if needed > available:
            raise Refusal(
                'no_funds', f'{needed:f} {currency} needed, {available:f} available'
            )
        for mine in own:
            self._end(mine, 'self_trade')
        if own:
            return self._match(account, market, order, replaced)
        return matches

    # what happens

    def _execute(
        self,
        account: Account,
        market: Market,
        order: Order,
        matches: list[Offer],
    ) -> list[Fill]:
        """
        Do the trades, and see to what is left of the order.
        """
        before = len(account.fills)
        rest = order.left - sum(offer.amount for offer in matches)
        rests = order.price is not None and order.time_in_force == 'gtc'
        if rest and rests and order.price is not None:
            order.funds, needed = account.needs(
                market.instrument, order.direction, [(order.price, rest)]
            )
            order.funds_per_step = needed / rest
        self._touch(order)
        for offer in matches:
            self._trade(market, offer, order.direction, taker=order)
        if order.left and rests:
            self._rest(order)
        elif order.left:
            self._close(order, 'cancelled', 'nothing_left_to_trade_with')
        self._report()
        market.requote()
        return [it for it in account.fills[before:] if it.order_id == order.order_id]

    def _rest(self, order: Order) -> None:
        market = self._engine.market(order.market)
        market.book.add(order)
        self._resting[market.name] += 1
        if self._resting[market.name] == 1:
            self._engine.watch(market.name)

    def _unrest(self, order: Order) -> None:
        self._engine.market(order.market).book.remove(order)
        self._resting[order.market] -= 1
        if not self._resting[order.market]:
            self._engine.unwatch(order.market)

    def _on_event(self, event: object) -> None:
        """
        Let orders at rest take part in the trades of others.
        """
        if not isinstance(event, Trades):
            return
        market = event.market
        if event.trades[0].id in self._printed:
            self._printed.remove(event.trades[0].id)
            return
        for trade in event.trades:
            for offer in market.book.touched(trade.price, trade.amount):
                assert offer.order
                self._trade(market, offer, opposite(offer.order.direction))
        self._report()

    def _trade(
        self,
        market: Market,
        offer: Offer,
        direction: Direction,
        taker: Order | None = None,
    ) -> None:
        sides: list[tuple[Order | None, Liquidity]]
        sides = [(offer.order, 'maker'), (taker, 'taker')]
        orders = [(order, liquidity) for order, liquidity in sides if order]
        for order, liquidity in orders:
            order.filled += offer.amount
            order.turnover += offer.price * offer.amount
            if not order.left:
                if liquidity == 'maker':
                    self._unrest(order)
                self._close(order, 'filled')
        self._printed.add(market.next_id)
        trade = market.print_extra(offer.price, offer.amount, direction)
        for order, liquidity in orders:
            self._fill(market, order, offer, trade, liquidity)

    def _fill(
        self,
        market: Market,
        order: Order,
        offer: Offer,
        trade: Trade,
        liquidity: Liquidity,
    ) -> None:
        account = self.accounts[order.account]
        instrument = market.instrument
        price = offer.price * instrument.tick_size
        amount = offer.amount * instrument.amount_step
        fill = Fill(
            seq=len(account.fills) + 1,
            trade_id=trade.id,
            trade_seq=trade.seq,
            order_id=order.order_id,
            client_id=order.client_id,
            market=market.name,
            direction=order.direction,
            price=offer.price,
            amount=offer.amount,
            fee=fee_of(instrument, price, amount, liquidity),
            profit=Decimal(0),
            liquidity=liquidity,
            timestamp=trade.timestamp,
        )
        profit = account.trade(instrument, *fill.signed(instrument), fill.fee)
        fill = replace(fill, profit=profit)
        account.fills.append(fill)
        order.fees += fill.fee
        self._engine.journal.append('fill', (account.key, fill))
        self._filled[account.key].append(fill)
        self._touch(order)

    def _close(self, order: Order, state: OrderState, reason: str = '') -> None:
        order.state = state
        order.cancel_reason = reason
        self._touch(order)

    def _touch(self, order: Order) -> None:
        order.updated = self._engine.clock.now()
        self.accounts[order.account].update(order)
        self._changed[order.account][order.order_id] = order

    def _report(self) -> None:
        """
        At the end of an event: write down what it changed, and tell of it.
        """
        changed, self._changed = self._changed, defaultdict(dict)
        filled, self._filled = self._filled, defaultdict(list)
        for key, orders in changed.items():
            for order in orders.values():
                self._engine.journal.append('order', order)
            markets = list(dict.fromkeys(fill.market for fill in filled[key]))
            # as they are now: what is told later must not be what became of them since
            now = [replace(order) for order in orders.values()]
            self._tell(self.accounts[key], filled[key], now, markets)

    def _tell(
        self,
        account: Account,
        fills: list[Fill],
        orders: list[Order],
        markets: list[str],
    ) -> None:
        traded = [self._engine.instrument(name) for name in markets]
        currencies = dict.fromkeys(
            name
            for it in traded
            for name in ([it.base, it.quote] if it.kind == 'spot' else [it.settlement])
        )
        held = [it.name for it in traded if it.has_positions]
        self._engine.tell(AccountNews(account, fills, orders, held, [*currencies]))
