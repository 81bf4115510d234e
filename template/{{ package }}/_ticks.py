"""
Quotes and their ticks, in the host's form.

Prices and sizes are plain floats: others do not survive the way to another actor. What
is not known is left out, since not every host takes a null.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from itertools import chain, groupby
from typing import Any

from ._channels import ChannelStream, Disconnected, Reconnected
from ._market_data import PublicQuote, PublicTrade
from ._piker import MktPair
from ._trades import Run, Tape

_max_behind: float = 10
"""A quote that is older than the one before by more s is none: the clock was set."""


async def stream_ticks(
    tape: Tape[Any],
    stream: ChannelStream[Any],
) -> AsyncIterator[list[dict[str, Any]]]:
    """
    The ticks of a market's channels, on which there are lists of `PublicTrade`s, and
    `PublicQuote`s. What has come together is in one list, trades apart from quotes.

    Trades that the stream left out, whatever happened to the connection, are fetched,
    and a quote that comes after a newer one is left out.
    """
    newest = 0.0
    while True:
        unread: list[Any] = await stream.receive_all()
        for kind, msgs in groupby(unread, type):
            if kind is list:
                async for run in tape.take([*chain.from_iterable(msgs)]):
                    yield mk_trade_ticks(run, tape.numbered)
            elif kind is Reconnected:
                async for run in tape.resume():
                    yield mk_trade_ticks(run, tape.numbered)
            elif kind is not Disconnected:
                ticks: list[dict[str, Any]] = []
                for msg in msgs:
                    if quote := mk_quote_ticks(msg):
                        behind = newest - quote[0]['time']
                        if not 0 < behind < _max_behind:
                            newest -= behind
                            ticks += quote
                if ticks:
                    yield ticks


def mk_trade_ticks(run: Run[PublicTrade], numbered: bool) -> list[dict[str, Any]]:
    """
    The trades' ticks. The first one has the number of those before it that could not
    be had, as `missed`. Whoever is told numbers takes a gap for a loss: they are told
    where they are `numbered` without one.
    """
    missed, trades = run
    ticks: list[dict[str, Any]] = []
    for trade in trades:
        tick = {
            'type': 'trade',
            'price': trade.price,
            'size': trade.amount,
            'time': trade.timestamp / 1000,
        }
        if numbered:
            tick['trade_id'] = trade.number
        ticks.append(tick)
    if missed:
        ticks[0]['missed'] = missed
    return ticks


def mk_quote_ticks(quote: PublicQuote) -> list[dict[str, Any]]:
    """
    The best bid and ask, each a price and the size on offer there. A side that is empty
    has no tick.
    """
    time = quote.timestamp / 1000
    sides = [
        ('bid', quote.best_bid_price, quote.best_bid_amount),
        ('ask', quote.best_ask_price, quote.best_ask_amount),
    ]
    return [
        {'type': side, 'price': price, 'size': size or 0.0, 'time': time}
        for side, price, size in sides
        if price
    ]


def mk_quote(mkt: MktPair, ticks: list[dict[str, Any]]) -> dict[str, Any]:
    """
    A quote of what has just come. One of trades has the `trade_id` of the last.
    """
    last = ticks[-1]
    quote = {
        'symbol': mkt.bs_fqme,
        'ticks': ticks,
        'broker_ts': last['time'],
        'brokerd_ts': time.time(),
    }
    if last['type'] == 'trade':
        quote['last'] = last['price']
        if 'trade_id' in last:
            quote['trade_id'] = last['trade_id']
    return quote


def mk_first_quote(
    mkt: MktPair,
    ticks: list[dict[str, Any]],
    *,
    time_ms: int,
    last: float,
    last_number: int | None,
) -> dict[str, Any]:
    """
    The quote that a feed begins with: there may be no ticks, but there is a last price.
    """
    quote = {
        'symbol': mkt.bs_fqme,
        'ticks': ticks,
        'broker_ts': time_ms / 1000,
        'brokerd_ts': time.time(),
        'last': last,
    }
    if last_number is not None:
        quote['trade_id'] = last_number
    return quote
