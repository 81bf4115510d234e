"""
`public/*` and the channels `trades.*` and `quote.*`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import replace

from ..instruments import Currency, Instrument, currencies, search
from ..market import Market, Trade
from ..server import UNKNOWN_CHANNEL, Channels, RpcError, Session, Venue

Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]
Limit = Annotated[int, Meta(ge=1, le=1000)]


class Public:
    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def get_time(self, session: Session) -> int:
        return self._venue.clock.now()

    def test(self, session: Session) -> dict[str, str]:
        session.answered = True
        return {'version': '1'}

    def get_currencies(self, session: Session) -> list[Currency]:
        return currencies(self.get_instruments(session))

    def get_instruments(self, session: Session) -> list[Instrument]:
        return [market.instrument for market in self._venue.markets.values()]

    def search_instruments(
        self,
        session: Session,
        pattern: str,
        limit: Limit = 30,
    ) -> list[Instrument]:
        return search(self.get_instruments(session), pattern, limit)

    def get_candles(
        self,
        session: Session,
        instrument_name: str,
        resolution: Literal[1, 60],
        start: Milliseconds | None = None,
        end: Milliseconds | None = None,
        limit: Limit = 1000,
    ) -> dict[str, list[float]]:
        market = self._venue.market(instrument_name)
        return market.candles(resolution, start, end, limit)

    def ticker(self, session: Session, instrument_name: str) -> dict[str, Any]:
        return self._venue.market(instrument_name).ticker()

    def get_trades(
        self,
        session: Session,
        instrument_name: str,
        start_id: Annotated[int, Meta(ge=0, le=2**53)] | None = None,
        limit: Limit = 100,
    ) -> list[Trade]:
        market = self._venue.market(instrument_name)
        trades = market.trades(start_id, limit)
        fault = self._venue.faults.take(session, 'endless', method='public/get_trades')
        if fault and start_id is not None:
            (newest,) = market.trades(None, 1)
            ids = range(start_id + len(trades), start_id + limit)
            trades += [replace(newest, trade_id=trade_id) for trade_id in ids]
        return trades

    def subscribe(self, session: Session, channels: list[str]) -> list[str]:
        self._venue.subscribe(session, channels)
        return channels

    def unsubscribe(self, session: Session, channels: list[str]) -> list[str]:
        self._venue.unsubscribe(session, channels)
        return channels

    def set_heartbeat(
        self,
        session: Session,
        interval: Annotated[float, Meta(ge=0.1)],
    ) -> str:
        session.set_heartbeat(interval)
        return 'ok'


def install(venue: Venue) -> None:
    def topic(session: Session, channel: str) -> str:
        if channel.partition('.')[2] not in venue.markets:
            raise RpcError(UNKNOWN_CHANNEL, f'unknown_channel: {channel}')
        return channel

    def quote(channel: str) -> dict[str, Any]:
        return venue.markets[channel.partition('.')[2]].quote_fields()

    def on_trades(market: Market, trades: list[Trade]) -> None:
        message = {'instrument_name': market.name, 'trades': trades}
        venue.publish(f'trades.{market.name}', message)

    def on_quote(market: Market) -> None:
        topic = f'quote.{market.name}'
        if venue.is_heard(topic):
            venue.publish(topic, market.quote_fields())

    venue.expose('public', Public(venue))
    venue.channels['trades'] = Channels(topic)
    venue.channels['quote'] = Channels(topic, quote)
    for market in venue.markets.values():
        market.on_trades.append(on_trades)
        market.on_quote.append(on_quote)
