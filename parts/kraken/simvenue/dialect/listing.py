"""
What is listed, and what Kraken calls it: BTC/USD by WebSocket, by REST XXBTZUSD, XBTUSD
and XBT/USD as well.
"""

from __future__ import annotations

from base64 import b32encode
from decimal import Decimal
from hashlib import sha256
from typing import Any

from ..instruments import Instrument, Product

URL = 'http://{host}'
INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
"""The lengths of bars, in minutes."""
TRAITS: dict[str, Any] = {
    'trade_numbers': 'contiguous',
    'client_ids': 'open',
    'edit': 'in_place',
    'fills': 'stream',
    'positions': 'fills',
    'bar_seconds': tuple(60 * minutes for minutes in INTERVALS),
    'bars_per_call': 720,
    'bars_back': 720,
#{% if trading %}
    'numbered_channels': ('executions', 'balances'),
#{% else %}
    'numbered_channels': (),
#{% endif %}
    'deadline': True,
    'nonces': True,
}
LIMITS: dict[str, tuple[float, str]] = {
    'request_burst': (500, 'public requests by HTTP at once'),
    'request_rate': (300, 'and a second'),
    'key_burst': (500, 'what the counter of private requests may come to'),
    'key_rate': (300, 'and how much of it decays in a second'),
    'order_burst': (1000, 'the same of the counter of orders, for each pair'),
    'order_rate': (300, 'and a second'),
}
"""Options of the command line."""

_ASSETS = {
    'BTC': ('XXBT', 'XBT', 10, 5),
    'ETH': ('XETH', 'ETH', 10, 5),
    'DOGE': ('XXDG', 'XDG', 8, 2),
    'XRP': ('XXRP', 'XRP', 8, 5),
    'USD': ('ZUSD', 'USD', 4, 2),
    'EUR': ('ZEUR', 'EUR', 4, 2),
}
"""Those with a name of old: their ids, their other names, decimals, and those shown."""


def _product(pair: str, price: float, *steps: str) -> Product:
    base, _, quote = pair.partition('/')
    tick_size, min_amount, min_cost = map(Decimal, steps)
    return Product(
        kind='spot',
        base=base,
        quote=quote,
        settlement=quote,
        index='ETH/BTC' if quote == 'BTC' else base,
        price=price,
        tick_size=tick_size,
        amount_step=Decimal('0.00000001'),
        min_amount=min_amount,
        min_cost=min_cost,
        maker_fee=Decimal('0.0025'),
        taker_fee=Decimal('0.004'),
    )


LISTING = [
    _product('BTC/USD', 60_000, '0.1', '0.00005', '0.5'),
    _product('ETH/USD', 3_000, '0.01', '0.001', '0.5'),
    _product('BTC/EUR', 55_000, '0.1', '0.00005', '0.45'),
    _product('ETH/EUR', 2_750, '0.01', '0.001', '0.45'),
    _product('ETH/BTC', 0.05, '0.00001', '0.001', '0.00002'),
    _product('BTC/USDT', 60_000, '0.1', '0.00005', '0.5'),
    _product('ETH/USDT', 3_000, '0.01', '0.001', '0.5'),
    _product('SOL/USD', 150, '0.01', '0.02', '0.5'),
    _product('XRP/USD', 2.5, '0.00001', '2', '0.5'),
    _product('DOGE/USD', 0.15, '0.0000001', '13', '0.5'),
]


def instrument_name(it: Instrument) -> str:
    return f'{it.base}/{it.quote}'


def _code(kind: str, number: str) -> str:
    code = b32encode(sha256(number.encode()).digest()).decode()
    return f'{kind}{code[:5]}-{code[5:10]}-{code[10:16]}'


def order_id(it: Instrument, number: int) -> str:
    return _code('O', str(number))


def trade_id(account: int, number: int) -> str:
    """
    Of one of an account's trades.
    """
    return _code('T', f'{account} {number}')


def amend_id(order: str, time: int) -> str:
    return _code('T', f'{order} {time}')


def asset_id(name: str) -> str:
    return _ASSETS[name][0] if name in _ASSETS else name


def asset_altname(name: str) -> str:
    return _ASSETS[name][1] if name in _ASSETS else name


def asset_decimals(name: str) -> tuple[int, int]:
    """
    Of amounts, and of those that are shown.
    """
    return _ASSETS[name][2:] if name in _ASSETS else (8, 5)


def is_old(it: Instrument) -> bool:
    base, _, quote = it.name.partition('/')
    return base in _ASSETS and quote in _ASSETS and base != 'DOGE'


def pair_altname(it: Instrument) -> str:
    base, _, quote = it.name.partition('/')
    return asset_altname(base) + asset_altname(quote)


def pair_id(it: Instrument) -> str:
    return asset_id(it.base) + asset_id(it.quote) if is_old(it) else pair_altname(it)


def pair_wsname(it: Instrument) -> str:
    base, _, quote = it.name.partition('/')
    return f'{asset_altname(base)}/{asset_altname(quote)}'


def key_of(it: Instrument, asked: str) -> str:
    """
    By which a reply names a pair: its id, unless it was asked for by a name with a
    slash.
    """
    return asked if '/' in asked else pair_id(it)


def all_names(it: Instrument) -> set[str]:
    return {it.name, pair_id(it), pair_altname(it), pair_wsname(it)}
