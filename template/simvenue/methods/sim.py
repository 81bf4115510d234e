"""
`sim/*`: controls for tests.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from msgspec import Meta

from ..faults import Fault, Kind
from ..market import Trade
from ..server import INVALID_PARAMS, RpcError, Session, Venue
from ..source import Direction

Positive = Annotated[float, Meta(gt=0)]


class Sim:
    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def trade(
        self,
        session: Session,
        instrument_name: str,
        price: Positive,
        amount: Positive,
        direction: Direction = 'buy',
    ) -> Trade:
        market = self._venue.market(instrument_name)
        try:
            ticks, steps = market.prices.count(price), market.amounts.count(amount)
        except ValueError as err:
            raise RpcError(INVALID_PARAMS, f'Invalid params: {err}') from None
        market.advance()
        return market.print_extra(ticks, steps, direction)

    def fault(
        self,
        session: Session,
        kind: Kind,
        channel: str | None = None,
        method: str | None = None,
        count: Annotated[int, Meta(ge=1)] = 1,
        seconds: float | None = None,
    ) -> str:
        others = self._venue.sessions - {session}
        match kind:
            case 'drop':
                for other in others:
                    other.abort()
            case 'silent':
                for other in others:
                    other.be_silent(math.inf if seconds is None else seconds)
            case _:
                if kind == 'maintenance':
                    for other in others:
                        other.abort()
                seconds = 0.1 if seconds is None else seconds
                self._venue.faults.armed.append(
                    Fault(kind, count, seconds, channel, method, author=session)
                )
        return 'ok'

    def clear_faults(self, session: Session) -> str:
        self._venue.faults.armed.clear()
        return 'ok'

    def state(self, session: Session) -> dict[str, Any]:
        return {
            'now': self._venue.clock.now(),
            'connections': len(self._venue.sessions),
            'channels': self._venue.subscriptions(),
            'faults': [fault.kind for fault in self._venue.faults.armed],
        }


def install(venue: Venue) -> None:
    venue.expose('sim', Sim(venue))
