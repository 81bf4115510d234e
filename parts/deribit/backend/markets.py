"""
The venue's markets, as anybody may ask for them: what is listed, quotes, bars, trades.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import ClassVar

from . import messages
from ._market_data import Bars
from ._piker import Asset, SymbolNotFound
from ._session import Session
from ._symbology import Symbology
from .messages import Pair, Ticker, Trade


class Markets:
    """
    The public methods.
    """

    session: Session
    listed: ClassVar = Symbology[Pair]()
    """For the actor's life."""

    async def get_assets(self, reload: bool = False) -> dict[str, Asset]:
        """
        All currencies, by their name in lower case; with `reload` also those that the
        venue has added since.
        """
        if reload or not self.listed.assets:
            currencies = await self.session.request(
                'public/get_currencies', list[messages.Currency]
            )
            self.listed.add_assets(
                Asset(it.currency.lower(), 'crypto', Decimal(1).scaleb(-it.decimals))
                for it in currencies
            )
            # in some of them prices are said, but nobody can have any there
            self.listed.add_assets(
                Asset(pair.quote_currency.lower(), 'fiat', Decimal('0.01'))
                for pair in (await self.get_mkt_pairs(reload)).values()
            )
        return self.listed.assets

    async def get_mkt_pairs(self, reload: bool = False) -> dict[str, Pair]:
        """
        All pairs, by `bs_fqme`; with `reload` also those that the venue has listed
        since. Each is one and the same object at every call.
        """
        if reload or not self.listed.pairs:
            self.listed.add_pairs(
                await self.session.request(
                    'public/get_instruments', list[Pair], currency='any'
                )
            )
        return self.listed.pairs

    async def find_expired(self, name: str) -> Pair:
        """
        The pair of that `bs_fqme` or name, which is not listed any more. Raises
        `SymbolNotFound`.
        """
        for instrument_name in messages.mk_expired_names(name, self.listed.pairs):
            with suppress(SymbolNotFound):
                return await self.get_pair(instrument_name)
        raise SymbolNotFound(name)

    async def get_pair(self, instrument_name: str) -> Pair:
        """
        One pair, be it expired or listed only now.
        """
        pair = await self.session.request(
            'public/get_instrument', Pair, instrument_name=instrument_name
        )
        self.listed.add_pairs([pair])
        return self.listed.pairs[pair.bs_fqme]

    async def search_symbols(self, pattern: str, limit: int = 30) -> dict[str, Pair]:
        """
        The pairs that `pattern` finds, by `bs_fqme`; see `_symbology.rank()`.
        """
        await self.get_mkt_pairs()
        return self.listed.search(pattern, limit)

    async def get_ticker(self, instrument_name: str) -> Ticker:
        return await self.session.request(
            'public/ticker', Ticker, instrument_name=instrument_name
        )

    async def get_bars(
        self, instrument_name: str, seconds: int, start_ms: int, end_ms: int
    ) -> Bars:
        """
        The bars of a length in `TRAITS.bar_seconds` that open in
        [`start_ms`, `end_ms`], of which there may be `TRAITS.bars_per_call`.
        """
        return await self.session.request(
            'public/get_tradingview_chart_data',
            Bars,
            instrument_name=instrument_name,
            start_timestamp=start_ms,
            end_timestamp=end_ms,
            resolution='1D' if seconds == 86_400 else str(seconds // 60),
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
        At most `count` (up to 1000) trades of a market in a range of numbers or of
        time, ends included, and whether there are more: the first ones, ascending, or
        with `newest_first` the last ones, descending.
        """
        by_number = first_number is not None or last_number is not None
        by_time = not by_number and (start_ms is not None or end_ms is not None)
        page = await self.session.request(
            f'public/get_last_trades_by_instrument{"_and_time" if by_time else ""}',
            messages.TradesPage,
            instrument_name=instrument_name,
            start_seq=first_number,
            end_seq=last_number,
            start_timestamp=start_ms if by_time else None,
            end_timestamp=end_ms if by_time else None,
            count=count,
            sorting='desc' if newest_first else 'asc',
        )
        return page.trades, page.has_more
