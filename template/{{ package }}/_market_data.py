"""
What there is to hear of a market: trades, quotes and bars, in the form in which the
author's `Client` hands them on. Prices are in the quote currency, amounts and volumes
in the unit in which the market counts them, times in epoch ms.
"""

from __future__ import annotations

from typing import Protocol

from ._piker import Struct


class PublicTrade(Protocol):
    @property
    def trade_id(self) -> str: ...

    @property
    def number(self) -> int | None:
        """Counts the trades of the market, where the venue does so without a gap."""

    @property
    def timestamp(self) -> int: ...

    @property
    def price(self) -> float: ...

    @property
    def amount(self) -> float: ...


class PublicQuote(Protocol):
    """
    The best bid and offer of a market. A side that is empty, or of which there is no
    news, has no price, or one of 0.
    """

    @property
    def timestamp(self) -> int: ...

    @property
    def best_bid_price(self) -> float | None: ...

    @property
    def best_bid_amount(self) -> float | None: ...

    @property
    def best_ask_price(self) -> float | None: ...

    @property
    def best_ask_amount(self) -> float | None: ...


class PublicTicker(PublicQuote, Protocol):
    """
    How a market stands: its quote, and the price of its last trade.
    """

    @property
    def instrument_name(self) -> str:
        """The market's `bs_mktid`."""

    @property
    def last(self) -> float:
        """What it is worth where nobody has traded yet; 0 where nobody knows."""


class Bars(Struct, frozen=True):
    """
    OHLCV bars as columns of one length, ascending by the time at which they open. The
    volume is in base currency.
    """

    ticks: list[int]
    """When they open."""
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
