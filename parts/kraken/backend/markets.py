"""
The venue's markets, as anybody may ask for them: what is listed, quotes, bars, trades.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import ClassVar, TypeVar

import msgspec

from . import messages
from ._errors import ReplyLost
from ._market_data import Bars
from ._piker import Asset, SymbolNotFound
from ._session import Session
from ._symbology import Symbology
from .messages import Pair, Quote, Trade
from .trades import TradeList
from .wire import Wire

T = TypeVar('T')

#{% if trading %}
_symbols: dict[str, str] = {}
"""Of the pairs that are listed, by all their names."""

#{% endif %}

class Markets(Wire):
    """
    The public methods. Those that name a market take its symbol, as `BTC/USD`.
    """

    session: Session
    listed: ClassVar = Symbology[Pair]()
    """For the actor's life."""

    def __init__(self) -> None:
        super().__init__()
        self._trades: dict[str, TradeList] = {}

    async def get_assets(self, reload: bool = False) -> dict[str, Asset]:
        """
        All assets, by their name in lower case; with `reload` also those that the venue
        has added since.
        """
        if reload or not self.listed.assets:
            found = await self.session.request(
                'public/Assets', dict[str, messages.AssetInfo]
            )
            self.listed.add_assets(
                Asset(
                    messages.asset_name(it.altname).lower(),
                    'fiat' if asset_id.startswith('Z') else 'crypto',
                    Decimal(1).scaleb(-it.decimals),
                )
                for asset_id, it in found.items()
            )
            # a market of what is no asset yet is one all the same
            self.listed.add_assets(
                Asset(name.lower(), 'crypto', pair.size_step)
                for pair in (await self.get_mkt_pairs(reload)).values()
                for name in (pair.base_currency, pair.quote_currency)
            )
        return self.listed.assets

    async def get_mkt_pairs(self, reload: bool = False) -> dict[str, Pair]:
        """
        All pairs, by `bs_fqme`; with `reload` also those that the venue has listed
        since. Each is one and the same object at every call.
        """
        if reload or not self.listed.pairs:
            found = await self.session.request('public/AssetPairs', dict[str, Pair])
            self.listed.add_pairs(
                msgspec.structs.replace(pair, pair_id=pair_id)
                for pair_id, pair in found.items()
                if pair.wsname  # others are for some only, and on no socket
            )
        return self.listed.pairs

#{% if trading %}
    def symbol_of(self, name: str) -> str:
        """
        The symbol of a market that requests call `name`, as far as it is known.
        """
        if len(_symbols) < len(self.listed.pairs):
            for pair in self.listed.pairs.values():
                _symbols.update(dict.fromkeys(pair.names, pair.symbol))
        return _symbols.get(name, name)

#{% endif %}
    async def find_expired(self, name: str) -> Pair:
        """
        Raises `SymbolNotFound`: nothing expires, and what is delisted is no more.
        """
        raise SymbolNotFound(name)

    async def search_symbols(self, pattern: str, limit: int = 30) -> dict[str, Pair]:
        """
        The pairs that `pattern` finds, by `bs_fqme`; see `_symbology.rank()`.
        """
        await self.get_mkt_pairs()
        return self.listed.search(pattern, limit)

    # market data

    async def get_ticker(self, instrument_name: str) -> Quote:
        found = await self.session.request(
            'public/Ticker',
            dict[str, messages.TickerInfo],
            pair=messages.mk_wsname(instrument_name),
        )
        ticker, _ = _get_only(found)
        (bid, *_, bid_size), (ask, *_, ask_size) = ticker.b, ticker.a
        return Quote(
            instrument_name,
            datetime.fromtimestamp(self.clock.now(), UTC),
            float(bid),
            float(bid_size),
            float(ask),
            float(ask_size),
            float(ticker.c[0]),
        )

    async def get_bars(
        self, instrument_name: str, seconds: int, start_ms: int, end_ms: int
    ) -> Bars:
        """
        The bars of a length in `TRAITS.bar_seconds` that open in
        [`start_ms`, `end_ms`], as far as they are among the newest
        `TRAITS.bars_back`. The last one of them is not over yet.
        """
        found = await self.session.request(
            'public/OHLC',
            dict[str, list[messages.BarRow] | int],
            pair=messages.mk_wsname(instrument_name),
            interval=seconds // 60,
        )
        rows, _ = _get_only(found)
        return messages.mk_bars(
            row for row in rows if start_ms <= 1000 * row[0] <= end_ms
        )

    async def get_trades(
        self,
        instrument_name: str,
        *,
        first_number: int | None = None,
        last_number: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        count: int = 1000,
        newest_first: bool = False,
    ) -> tuple[list[Trade], bool]:
        """
        At most `count` trades of a market in a range of numbers or of time, ends
        included, and whether there are more: the first ones, ascending, or with
        `newest_first` the last ones, descending. Where only numbers are given, it is
        up to us to find out when that was.
        """
        trades = self._trades.setdefault(
            instrument_name, TradeList(partial(self._get_trades, instrument_name))
        )
        if newest_first:
            until = None if end_ms is None or end_ms >= self.clock.now_ms() else end_ms
            return await trades.get_newest(start_ms or 0, until, count)
        return await trades.get_first(
            first_number or 0,
            math.inf if last_number is None else last_number,
            start_ms,
            math.inf if end_ms is None else end_ms,
            count,
        )

    async def _get_trades(
        self, instrument_name: str, after: int | None, count: int
    ) -> tuple[list[Trade], int]:
        found = await self.session.request(
            'public/Trades',
            dict[str, list[messages.TradeRow] | str],
            pair=messages.mk_wsname(instrument_name),
            since=after,
            count=count,
        )
        rows, last = _get_only(found)
        trades = [messages.mk_trade(instrument_name, row) for row in rows]
        return trades, last


def _get_only(found: Mapping[str, T | int | str]) -> tuple[T, int]:
    """
    What a reply says of one market, whatever that is called there, and its `last`.
    """
    last = [int(it) for it in found.values() if isinstance(it, int | str)]
    match [it for it in found.values() if not isinstance(it, int | str)]:
        case [told]:
            return told, next(iter(last), 0)
    raise ReplyLost(f'no such reply: it is of {[*found]}')
