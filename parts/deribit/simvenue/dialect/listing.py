"""
What Deribit lists, what it is like, and how it names things.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ..instruments import Instrument, Product

URL = 'ws://{host}/ws/api/v2'
TRAITS: dict[str, Any] = {
    'trade_numbers': 'contiguous',
    'client_ids': 'never',
    'edit': 'in_place',
    'fills': 'reply',
    'positions': 'venue',
    'bar_seconds': (
        *(60, 180, 300, 600, 900, 1800, 3600, 7200),
        *(10800, 21600, 43200, 86400),
    ),
    'bars_per_call': 5000,
    'bars_back': None,
    'numbered_channels': ('book',),
    'deadline': True,
    'nonces': False,
}
LIMITS: dict[str, tuple[float, str]] = {
    'request_burst': (1500, 'requests at once, per connection'),
    'request_rate': (1000, 'requests a second after that'),
    'order_burst': (250, 'requests of the matching engine at once'),
    'order_rate': (200, 'and a second'),
    'subscribe_burst': (10, 'calls of subscribe at once'),
    'subscribe_rate': (3.3, 'and a second'),
}
"""Options of the command line."""


def _product(kind: Any, base: str, quote: str, price: float, *steps: str) -> Product:
    tick_size, amount_step, contract_size, *above = map(Decimal, steps)
    inverse = quote == 'USD' or (kind == 'option' and quote == base)
    taker = {'option': '0.0003', 'spot': '0.0002'}.get(kind, '0.0005')
    return Product(
        kind=kind,
        base=base,
        quote=quote,
        settlement=base if inverse else quote,
        inverse=inverse,
        index='ETH/BTC' if quote == 'BTC' != base else base,
        price=price,
        tick_size=tick_size,
        tick_steps=((above[0], above[1]),) if above else (),
        amount_step=amount_step,
        min_amount=amount_step,
        contract_size=contract_size,
        maker_fee=Decimal('0.0003' if kind == 'option' else 0),
        taker_fee=Decimal(taker),
        leverage=1 if kind in ('spot', 'option') else 50,
        activity=0.02 if kind == 'option' else 1,
        strike_step={'BTC': 5000, 'ETH': 200}.get(base, 10),
    )


LISTING = [
    _product('perpetual', 'BTC', 'USD', 60_000, '0.5', '10', '10'),
    _product('perpetual', 'ETH', 'USD', 3_000, '0.05', '1', '1'),
    _product('perpetual', 'BTC', 'USDC', 60_000, '0.5', '0.0001', '0.0001'),
    _product('perpetual', 'ETH', 'USDC', 3_000, '0.05', '0.001', '0.001'),
    _product('perpetual', 'SOL', 'USDC', 150, '0.001', '0.1', '0.1'),
    _product('spot', 'BTC', 'USDC', 60_000, '1', '0.0001', '0.0001'),
    _product('spot', 'ETH', 'USDC', 3_000, '0.1', '0.001', '0.001'),
    _product('spot', 'BTC', 'USDT', 60_000, '1', '0.0001', '0.0001'),
    _product('spot', 'ETH', 'BTC', 0.05, '0.00001', '0.001', '0.001'),
    _product('future', 'BTC', 'USD', 60_000, '2.5', '10', '10'),
    _product('future', 'ETH', 'USD', 3_000, '0.05', '1', '1'),
    _product('option', 'BTC', 'BTC', 60_000, '0.0001', '0.1', '1', '0.005', '0.0005'),
    _product('option', 'ETH', 'ETH', 3_000, '0.0001', '1', '1', '0.005', '0.0005'),
    _product('option', 'BTC', 'USDC', 60_000, '5', '0.01', '0.01'),
]


def instrument_name(it: Instrument) -> str:
    pair = it.base if it.inverse else f'{it.base}_{it.quote}'
    if it.kind == 'spot':
        return pair
    if it.expiry is None:
        return f'{pair}-PERPETUAL'
    day = datetime.fromtimestamp(it.expiry / 1000, UTC)
    dated = f'{pair}-{day.day}{day:%b%y}'.upper()
    if it.strike is None or it.option_type is None:
        return dated
    strike = f'{it.strike:f}'.replace('.', 'd')
    return f'{dated}-{strike}-{it.option_type[0].upper()}'


def order_id(it: Instrument, number: int) -> str:
    return numbered(it, 104_819_327_000 + number)


def kind_of(it: Instrument) -> str:
    return 'future' if it.kind == 'perpetual' else it.kind


def currency_of(it: Instrument) -> str:
    return it.base if it.kind == 'spot' else it.settlement


def index_of(it: Instrument) -> str:
    return f'{it.base}_{"usd" if it.inverse else it.quote}'.lower()


def numbered(it: Instrument, number: int) -> str:
    pair = f'{it.base}_{it.quote}' if it.kind == 'spot' else it.settlement
    return str(number) if pair == 'BTC' else f'{pair}-{number}'


def is_among(it: Instrument, kind: str, currency: str) -> bool:
    return kind in ('any', kind_of(it)) and currency in ('any', currency_of(it))
