"""
The control port's client.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from .operations import Operation, Topic
from .reports import (
    AccountInfo,
    Direction,
    MarketInfo,
    OrderInfo,
    StateInfo,
    TradeInfo,
)

T = TypeVar('T')


class SimVenueError(Exception):
    """
    The venue did not start, cannot be reached, or refuses a request.
    """


class Controls:
    """
    What can be asked of a running venue at its control port, `controls_url`. All of it
    raises `SimVenueError`. What it changed has been told to whom it concerns when it
    returns.
    """

    def __init__(self, controls_url: str = '') -> None:
        self.controls_url = controls_url
        # without TLS: to load the certificates that it would go by takes a while
        self._http = httpx.AsyncClient(timeout=30, trust_env=False, verify=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def _tell(self, name: str, /, **params: object) -> None:
        await self._ask(object, name, **params)

    async def _ask(self, type: type[T], name: str, /, **params: object) -> T:
        given = {key: value for key, value in params.items() if value is not None}
        try:
            reply = await self._http.post(
                f'{self.controls_url}/{name}', content=msgspec.json.encode(given)
            )
        except httpx.TransportError as err:
            raise SimVenueError(f'{self.controls_url} is gone: {err!r}') from err
        if reply.status_code != 200:
            raise SimVenueError(f'{name}: {reply.json()["error"]}')
        return msgspec.json.decode(reply.content, type=type)

    async def markets(self) -> list[MarketInfo]:
        """
        All that are listed.
        """
        return await self._ask(list[MarketInfo], 'markets')

    async def market(self, market: str) -> MarketInfo:
        """
        One of them, with its quote.
        """
        return await self._ask(MarketInfo, 'market', market=market)

    async def print_trade(
        self, market: str, price: float, amount: float, side: Direction = 'buy'
    ) -> TradeInfo:
        """
        A trade that ignores the book, but strikes the orders at rest in its way.
        """
        return await self._ask(
            TradeInfo,
            'print_trade',
            market=market,
            price=price,
            amount=amount,
            side=side,
        )

    async def depth(
        self, market: str, amount: float | None = None, levels: int = 1
    ) -> None:
        """
        Have the market maker offer so much at each of so many prices; 0: nothing;
        `None`: as usual.
        """
        await self._tell('depth', market=market, amount=amount, levels=levels)

    async def misbehave(
        self,
        kind: str,
        *,
        operation: Operation | None = None,
        topic: Topic | None = None,
        market: str | None = None,
        count: int = 1,
        seconds: float | None = None,
    ) -> None:
        """
        See `simvenue.faults`.
        """
        await self._tell(
            'misbehave',
            kind=kind,
            operation=operation,
            topic=topic,
            market=market,
            count=count,
            seconds=seconds,
        )

    async def behave(self) -> None:
        """
        No more of that.
        """
        await self._tell('behave')

    async def seek(self, time: float) -> None:
        """
        Of a replay: begin anew at that time of the recording (epoch s).
        """
        await self._tell('seek', time=time)

    async def state(self) -> StateInfo:
        return await self._ask(StateInfo, 'state')

    async def set_clock(
        self, now: int | None = None, speed: float | None = None
    ) -> int:
        """
        Make it another time (epoch ms), or another pace; returns the time.
        """
        return await self._ask(int, 'set_clock', now=now, speed=speed)

    async def list_market(self, name: str, like: str | None = None) -> MarketInfo:
        """
        List another market, like one that there is; or again one that was delisted.
        """
        return await self._ask(MarketInfo, 'list_market', name=name, like=like)

    async def delist(self, market: str) -> None:
        """
        Have no more of a market; its orders are cancelled.
        """
        await self._tell('delist', market=market)

    async def differ(self, **traits: Any) -> None:
        """
        Be another kind of venue from now on, see `TRAITS` of the dialect.
        """
        await self._tell('differ', traits=traits)

    async def place(
        self,
        account: str,
        market: str,
        side: Direction,
        amount: float,
        price: float | None = None,
        *,
        client_id: str = '',
        post_only: bool = False,
    ) -> OrderInfo:
        """
        An order of an account, at the market where it has no price.
        """
        return await self._ask(
            OrderInfo,
            'place',
            account=account,
            market=market,
            side=side,
            amount=amount,
            price=price,
            client_id=client_id,
            post_only=post_only,
        )

    async def cancel(self, order_id: str) -> OrderInfo:
        """
        An order of whichever account.
        """
        return await self._ask(OrderInfo, 'cancel', order_id=order_id)

    async def account(self, key: str) -> AccountInfo:
        """
        All that an account has and had.
        """
        return await self._ask(AccountInfo, 'account', key=key)
