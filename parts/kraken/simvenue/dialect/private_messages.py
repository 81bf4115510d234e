"""
The shapes of messages about orders and accounts.
"""

from __future__ import annotations

from decimal import Decimal

from ..accounts import Account, Fill
from ..engine import Engine
from ..instruments import Instrument
from ..matching import Order
from .listing import pair_altname, pair_id, trade_id
from .messages import (
    Row,
    amount_of,
    amount_text,
    decimals_of,
    iso,
    price_of,
)

_REASONS = {
    'user_request': 'User requested',
    'replaced': 'Order replaced',
    'self_trade': 'Self trade prevention',
    'nothing_left_to_trade_with': 'No liquidity',
    'market_closed': 'Market closed',
    'timeout': 'Cancel after timeout',
}


def reason_of(order: Order) -> str:
    return _REASONS.get(order.cancel_reason, order.cancel_reason)


def _average(order: Order) -> Decimal:
    return Decimal(order.turnover) / order.filled if order.filled else Decimal(0)


def _cost(it: Instrument, turnover: int) -> Decimal:
    return turnover * it.tick_size * it.amount_step


def _price(it: Instrument, order: Order) -> str:
    if order.price is None:
        return '0'
    return f'{price_of(it, order.price):.{decimals_of(it.tick_size)}f}'


def described(it: Instrument, order: Order) -> Row:
    price = _price(it, order)
    at = 'market' if order.price is None else f'limit {price}'
    amount = amount_text(it, order.amount)
    return {
        'pair': pair_altname(it),
        'type': order.direction,
        'ordertype': order.order_type,
        'price': price,
        'price2': '0',
        'leverage': 'none',
        'order': f'{order.direction} {amount} {pair_altname(it)} @ {at}',
        'close': '',
    }


def flags_of(order: Order) -> str:
    return 'fciq,post' if order.post_only else 'fciq'


def order_row(engine: Engine, order: Order, fills: list[Fill] | None = None) -> Row:
    """
    By HTTP; with `fills` the ids of its trades are told, too.
    """
    it, account = engine.known[order.market], engine.exchange.accounts[order.account]
    states = {'open': 'open', 'filled': 'closed', 'cancelled': 'canceled'}
    cost = _cost(it, order.turnover)
    row: Row = {
        'refid': None,
        'userref': order.group,
        'status': states[order.state],
        'opentm': order.created / 1000,
        'starttm': 0,
        'expiretm': 0,
        'descr': described(it, order),
        'vol': amount_text(it, order.amount),
        'vol_exec': amount_text(it, order.filled),
        'cost': f'{cost:.5f}',
        'fee': f'{order.fees:.5f}',
        'price': f'{_average(order) * it.tick_size:.{decimals_of(it.tick_size)}f}',
        'stopprice': '0.00000',
        'limitprice': '0.00000',
        'misc': '',
        'oflags': flags_of(order),
    }
    if order.client_id:
        row['cl_ord_id'] = order.client_id
    if order.replaced:
        row['amended'] = True
    if order.state != 'open':
        row |= {'closetm': order.updated / 1000, 'reason': reason_of(order) or None}
    if fills is not None:
        row['trades'] = [trade_id(account.number, fill.seq) for fill in fills]
    return row


def fill_row(engine: Engine, account: Account, fill: Fill, numbered: bool) -> Row:
    it, order = engine.known[fill.market], account.orders[fill.order_id]
    cost = _cost(it, fill.price * fill.amount)
    row: Row = {
        'ordertxid': fill.order_id,
        'postxid': 'TKH2SE-M7IF5-CFI7LT',
        'pair': pair_id(it),
        'time': fill.timestamp / 1000,
        'type': fill.direction,
        'ordertype': order.order_type,
        'price': f'{price_of(it, fill.price):.5f}',
        'cost': f'{cost:.5f}',
        'fee': f'{fill.fee:.5f}',
        'vol': amount_text(it, fill.amount),
        'margin': '0.00000',
        'misc': '',
        'trade_id': fill.trade_seq if numbered else fill.trade_id,
        'maker': fill.liquidity == 'maker',
        'ledgers': [_ledger_id(account, fill, number) for number in (0, 1)],
    }
    return row | {'cl_ord_id': fill.client_id} if fill.client_id else row


def execution(
    engine: Engine,
    order: Order,
    kind: str,
    status: str,
    filled: int,
    turnover: int,
    at: int,
) -> Row:
    """
    An order, with so much of it filled.
    """
    it = engine.known[order.market]
    average = Decimal(turnover) / filled * it.tick_size if filled else Decimal(0)
    row: Row = {
        'order_id': order.order_id,
        'order_userref': order.group,
        'symbol': order.market,
        'side': order.direction,
        'order_type': order.order_type,
        'order_qty': amount_of(it, order.amount),
        'time_in_force': order.time_in_force.upper(),
        'post_only': order.post_only,
        'reduce_only': False,
        'margin': False,
        'liquidated': False,
        'exec_type': kind,
        'order_status': status,
        'cum_qty': amount_of(it, filled),
        'cum_cost': round(_cost(it, turnover), 5),
        'avg_price': round(average, 2 + decimals_of(it.tick_size)),
        'fee_ccy_pref': 'fciq',
        'timestamp': iso(at),
    }
    if order.price is not None:
        row['limit_price'] = price_of(it, order.price)
    if order.client_id:
        row['cl_ord_id'] = order.client_id
    if status == 'canceled':
        row['reason'] = reason_of(order)
    return row


def of_trade(engine: Engine, account: Account, fill: Fill, numbered: bool) -> Row:
    """
    What a trade adds to that.
    """
    it = engine.known[fill.market]
    return {
        'exec_id': trade_id(account.number, fill.seq),
        'trade_id': fill.trade_seq if numbered else fill.trade_id,
        'last_qty': amount_of(it, fill.amount),
        'last_price': price_of(it, fill.price),
        'cost': round(_cost(it, fill.price * fill.amount), 5),
        'liquidity_ind': fill.liquidity[0],
        'fees': [{'asset': it.quote, 'qty': round(fill.fee, 5)}],
        'fee_usd_equiv': round(fill.fee, 5),
    }


def balance_text(amount: Decimal) -> str:
    return f'{amount:.10f}'


def balance_row(account: Account, name: str) -> Row:
    return {
        'asset': name,
        'asset_class': 'currency',
        'balance': account.balances[name],
        'wallets': [{'type': 'spot', 'id': 'main', 'balance': account.balances[name]}],
    }


def ledger_rows(engine: Engine, account: Account, fill: Fill) -> list[Row]:
    """
    What a trade did to balances.
    """
    it = engine.known[fill.market]
    amount, price = fill.signed(it)
    changes = [
        (it.base, amount, Decimal(0)),
        (it.quote, -amount * price, fill.fee),
    ]
    return [
        {
            'ledger_id': _ledger_id(account, fill, number),
            'ref_id': trade_id(account.number, fill.seq),
            'timestamp': iso(fill.timestamp),
            'type': 'trade',
            'subtype': '',
            'category': 'spot-trade',
            'asset': name,
            'asset_class': 'currency',
            'amount': change,
            'balance': account.balances[name],
            'fee': fee,
            'wallet_type': 'spot',
            'wallet_id': 'main',
        }
        for number, (name, change, fee) in enumerate(changes)
    ]


def _ledger_id(account: Account, fill: Fill, number: int) -> str:
    return 'L' + trade_id(account.number, -2 * fill.seq - number)[1:]
