"""
Market addressing: assets, pairs of them, and the fqme that names such a pair.

An fqme ("fully qualified market endpoint") is `<pair>.<venue>[.<expiry>].<broker>`,
always lowercase: `btcusdt.spot.binance`.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import asdict


def dec_digits(value: float | str | Decimal) -> int:
    """
    The number of digits after the decimal point of a tick: 0.001 -> 3, 10 -> 0.
    """
    exponent = Decimal(str(value)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def check_step(name: str, value: float, tick: Decimal) -> None:
    """
    Raise `ValueError` unless the price or size `value` is a positive multiple of
    `tick`. It says which the nearest ones are.
    """
    number = Decimal(str(value))
    if not number.is_finite() or number <= 0:
        raise ValueError(f'{name} {value} is not a positive number')
    steps = number / tick
    if steps != steps.to_integral_value():
        below = steps.to_integral_value(ROUND_DOWN) * tick
        nearest = [f'{it.normalize():f}' for it in (below, below + tick) if it]
        raise ValueError(
            f'{name} {value} is not a multiple of {tick}: take {" or ".join(nearest)}'
        )


class Asset(Struct, frozen=True):
    """
    Anything that can change hands: a coin, a currency, a contract.
    """

    name: str
    atype: str
    """The asset's type: `crypto`, `fiat`, `perpetual_future`, ..."""
    tx_tick: Decimal
    """The smallest amount that can be transferred; never 0."""
    info: dict[str, Any] | None = None

    def __str__(self) -> str:
        return self.name

    def to_dict(self) -> dict[str, Any]:
        """
        The fields, without `info` where there is none: TOML knows no null.
        """
        fields = asdict(self)
        if not fields['info']:
            del fields['info']
        return fields

    @classmethod
    def from_msg(cls, msg: dict[str, Any]) -> Asset:
        """
        An asset as it came over IPC, where a `Decimal` arrives as a string.
        """
        return cls(**{**msg, 'tx_tick': Decimal(str(msg['tx_tick']))})


class MktPair(Struct, frozen=True):
    """
    A market: a pair of assets that one broker lets you exchange.

    A buy turns `src` into `dst`. Sizes are in units of `dst`, prices in units of
    `src` for one `dst` (many venues say "base" for dst and "quote" for src).
    """

    dst: Asset
    price_tick: Decimal
    """The smallest step between two prices."""
    size_tick: Decimal
    """The smallest step between two sizes."""
    bs_mktid: str
    """The broker's own id of this market."""
    broker: str
    src: Asset
    venue: str = ''
    expiry: str = ''
    contract_info: list[str] | None = None
    _atype: str = ''

    def __str__(self) -> str:
        return self.fqme

    @property
    def key(self) -> str:
        """
        The pair alone: `btcusdt`.
        """
        return f'{self.dst}{self.src}'.lower()

    @property
    def bs_fqme(self) -> str:
        """
        The fqme without its broker: `btcusdt.spot`. The key of live quotes.
        """
        tokens = [self.key, self.venue, self.expiry, *(self.contract_info or ())]
        return '.'.join(filter(None, tokens)).lower()

    @property
    def fqme(self) -> str:
        return f'{self.bs_fqme}.{self.broker}'

    @property
    def price_tick_digits(self) -> int:
        return dec_digits(self.price_tick)

    @property
    def size_tick_digits(self) -> int:
        return dec_digits(self.size_tick)

    def quantize(
        self,
        size: float | Decimal,
        quantity_type: Literal['price', 'size'] = 'size',
    ) -> Decimal:
        """
        `size` (or a price) rounded to a multiple of this market's tick; piker rounds
        to the digits of the tick, which is the same unless that is 0.5 or the like.
        """
        tick = self.price_tick if quantity_type == 'price' else self.size_tick
        steps = Decimal(str(size)) / tick
        return steps.to_integral_value(ROUND_HALF_EVEN) * tick

    def to_dict(self) -> dict[str, Any]:
        """
        The fields, fit for IPC and TOML: ticks as strings, no null.
        """
        fields = asdict(self)
        fields |= {
            'dst': self.dst.to_dict(),
            'src': self.src.to_dict(),
            'price_tick': str(self.price_tick),
            'size_tick': str(self.size_tick),
        }
        if not fields['contract_info']:
            del fields['contract_info']
        return fields

    @classmethod
    def from_msg(cls, msg: dict[str, Any]) -> MktPair:
        """
        A market as it came over IPC; the reverse of `to_dict()`.
        """
        return cls(
            **{
                **msg,
                'dst': Asset.from_msg(msg['dst']),
                'src': Asset.from_msg(msg['src']),
                'price_tick': Decimal(msg['price_tick']),
                'size_tick': Decimal(msg['size_tick']),
            }
        )


def unpack_fqme(
    fqme: str,
    broker: str | None = None,
) -> tuple[str, str, str, str]:
    """
    An fqme as `(broker, pair, venue, suffix)`; what it does not name is `''`.

    With `broker`, the last token is a venue or suffix unless it is that broker.
    Raises `ValueError` for anything else than two to four tokens.
    """
    match fqme.split('.'):
        case [pair, venue, suffix, last]:
            return last, pair, venue, suffix
        case [pair, venue, last] if broker in (None, last):
            return last, pair, venue, ''
        case [pair, venue, suffix] if broker:
            return broker, pair, venue, suffix
        case [pair, last] if broker in (None, last):
            return last, pair, '', ''
        case [pair, venue] if broker:
            return broker, pair, venue, ''
        case [pair] if broker and pair:
            return broker, pair, '', ''
    raise ValueError(f'not an fqme: {fqme!r}')
