"""
The shapes of Deribit's messages: what the dialect says, row by row; and its errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from ..engine import Engine
from ..instruments import Instrument
from ..market import Market, Trade
from ..matching import Levels
from ..pricing import IMPLIED_VOLATILITY, greeks
from ..refusals import Reason
from ..source import CLOSE, HIGH, LOW, OPEN
from .listing import index_of, kind_of, numbered

Row = dict[str, Any]

RESOLUTIONS = {
    str(minutes): 60 * minutes
    for minutes in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720)
} | {'1D': 86_400}
"""Names of the lengths of bars, and how many seconds they are."""
COLUMNS = {'open': OPEN, 'high': HIGH, 'low': LOW, 'close': CLOSE}
NEVER = 32_503_708_800_000

ERRORS: dict[Reason, tuple[int, str]] = {
    'amount_step': (10021, 'invalid_amount'),
    'amount_too_low': (10002, 'qty_too_low'),
    'bad_login': (13004, 'invalid_credentials'),
    'bad_params': (-32602, 'Invalid params'),
    'bad_request': (11050, 'bad_request'),
    'bad_signature': (13009, 'unauthorized'),
    'client_id_used': (13032, 'non_unique_order_label'),
    'cost_too_low': (10002, 'qty_too_low'),
    'forbidden': (13021, 'forbidden'),
    'internal': (11094, 'internal_server_error'),
    'login_needed': (10000, 'authorization_required'),
    'maintenance': (11051, 'system_maintenance'),
    'market_closed': (10012, 'book_closed'),
    'no_funds': (10009, 'not_enough_funds'),
    'no_liquidity': (11030, 'other_reject no_liquidity'),
    'not_open': (11044, 'not_open_order'),
    'order_not_found': (10004, 'order_not_found'),
    'price_step': (10043, 'price_wrong_tick'),
    'socket_login_needed': (13778, 'raw_subscriptions_not_available_for_unauthorized'),
    'socket_needed': (10030, 'must_be_websocket_request'),
    'stale_nonce': (13009, 'unauthorized'),
    'token_expired': (13009, 'unauthorized'),
    'too_big': (-32600, 'request entity too large'),
    'too_late': (13888, 'timed_out'),
    'too_many': (10028, 'too_many_requests'),
    'unknown_currency': (-32602, 'Invalid params'),
    'unknown_market': (13020, 'not_found'),
    'unknown_operation': (-32601, 'Method not found'),
    'unparsable': (-32700, 'Parse error'),
    'would_take': (11054, 'post_only_reject'),
}
STATUSES = {10000: 401, 13004: 401, 13009: 401, 10028: 429}
"""Of HTTP, by the code of the error."""


def heartbeat(kind: str) -> Row:
    return {'jsonrpc': '2.0', 'method': 'heartbeat', 'params': {'type': kind}}


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
    base, counter = market.volumes(stats)
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


def level_rows(market: Market, levels: Levels) -> list[list[float]]:
    price, amount = market.prices.value, market.amounts.value
    return [[price(ticks), amount(steps)] for ticks, steps in levels]


def bar_row(market: Market, resolution: str) -> Row:
    seconds = RESOLUTIONS[resolution]
    now = market.now // 1000
    bar = market.candles(seconds, now - now % seconds, now, 1).bars[-1]
    volume, cost = market.volumes(bar)
    prices = {
        name: market.prices.value(int(bar[column])) for name, column in COLUMNS.items()
    }
    return {
        'tick': (now - now % seconds) * 1000,
        **prices,
        'volume': volume,
        'cost': cost,
    }


def trade_row(
    engine: Engine, market: Market, trade: Trade, before: float | None = None
) -> Row:
    it = market.instrument
    price = market.prices.value(trade.price)
    moved, up = before not in (None, price), trade.direction == 'buy'
    row: Row = {
        'trade_seq': trade.seq,
        'trade_id': numbered(it, trade.id),
        'timestamp': trade.timestamp,
        'tick_direction': (0 if up else 2) + (not moved),
        'price': price,
        'mark_price': price,
        'instrument_name': it.name,
        'index_price': round(market.index_at(trade.timestamp // 1000), 4),
        'direction': trade.direction,
        'amount': market.amounts.value(trade.amount),
    }
    if engine.traits['trade_numbers'] != 'contiguous':
        del row['trade_seq']
    if it.kind != 'spot':
        row['contracts'] = row['amount'] / float(it.contract_size)
    if it.kind == 'option':
        row['iv'] = 100 * IMPLIED_VOLATILITY
    return row


def trade_rows(engine: Engine, market: Market, trades: Iterable[Trade]) -> list[Row]:
    rows: list[Row] = []
    for trade in trades:
        before = rows[-1]['price'] if rows else None
        rows.append(trade_row(engine, market, trade, before))
    return rows
