"""
Market data: live quotes and history. What the venue calls its channels, and what comes
from them, is in the author's `api.py` and `messages.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from ._config import NAME
from ._piker import FeedInit, MktPair, open_cached_client
from ._symbols import get_mkt_info
from ._ticks import (
    mk_first_quote,
    mk_quote,
    mk_quote_ticks,
    mk_trade_ticks,
    stream_ticks,
)
from ._trades import Tape
from .api import QUOTES, TRADES, Client
from .messages import Trade

if TYPE_CHECKING:
    from trio_typing import TaskStatus

    from ._history import Frame

GetHist = Callable[..., Awaitable['Frame']]


async def stream_quotes(
    send_chan: trio.MemorySendChannel[dict[str, Any]],
    symbols: list[str],
    feed_is_live: trio.Event,
    loglevel: str | None = None,
    task_status: TaskStatus[
        tuple[list[FeedInit], dict[str, Any]]
    ] = trio.TASK_STATUS_IGNORED,
) -> None:
    """
    Send the live quotes of the one market in `symbols`, as `{bs_fqme: quote}`, until
    cancelled.
    """
    (symbol,) = symbols
    client: Client
    async with send_chan, open_cached_client(NAME) as client:
        mkt, pair = await get_mkt_info(symbol)
        instrument = pair.bs_mktid
        async with client.session.open_channel(*mk_channels(instrument)) as msgs:
            ticker = await client.get_ticker(instrument)
            tape = mk_tape(client, instrument)
            # what comes after the newest is streamed, or else fetched
            await tape.begin()
            first_quote = mk_first_quote(
                mkt,
                mk_quote_ticks(ticker),
                time_ms=ticker.timestamp,
                last=ticker.last,
                last_number=tape.last_number,
            )
            task_status.started(([FeedInit(mkt_info=mkt)], first_quote))
            feed_is_live.set()
            async for ticks in stream_ticks(tape, msgs):
                await send_chan.send({mkt.bs_fqme: mk_quote(mkt, ticks)})


def mk_channels(instrument: str) -> tuple[str, str]:
    """
    Those of a market's trades and quotes.
    """
    return TRADES.format(instrument), QUOTES.format(instrument)


async def replay_trades(
    symbol: str,
    last_id: int,
    until_id: int,
) -> AsyncIterator[dict[str, Any]]:
    """
    The quotes, by bs_fqme, of the trades after `last_id` up to `until_id`, as far as
    the venue has them: for a host that lost its stream of them for a while.
    """
    client: Client
    async with open_cached_client(NAME) as client:
        mkt, pair = await get_mkt_info(symbol)
        tape = mk_tape(client, pair.bs_mktid, last_id)
        async for run in tape.catch_up(until_id):
            yield {mkt.bs_fqme: mk_quote(mkt, mk_trade_ticks(run, numbered=True))}


def mk_tape(
    client: Client,
    instrument: str,
    last_number: int | None = None,
) -> Tape[Trade]:
    return Tape(
        instrument,
        partial(client.get_trades, instrument),
        numbered=client.traits.trade_numbers == 'contiguous',
        last_number=last_number,
    )


@acm
async def open_history_client(
    mkt: MktPair,
) -> AsyncIterator[tuple[GetHist, dict[str, Any]]]:
    """
    A function that loads one frame of history, and how the host may call it.
    """
    # not for quotes alone: it needs numpy, which takes longer to import than all else
    from ._history import get_hist

    client: Client
    async with open_cached_client(NAME) as client:
        yield partial(get_hist, client, mkt), {'erlangs': 3, 'rate': 3}
