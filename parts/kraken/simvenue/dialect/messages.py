"""
The shapes of Kraken's messages about markets, row by row. Numbers are texts by
HTTP, and numbers with all their digits by WebSocket.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zlib import crc32

from ..instruments import Instrument
from ..market import Market, Trade
from ..matching import Levels
from ..source import CLOSE, HIGH, LOW, OPEN, VOLUME
from .listing import (
    asset_altname,
    asset_decimals,
    asset_id,
    pair_altname,
    pair_wsname,
)

Row = dict[str, Any]

DAY = 86_400


def iso(ms: int, ns: int = 0) -> str:
    text = datetime.fromtimestamp(ms // 1000, UTC).strftime('%Y-%m-%dT%H:%M:%S')
    return f'{text}.{(ms % 1000 * 10**6 + ns) // 1000:06}Z'


def ns_of(trade: Trade) -> int:
    """
    When it was, in ns: no two trades of a millisecond at once.
    """
    return trade.timestamp * 10**6 + trade.seq % 10**6


def decimals_of(step: Decimal) -> int:
    return max(0, -int(step.normalize().as_tuple().exponent))


def price_of(it: Instrument, ticks: int) -> Decimal:
    return ticks * it.tick_size


def amount_of(it: Instrument, steps: int) -> Decimal:
    return steps * it.amount_step if steps else Decimal(0)


def price_text(it: Instrument, ticks: int) -> str:
    return f'{price_of(it, ticks):.{max(5, decimals_of(it.tick_size))}f}'


def amount_text(it: Instrument, steps: int) -> str:
    return f'{steps * it.amount_step:.{decimals_of(it.amount_step)}f}'


# what is listed


def asset_row(name: str) -> Row:
    decimals, shown = asset_decimals(name)
    return {
        'aclass': 'currency',
        'altname': asset_altname(name),
        'decimals': decimals,
        'display_decimals': shown,
        'status': 'enabled',
    }


def _percent(fee: Decimal) -> float:
    return float(100 * fee)


def pair_row(it: Instrument) -> Row:
    return {
        'altname': pair_altname(it),
        'wsname': pair_wsname(it),
        'aclass_base': 'currency',
        'base': asset_id(it.base),
        'aclass_quote': 'currency',
        'quote': asset_id(it.quote),
        'lot': 'unit',
        'cost_decimals': 5,
        'pair_decimals': decimals_of(it.tick_size),
        'lot_decimals': decimals_of(it.amount_step),
        'lot_multiplier': 1,
        'leverage_buy': [2, 3],
        'leverage_sell': [2, 3],
        'fees': [[0, _percent(it.taker_fee)]],
        'fees_maker': [[0, _percent(it.maker_fee)]],
        'fee_volume_currency': 'ZUSD',
        'margin_call': 80,
        'margin_stop': 40,
        'ordermin': str(it.min_amount),
        'costmin': str(it.min_cost),
        'tick_size': f'{it.tick_size:f}',
        'status': 'online',
        'execution_venue': 'international',
        'long_position_limit': 300,
        'short_position_limit': 200,
    }


def asset_news(name: str) -> Row:
    decimals, shown = asset_decimals(name)
    return {
        'id': name,
        'class': 'currency',
        'status': 'enabled',
        'precision': decimals,
        'precision_display': shown,
        'borrowable': False,
        'collateral_value': 1.0,
        'margin_rate': 0.0,
        'multiplier': 1.0,
    }


def pair_news(it: Instrument, active: bool) -> Row:
    return {
        'symbol': it.name,
        'base': it.base,
        'quote': it.quote,
        'status': 'online' if active else 'delisted',
        'qty_precision': decimals_of(it.amount_step),
        'qty_increment': it.amount_step,
        'price_precision': decimals_of(it.tick_size),
        'price_increment': it.tick_size,
        'tick_size': it.tick_size,
        'cost_precision': 5,
        'cost_min': it.min_cost,
        'qty_min': it.min_amount,
        'marginable': False,
        'has_index': True,
    }


# quotes and books


def _day_of(market: Market) -> Any:
    """
    The candle of the day so far.
    """
    now = market.now // 1000
    return market.candles(DAY, now - now % DAY, now, 1).bars[-1]


def _usual(bar: Any) -> int:
    """
    About the average price.
    """
    return int(bar[:VOLUME].sum()) // VOLUME


def ticker_row(market: Market) -> Row:
    """
    By HTTP: of the day so far, and of the last 24 hours.
    """
    it, quote = market.instrument, market.quote()
    bars = [_day_of(market), market.stats()]
    now = market.now // 1000
    counts = market.counts([now - now % DAY, now - DAY, now + 1])

    def side(price: int, amount: int) -> list[str]:
        whole = max(1, int(amount_of(it, amount)))
        return [price_text(it, price), str(whole), f'{amount_of(it, amount):.3f}']

    def column(of: int) -> list[str]:
        return [price_text(it, int(bar[of])) for bar in bars]

    return {
        'a': side(quote.ask, quote.ask_amount),
        'b': side(quote.bid, quote.bid_amount),
        'c': [price_text(it, market.last.price), amount_text(it, market.last.amount)],
        'v': [amount_text(it, int(bar[VOLUME])) for bar in bars],
        'p': [price_text(it, _usual(bar)) for bar in bars],
        't': [counts[2] - counts[0], counts[2] - counts[1]],
        'l': column(LOW),
        'h': column(HIGH),
        'o': price_text(it, int(bars[0][OPEN])),
    }


def ticker_news(market: Market) -> Row:
    it, quote, stats = market.instrument, market.quote(), market.stats()
    last = market.last.price
    change = last - int(stats[OPEN])
    return {
        'symbol': it.name,
        'bid': price_of(it, quote.bid),
        'bid_qty': amount_of(it, quote.bid_amount),
        'ask': price_of(it, quote.ask),
        'ask_qty': amount_of(it, quote.ask_amount),
        'last': price_of(it, last),
        'volume': amount_of(it, int(stats[VOLUME])),
        'vwap': price_of(it, _usual(stats)),
        'low': price_of(it, int(stats[LOW])),
        'high': price_of(it, int(stats[HIGH])),
        'change': price_of(it, change),
        'change_pct': round(100 * change / int(stats[OPEN]), 2),
        'timestamp': iso(market.now),
    }


def depth_row(market: Market, count: int) -> Row:
    it, now = market.instrument, market.now // 1000
    bids, asks = (
        [
            [price_text(it, price), f'{amount_of(it, amount):.3f}', now]
            for price, amount in side
        ]
        for side in market.depth(count)
    )
    return {'asks': asks, 'bids': bids}


def checksum(it: Instrument, bids: Levels, asks: Levels) -> int:
    """
    Of the ten best prices and amounts of each side: their digits, without the point and
    without zeros in front.
    """
    decimals = decimals_of(it.tick_size), decimals_of(it.amount_step)
    digits = [
        str(int(value.scaleb(places)))
        for side in (asks[:10], bids[:10])
        for price, amount in side
        for value, places in zip(
            (price_of(it, price), amount_of(it, amount)), decimals, strict=True
        )
    ]
    return crc32(''.join(digits).encode())


def book_news(market: Market, bids: Levels, asks: Levels, check: int) -> Row:
    it = market.instrument
    rows = (
        [
            {'price': price_of(it, price), 'qty': amount_of(it, amount)}
            for price, amount in side
        ]
        for side in (bids, asks)
    )
    sides = dict(zip(('bids', 'asks'), rows, strict=True))
    return {'symbol': it.name, **sides, 'checksum': check, 'timestamp': iso(market.now)}


# trades and bars


def _number(trade: Trade, numbered: bool) -> int:
    return trade.seq if numbered else trade.id


def trade_row(it: Instrument, trade: Trade, numbered: bool) -> list[Any]:
    return [
        price_text(it, trade.price),
        amount_text(it, trade.amount),
        ns_of(trade) / 10**9,
        trade.direction[0],
        'lm'[trade.seq % 2],
        '',
        _number(trade, numbered),
    ]


def trade_news(it: Instrument, trades: Iterable[Trade], numbered: bool) -> list[Row]:
    return [
        {
            'symbol': it.name,
            'side': trade.direction,
            'price': price_of(it, trade.price),
            'qty': amount_of(it, trade.amount),
            'ord_type': ('limit', 'market')[trade.seq % 2],
            'trade_id': _number(trade, numbered),
            'timestamp': iso(trade.timestamp, trade.seq % 10**6),
        }
        for trade in trades
    ]


class Bars:
    """
    The newest bars of a length in seconds, the last one unfinished.
    """

    def __init__(self, market: Market, seconds: int, count: int) -> None:
        self._it, self._seconds = market.instrument, seconds
        now = market.now // 1000
        candles = market.candles(seconds, 0, now, count)
        self.starts: list[int] = (candles.times // 1000).tolist()
        self._bars = candles.bars
        counts = market.counts([*self.starts, now + 1])
        self._counts = [after - before for before, after in pairwise(counts)]

    def rows(self) -> list[list[Any]]:
        places = decimals_of(self._it.tick_size)

        def text(ticks: Any) -> str:
            return f'{price_of(self._it, int(ticks)):.{places}f}'

        return [
            [
                start,
                *(text(bar[column]) for column in (OPEN, HIGH, LOW, CLOSE)),
                text(_usual(bar)) if count else '0.0',
                amount_text(self._it, int(bar[VOLUME])),
                count,
            ]
            for start, bar, count in zip(
                self.starts, self._bars, self._counts, strict=True
            )
        ]

    def news(self) -> list[Row]:
        it = self._it
        names = {'open': OPEN, 'high': HIGH, 'low': LOW, 'close': CLOSE}
        return [
            {
                'symbol': it.name,
                **{name: price_of(it, int(bar[at])) for name, at in names.items()},
                'vwap': price_of(it, _usual(bar)),
                'trades': count,
                'volume': amount_of(it, int(bar[VOLUME])),
                'interval_begin': iso(start * 1000)[:-1] + '000Z',
                'interval': self._seconds // 60,
                'timestamp': iso((start + self._seconds) * 1000),
            }
            for start, bar, count in zip(
                self.starts, self._bars, self._counts, strict=True
            )
        ]
