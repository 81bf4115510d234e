"""
The control port: what a real venue does not have, by HTTP.

    curl URL/markets
    curl -d '{"market": NAME, "price": 60000, "amount": 10}' URL/print_trade
    curl -d '{"kind": "drop"}' URL/misbehave
    curl URL/state

A request is a POST to the name of a function below with its arguments in JSON; without
any, GET does as well. What is refused has status 400 and {"error": why}.
"""

from __future__ import annotations

import traceback
from typing import Annotated, Any

import msgspec
import trio
from msgspec import Meta

from .accounts import Account, Fill
from .faults import KINDS, Fault
from .instruments import Instrument
from .market import Market, Trade
from .matching import Order
from .methods import Method
from .refusals import Refusal
from .replay import Replay
from .reports import (
    AccountInfo,
    BalanceInfo,
    Direction,
    FaultInfo,
    FillInfo,
    MarketInfo,
    OrderInfo,
    PositionInfo,
    StateInfo,
    TradeInfo,
)
from .server import Server
from .transport import Gone, HttpConnection, HttpRequest

Positive = Annotated[float, Meta(gt=0)]


class Controls:
    """
    What may be asked for: every public method.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._engine = server.engine

    def _market(self, name: str) -> Market:
        return self._engine.market(name)

    def markets(self, session: object) -> list[MarketInfo]:
        """
        All that are listed. Quotes are told of those that somebody has looked at.
        """
        return [self._info(it) for it in self._engine.instruments.values()]

    def market(self, session: object, market: str) -> MarketInfo:
        """
        One of them, with its quote.
        """
        self._market(market)
        return self._info(self._engine.instrument(market))

    def _info(self, it: Instrument) -> MarketInfo:
        bid = ask = last = None
        if market := self._engine.seen(it.name):
            quote, value = market.quote(), market.prices.value
            bid = value(quote.bid) if quote.bid_amount else None
            ask = value(quote.ask) if quote.ask_amount else None
            last = value(market.last.price)
        return MarketInfo(
            name=it.name,
            kind=it.kind,
            base=it.base,
            quote=it.quote,
            settlement=it.settlement,
            inverse=it.inverse,
            tick_size=str(it.tick_size),
            amount_step=str(it.amount_step),
            min_amount=str(it.min_amount),
            min_cost=str(it.min_cost),
            contract_size=str(it.contract_size),
            expiry=it.expiry,
            strike=None if it.strike is None else f'{it.strike:f}',
            option_type=it.option_type,
            active=self._engine.is_active(it),
            bid=bid,
            ask=ask,
            last=last,
        )

    def print_trade(
        self,
        session: object,
        market: str,
        price: Positive,
        amount: Positive,
        side: Direction = 'buy',
    ) -> TradeInfo:
        """
        A trade that ignores the book, but strikes the orders at rest in its way.
        """
        it = self._market(market)
        ticks, steps = it.check_price(price), it.amounts.count(amount)
        return _trade(it, it.print_extra(ticks, steps, side))

    def depth(
        self,
        session: object,
        market: str,
        amount: Annotated[float, Meta(ge=0)] | None = None,
        levels: Annotated[int, Meta(ge=1, le=1000)] = 1,
    ) -> None:
        """
        Have the market maker offer so much at each of so many prices; 0: nothing;
        without an amount, as usual.
        """
        it = self._market(market)
        steps = None if amount is None else it.amounts.count(amount)
        it.book.set_depth(steps, levels)
        it.requote()

    def misbehave(
        self,
        session: object,
        kind: str,
        operation: str | None = None,
        topic: str | None = None,
        market: str | None = None,
        count: Annotated[int, Meta(ge=1)] = 1,
        seconds: Annotated[float, Meta(ge=0)] | None = None,
    ) -> None:
        """
        See `simvenue.faults`.
        """
        if kind not in KINDS:
            raise ValueError(f'{kind!r} is none of {", ".join(KINDS)}')
        known = self._server.dialect.operation_names()
        if operation is not None and operation not in known:
            raise ValueError(f'{operation!r} is none of {", ".join(sorted(known))}')
        if market is not None:
            self._engine.instrument(market)
        if kind == 'stale_nonce' and not self._engine.traits['nonces']:
            raise ValueError(f'{kind}: requests to this venue have no nonces')
        self._server.misbehave(Fault(kind, count, seconds, operation, topic, market))

    def behave(self, session: object) -> None:
        """
        No more of that.
        """
        self._server.behave()

    def seek(self, session: object, time: float) -> None:
        """
        Of a replay: begin anew at that time of the recording (epoch s).
        """
        if not isinstance(self._server.dialect, Replay):
            raise ValueError('it replays nothing')
        self._server.dialect.seek(time)
        self._engine.clock.set(int(1000 * time), self._engine.clock.speed)
        # who was connected before thinks that it is another time
        self._server.misbehave(Fault('drop'))

    def state(self, session: object) -> StateInfo:
        sockets = sum(it.is_socket for it in self._server.sessions)
        return StateInfo(
            now=self._engine.clock.now(),
            connections=sockets,
            http_connections=len(self._server.sessions) - sockets,
            subscriptions=self._server.subscriptions(),
            faults=[
                FaultInfo(it.kind, it.count, it.operation, it.topic, it.market)
                for it in self._server.faults.armed
            ],
            requests=dict(self._server.requests),
            recent=list(self._server.recent),
            traits=self._engine.traits,
        )

    def set_clock(
        self, session: object, now: int | None = None, speed: Positive | None = None
    ) -> int:
        """
        Make it another time (epoch ms), or another pace. What was due until then
        happens.
        """
        self._engine.set_clock(now, speed)
        return self._engine.clock.now()

    def list_market(
        self, session: object, name: str, like: str | None = None
    ) -> MarketInfo:
        """
        List another market, like one that there is; or again one that was delisted.
        """
        self._engine.add(name, like)
        return self.market(session, name)

    def delist(self, session: object, market: str) -> None:
        """
        Have no more of a market; its orders are cancelled.
        """
        self._engine.delist(market)

    def differ(self, session: object, traits: dict[str, Any]) -> None:
        """
        Be another kind of venue from now on, see `TRAITS` of the dialect.
        """
        for name in traits:
            if name not in self._engine.traits:
                raise ValueError(
                    f'{name!r} is none of {", ".join(self._engine.traits)}'
                )
        self._engine.traits |= traits
        self._engine.journal.append('traits', traits)

    def _account(self, key: str) -> Account:
        try:
            return self._engine.exchange.accounts[key]
        except KeyError:
            raise ValueError(f'no account {key!r}') from None

    def place(
        self,
        session: object,
        account: str,
        market: str,
        side: Direction,
        amount: Positive,
        price: Positive | None = None,
        client_id: str = '',
        post_only: bool = False,
    ) -> OrderInfo:
        """
        An order of an account, at the market where it has no price.
        """
        order, _ = self._engine.exchange.place(
            self._account(account),
            market,
            side,
            amount,
            price,
            client_id=client_id,
            post_only=post_only,
        )
        return self._order(order)

    def cancel(self, session: object, order_id: str) -> OrderInfo:
        """
        An order of whichever account.
        """
        for account in self._engine.exchange.accounts.values():
            if order := account.orders.get(order_id):
                self._engine.exchange.cancel(order)
                return self._order(order)
        raise Refusal('order_not_found', order_id)

    def account(self, session: object, key: str) -> AccountInfo:
        """
        All that an account has and had.
        """
        account, engine = self._account(key), self._engine
        return AccountInfo(
            orders=[self._order(it) for it in account.orders.values()],
            fills=[self._fill(it) for it in account.fills],
            positions=[
                PositionInfo(
                    name,
                    float(it.size),
                    float(it.average_price(engine.instrument(name))),
                )
                for name, it in account.positions.items()
                if it.size
            ],
            balances=[
                BalanceInfo(
                    name, float(total), float(account.available(name, engine.known))
                )
                for name, total in account.balances.items()
            ],
        )

    def _order(self, it: Order) -> OrderInfo:
        market = self._market(it.market)
        average = it.turnover * market.prices.step / it.filled if it.filled else 0
        return OrderInfo(
            order_id=it.order_id,
            client_id=it.client_id,
            market=it.market,
            side=it.direction,
            type=it.order_type,
            state=it.state,
            price=None if it.price is None else market.prices.value(it.price),
            amount=market.amounts.value(it.amount),
            filled=market.amounts.value(it.filled),
            average_price=float(average),
            post_only=it.post_only,
            reason=it.cancel_reason,
        )

    def _fill(self, it: Fill) -> FillInfo:
        market = self._market(it.market)
        return FillInfo(
            seq=it.seq,
            trade_id=it.trade_id,
            trade_seq=it.trade_seq,
            order_id=it.order_id,
            client_id=it.client_id,
            market=it.market,
            side=it.direction,
            price=market.prices.value(it.price),
            amount=market.amounts.value(it.amount),
            fee=float(it.fee),
            fee_currency=market.instrument.settlement,
            profit=float(it.profit),
            liquidity=it.liquidity,
            timestamp=it.timestamp,
        )


def _trade(market: Market, it: Trade) -> TradeInfo:
    return TradeInfo(
        market=market.name,
        seq=it.seq,
        id=it.id,
        timestamp=it.timestamp,
        price=market.prices.value(it.price),
        amount=market.amounts.value(it.amount),
        side=it.direction,
    )


class ControlPort:
    """
    Serves them.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        controls = Controls(server)
        self._methods = {
            name: Method(getattr(controls, name))
            for name in vars(Controls)
            if not name.startswith('_')
        }

    async def serve(self, listener: trio.SocketListener) -> None:
        """
        Serve until cancelled.
        """
        await trio.serve_listeners(self._connected, [listener])

    async def _connected(self, stream: trio.SocketStream) -> None:
        connection = HttpConnection(stream)
        try:
            while True:
                status, fields = self._answer(await connection.receive())
                # whoever is told of it, is so before we answer
                self._server.flush()
                await connection.reply(status, msgspec.json.encode(fields))
        except Gone:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    def _answer(self, request: HttpRequest) -> tuple[int, Any]:
        name = request.path.strip('/')
        try:
            if name not in self._methods:
                raise ValueError(f'{name!r} is none of {", ".join(self._methods)}')
            params = msgspec.json.decode(request.body or b'{}', type=dict[str, Any])
            return 200, self._methods[name](None, params)
        except Refusal as refusal:
            return 400, {'error': f'{refusal.reason} {refusal.text}'.strip()}
        except (ValueError, msgspec.DecodeError) as err:
            return 400, {'error': str(err)}
        except Exception as err:
            traceback.print_exc()
            return 500, {'error': repr(err)}
