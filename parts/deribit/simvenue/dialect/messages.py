"""
The shapes of Deribit's messages: what the dialect says, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from ..events import Listed
from ..instruments import Instrument
from ..market import Market, Trade
from ..pricing import IMPLIED_VOLATILITY, greeks
from ..source import CLOSE, HIGH, LOW, OPEN, VOLUME

Row = dict[str, Any]

RESOLUTIONS = {
    str(minutes): 60 * minutes
    for minutes in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720)
} | {'1D': 86_400}
"""Names of the lengths of bars, and how many seconds they are."""
COLUMNS = {'open': OPEN, 'high': HIGH, 'low': LOW, 'close': CLOSE}
NEVER = 32_503_708_800_000


def heartbeat(kind: str) -> Row:
    return {'jsonrpc': '2.0', 'method': 'heartbeat', 'params': {'type': kind}}


def kind_of(it: Instrument) -> str:
    return 'future' if it.kind == 'perpetual' else it.kind


def currency_of(it: Instrument) -> str:
    return it.base if it.kind == 'spot' else it.settlement


def index_of(it: Instrument) -> str:
    return f'{it.base}_{"usd" if it.inverse else it.quote}'.lower()


def numbered(it: Instrument, number: int) -> str:
    pair = f'{it.base}_{it.quote}' if it.kind == 'spot' else it.settlement
    return str(number) if pair == 'BTC' else f'{pair}-{number}'


def listed_there(kind: str, currency: str, event: Listed) -> bool:
    it = event.instrument
    return kind in ('any', kind_of(it)) and currency in ('any', currency_of(it))


def currency_row(name: str) -> Row:
    return {
        **dict.fromkeys(('currency', 'currency_long', 'coin_type'), name),
        'decimals': 6 if name.startswith('USD') else 8,
        'fee_precision': 4,
        'min_confirmations': 1,
        'withdrawal_priorities': [],
        'in_cross_collateral_pool': False,
        **dict.fromkeys(('min_withdrawal_fee', 'withdrawal_fee', 'apr'), 0.0),
    }


def instrument_row(it: Instrument, active: bool) -> Row:
    number = float
    row: Row = {
        'instrument_name': it.name,
        'instrument_id': crc32(it.name.encode()) & 0xFFFFFF,
        'kind': kind_of(it),
        'instrument_type': 'reversed' if it.inverse else 'linear',
        'base_currency': it.base,
        'quote_currency': it.quote,
        'counter_currency': 'USD' if it.inverse else it.quote,
        'price_index': index_of(it),
        'underlying_type': 'crypto',
        'is_active': active,
        'state': 'open' if active else 'archivized',
        'tick_size': number(it.tick_size),
        'tick_size_steps': [
            {'above_price': number(above), 'tick_size': number(tick_size)}
            for above, tick_size in it.tick_steps
        ],
        'contract_size': number(it.contract_size),
        'min_trade_amount': number(it.min_amount),
        'maker_commission': number(it.maker_fee),
        'taker_commission': number(it.taker_fee),
        'block_trade_commission': 0.00025,
        'block_trade_min_trade_amount': 200_000,
        'block_trade_tick_size': number(it.tick_size),
        'creation_timestamp': it.listed,
        'expiration_timestamp': it.expiry or NEVER,
    }
    if it.kind == 'spot':
        return row
    row['settlement_currency'] = it.settlement
    row['settlement_period'] = 'perpetual'
    row['max_leverage'] = it.leverage
    row['max_liquidation_commission'] = 0.0075
    if it.expiry is not None:
        weekly = it.expiry - it.listed < 30 * 86_400_000
        row['settlement_period'] = 'week' if weekly else 'month'
    if it.kind == 'option':
        row |= {'strike': number(it.strike or 0), 'option_type': it.option_type}
    else:
        row['future_type'] = row['instrument_type']
        row['max_non_default_leverage'] = it.leverage
    return row


def volumes(market: Market, bar: Any) -> tuple[float, float]:
    """
    Of a candle, in the base currency and in that of prices.
    """
    amount = market.amounts.value(int(bar[VOLUME]))
    price = market.prices.value(int(bar[OPEN] + bar[CLOSE])) / 2
    if market.instrument.counts_quote:
        return round(amount / price, 8), amount
    return amount, round(amount * price, 8)


def quote_row(market: Market) -> Row:
    quote = market.quote()
    row: Row = {'timestamp': market.now, 'instrument_name': market.name}
    for side, price, amount in [
        ('bid', quote.bid, quote.bid_amount),
        ('ask', quote.ask, quote.ask_amount),
    ]:
        row[f'best_{side}_price'] = market.prices.value(price) if amount else None
        row[f'best_{side}_amount'] = market.amounts.value(amount)
    return row


def ticker_row(market: Market, active: bool) -> Row:
    it, stats, quote = market.instrument, market.stats(), quote_row(market)
    value = market.prices.value
    mark, index = value(market.last.price), round(market.index(), 4)
    base, counter = volumes(market, stats)
    row: Row = {
        'timestamp': quote['timestamp'],
        'state': 'open' if active else 'archivized',
        'stats': {
            'high': value(int(stats[HIGH])),
            'low': value(int(stats[LOW])),
            'price_change': round(100 * float(stats[CLOSE] / stats[OPEN] - 1), 4),
            'volume': base,
            'volume_usd': counter,
            'volume_notional': counter,
        },
        **quote,
        'index_price': index,
        'mark_price': mark,
        'last_price': mark,
        'min_price': value(market.round(market.last.price * 0.9)),
        'max_price': value(market.round(market.last.price * 1.1)),
    }
    if it.kind == 'spot':
        return row
    row |= {
        'open_interest': base,
        'settlement_price': mark,
        'estimated_delivery_price': index,
    }
    if it.kind == 'perpetual':
        row |= {'current_funding': 0.0, 'funding_8h': 0.0, 'interest_value': 0.0}
    if it.kind == 'option':
        iv = 100 * IMPLIED_VOLATILITY
        row |= {
            'greeks': greeks(it, index, row['timestamp'] / 1000),
            **dict.fromkeys(('mark_iv', 'bid_iv', 'ask_iv'), iv),
            'underlying_price': index,
            'interest_rate': 0.0,
        }
    return row


def summary_row(market: Market) -> Row:
    row = ticker_row(market, True)
    it, stats = market.instrument, row['stats']
    bid, ask = row['best_bid_price'], row['best_ask_price']
    summary = {
        'instrument_name': it.name,
        'creation_timestamp': row['timestamp'],
        'base_currency': it.base,
        'quote_currency': it.quote,
        'bid_price': bid,
        'ask_price': ask,
        'mid_price': (bid + ask) / 2 if bid and ask else None,
        'last': row['last_price'],
        'mark_price': row['mark_price'],
        **stats,
    }
    if it.kind != 'spot':
        summary['open_interest'] = row['open_interest']
    return summary


def book_row(market: Market, kind: str, change_id: int, *sides: Any) -> Row:
    price, amount = market.prices.value, market.amounts.value
    bids, asks = (
        [[action, price(ticks), amount(steps)] for action, ticks, steps in side]
        for side in sides
    )
    return {
        'type': kind,
        'timestamp': market.now,
        'instrument_name': market.name,
        'change_id': change_id,
        'bids': bids,
        'asks': asks,
    }


def grouped(market: Market, levels: Any, depth: int, group: int) -> list[list[float]]:
    """
    The best so many levels, of so many ticks each: rounded away from the other side.
    """
    sums: dict[int, int] = {}
    for price, amount in levels:
        price = -(-price // group) * group if group > 0 else price // -group * -group
        if price not in sums and len(sums) == depth:
            break
        sums[price] = sums.get(price, 0) + amount
    price_of, amount_of = market.prices.value, market.amounts.value
    return [[price_of(price), amount_of(amount)] for price, amount in sums.items()]


def bar_row(market: Market, resolution: str) -> Row:
    seconds = RESOLUTIONS[resolution]
    now = market.now // 1000
    bar = market.candles(seconds, now - now % seconds, now, 1).bars[-1]
    volume, cost = volumes(market, bar)
    prices = {
        name: market.prices.value(int(bar[column])) for name, column in COLUMNS.items()
    }
    return {
        'tick': (now - now % seconds) * 1000,
        **prices,
        'volume': volume,
        'cost': cost,
    }


def trade_row(market: Market, trade: Trade, before: float | None) -> Row:
    it = market.instrument
    price = market.prices.value(trade.price)
    up = trade.direction == 'buy'
    row: Row = {
        'trade_seq': trade.seq,
        'trade_id': numbered(it, trade.id),
        'timestamp': trade.timestamp,
        'tick_direction': (1 if up else 3)
        if before in (None, price)
        else 0
        if up
        else 2,
        'price': price,
        'mark_price': price,
        'instrument_name': it.name,
        'index_price': round(market.index_at(trade.timestamp // 1000), 4),
        'direction': trade.direction,
        'amount': market.amounts.value(trade.amount),
    }
    if it.kind != 'spot':
        row['contracts'] = row['amount'] / float(it.contract_size)
    if it.kind == 'option':
        row['iv'] = 100 * IMPLIED_VOLATILITY
    return row


def trade_rows(market: Market, trades: Iterable[Trade], numbered: bool) -> list[Row]:
    rows: list[Row] = []
    for trade in trades:
        row = trade_row(market, trade, rows[-1]['price'] if rows else None)
        rows.append(row)
    if not numbered:
        for row in rows:
            del row['trade_seq']
    return rows
