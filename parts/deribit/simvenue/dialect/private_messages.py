"""
The shapes of messages about orders and accounts.
"""

from __future__ import annotations

from decimal import Decimal

from ..accounts import Account, Fill
from ..engine import Engine
from ..instruments import LISTED
from ..market import Trade
from ..matching import Order
from .listing import kind_of
from .messages import Row, trade_row

TIMES_IN_FORCE = {
    'gtc': 'good_til_cancelled',
    'ioc': 'immediate_or_cancel',
    'fok': 'fill_or_kill',
}
_ZEROES = (
    *('total_pl', 'session_rpl', 'session_upl', 'fee_balance', 'locked_balance'),
    *('futures_pl', 'futures_session_rpl', 'futures_session_upl', 'options_pl'),
    *('options_session_rpl', 'options_session_upl', 'options_value', 'options_delta'),
    *('options_gamma', 'options_theta', 'options_vega', 'delta_total'),
    *('projected_delta_total', 'additional_reserve', 'estimated_liquidation_ratio'),
)


def order_row(engine: Engine, order: Order) -> Row:
    market = engine.market(order.market)
    it = market.instrument
    amounts = market.amounts
    average = order.turnover * it.tick_size / order.filled if order.filled else 0
    row: Row = {
        'order_id': order.order_id,
        'order_state': order.state,
        'order_type': order.order_type,
        'instrument_name': order.market,
        'direction': order.direction,
        'price': 'market_price',
        'amount': amounts.value(order.amount),
        'filled_amount': amounts.value(order.filled),
        'average_price': float(average),
        'label': order.client_id,
        'creation_timestamp': order.created,
        'last_update_timestamp': order.updated,
        'time_in_force': TIMES_IN_FORCE[order.time_in_force],
        'post_only': order.post_only,
        'reject_post_only': False,
        'api': True,
        'web': False,
        'mmp': False,
        'replaced': order.replaced,
        'is_liquidation': False,
        'risk_reducing': False,
        'user_id': engine.exchange.accounts[order.account].number,
    }
    if order.price is not None:
        row['price'] = market.prices.value(order.price)
    if it.kind != 'spot':
        row['reduce_only'] = order.reduce_only
        row['contracts'] = row['amount'] / float(it.contract_size)
    if order.cancel_reason:
        row['cancel_reason'] = order.cancel_reason
    return row


def fill_row(engine: Engine, order: Order, fill: Fill) -> Row:
    market = engine.market(fill.market)
    it = market.instrument
    trade = Trade(
        fill.trade_seq,
        fill.trade_id,
        fill.timestamp,
        fill.price,
        fill.amount,
        fill.direction,
    )
    row = trade_row(engine, market, trade) | {
        'order_id': fill.order_id,
        'order_type': order.order_type,
        'state': order.state,
        'liquidity': fill.liquidity[0].upper(),
        'fee': float(fill.fee),
        'fee_currency': it.settlement,
        'self_trade': False,
        'matching_id': None,
        'post_only': order.post_only,
        'reduce_only': order.reduce_only,
        'api': True,
        'mmp': False,
        'risk_reducing': False,
        'profit_loss': float(fill.profit),
        'user_id': engine.exchange.accounts[order.account].number,
    }
    return row | {'label': fill.client_id} if fill.client_id else row


def position_row(engine: Engine, account: Account, name: str) -> Row:
    market = engine.market(name)
    it, position = market.instrument, account.positions[name]
    mark, index = market.prices.value(market.last.price), round(market.index(), 4)
    size = float(position.size)
    price = Decimal(str(mark))
    floating = float(position.floating(it, price))
    realized = float(position.realized)
    margin = float(abs(position.cost) / it.leverage)
    row: Row = {
        'instrument_name': name,
        'kind': kind_of(it),
        'size': size,
        'direction': 'buy' if size > 0 else 'sell' if size else 'zero',
        'average_price': float(position.average_price(it)),
        'mark_price': mark,
        'index_price': index,
        'settlement_price': mark,
        'delta': size / mark if it.counts_quote else size,
        'initial_margin': margin,
        'maintenance_margin': margin / 2,
        'floating_profit_loss': floating,
        'realized_profit_loss': realized,
        'total_profit_loss': floating + realized,
        'leverage': it.leverage,
    }
    if it.kind != 'option':
        row['size_currency'] = row['delta']
    return row


def portfolio_row(engine: Engine, account: Account, currency: str) -> Row:
    known = engine.known
    balance = float(account.balances[currency])
    margin = float(account.margin(currency, known))
    bound = float(account.bound(currency))
    free = float(account.available(currency, known))
    rest = dict.fromkeys(_ZEROES, 0.0)
    return rest | {
        'currency': currency,
        'balance': balance,
        'equity': balance,
        'margin_balance': balance,
        'available_funds': free,
        'available_withdrawal_funds': free,
        'initial_margin': margin + bound,
        'projected_initial_margin': margin + bound,
        'maintenance_margin': margin,
        'projected_maintenance_margin': margin,
        'spot_reserve': bound,
        'margin_model': 'segregated_sm',
        'portfolio_margining_enabled': False,
        'cross_collateral_enabled': False,
        **{f'options_{it}_map': {} for it in ('gamma', 'theta', 'vega')},
        'delta_total_map': {},
        'estimated_liquidation_ratio_map': {},
    }


def limits_row(limits: dict[str, float]) -> Row:
    requests, orders = (
        {'burst': limits[f'{it}_burst'], 'rate': limits[f'{it}_rate']}
        for it in ('request', 'order')
    )
    return {
        'limits_per_currency': False,
        'non_matching_engine': requests,
        'matching_engine': {
            'trading': {'total': orders},
            'spot': orders,
            'cancel_all': orders,
        },
    }


def owner_row(account: Account) -> Row:
    return {
        'id': account.number,
        'email': 'user@example.com',
        'system_name': account.key,
        'username': account.key,
        'type': 'main',
        'creation_timestamp': LISTED,
        'referrer_id': None,
        'login_enabled': False,
        'security_keys_enabled': False,
        'mmp_enabled': False,
        'interuser_transfers_enabled': False,
        'block_rfq_self_match_prevention': True,
        'self_trading_reject_mode': 'cancel_maker',
        'self_trading_extended_to_subaccounts': False,
    }
