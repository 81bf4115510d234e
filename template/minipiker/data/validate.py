"""
The contract between the host and a backend: which endpoints there are, and what
their first messages must look like.

piker accepts several mistakes silently and then drops the data. Here they are
errors, with what to do about them.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from ..accounting import Asset, MktPair
from ..log import get_logger
from ._source import def_iohlcv_fields

if TYPE_CHECKING:
    # a daemon imports these two for its first history, longer than all else it needs
    import numpy as np
    import pendulum

log = get_logger('data.validate')


class FeedInitializationError(ValueError):
    """
    A live feed's first messages break the contract.
    """


class BadQuote(ValueError):
    """
    A live quote breaks the contract.
    """


class BadFrame(ValueError):
    """
    A frame of history breaks the contract.
    """


class FeedInit(Struct, frozen=True):
    """
    What a backend says of a market before it streams it.
    """

    mkt_info: MktPair
    shm_write_opts: dict[str, Any] = field(
        default_factory=lambda: {'has_vlm': True, 'sum_tick_vlm': True}
    )


_eps: dict[str, list[str]] = {
    # the API client
    'middleware': ['get_client'],
    # quotes, history, symbol search
    'datad': [
        'get_mkt_info',
        'open_history_client',
        'open_symbol_search',
        'stream_quotes',
    ],
    # orders
    'brokerd': ['open_trade_dialog', 'norm_trade'],
}
"""The endpoints of a backend by the kind of actor that hosts them."""


def get_eps(mod: ModuleType, kind: str) -> dict[str, Callable[..., Any]]:
    """
    The endpoints of `kind` that the backend `mod` offers, by name.
    """
    return {name: getattr(mod, name) for name in _eps[kind] if hasattr(mod, name)}


def find_missing(mod: ModuleType, kind: str) -> list[str]:
    """
    The endpoints of `kind` that the backend `mod` lacks, and why.
    """
    missing: list[str] = []
    for name in _eps[kind]:
        try:
            getattr(mod, name)
        except AttributeError as err:
            missing.append(str(err))
    return missing


def validate_backend(
    mod: ModuleType,
    syms: list[str],
    init_msgs: list[FeedInit],
) -> FeedInit:
    """
    The one init message of `init_msgs`, which `stream_quotes()` of the backend
    `mod` delivered for the one symbol of `syms`.

    Raises `FeedInitializationError` for missing endpoints, and for an init message
    that piker would choke on later.
    """
    for kind in ('middleware', 'datad'):
        if missing := find_missing(mod, kind):
            raise FeedInitializationError(
                f'{mod.__name__} lacks endpoints of {kind}: {"; ".join(missing)}'
            )
    # one that is only being written: quotes do without
    if getattr(mod, '_brokerd_mods', []) and (missing := find_missing(mod, 'brokerd')):
        log.warning('%s cannot trade yet: %s', mod.name, '; '.join(missing))

    if not isinstance(init_msgs, list) or len(init_msgs) != len(syms):
        raise FeedInitializationError(
            f'started() takes a list of {len(syms)} FeedInit, not {init_msgs!r}'
        )
    (init,) = init_msgs
    match init:
        case FeedInit(
            mkt_info=MktPair(dst=Asset(), src=Asset()) as mkt,
            shm_write_opts={'has_vlm': bool()},
        ):
            pass
        case _:
            raise FeedInitializationError(
                'not a FeedInit of a MktPair of two Assets, with `has_vlm` among its '
                f'shm_write_opts: {init!r}'
            )

    for name, tick in {
        'price_tick': mkt.price_tick,
        'size_tick': mkt.size_tick,
        'dst.tx_tick': mkt.dst.tx_tick,
        'src.tx_tick': mkt.src.tx_tick,
    }.items():
        if not isinstance(tick, Decimal) or tick <= 0:
            raise FeedInitializationError(
                f'{mkt.fqme}: {name} must be a Decimal above 0, not {tick!r}'
            )
    if mkt.fqme != mkt.fqme.lower():
        raise FeedInitializationError(f'{mkt.fqme}: an fqme is lowercase')
    return init


tick_types: frozenset[str] = frozenset(
    ['trade', 'utrade', 'dark_trade', 'last', 'bid', 'bsize', 'ask', 'asize']
)


def validate_quote(init: FeedInit, quote: dict[str, Any], first: bool = False) -> None:
    """
    Raise `BadQuote` where piker would drop `quote`, or be killed by it: a price or
    size that is no plain float, a tick of an unknown type, no ticks at all, no volume
    where it is not to be summed from the ticks.
    """
    mkt = init.mkt_info
    if first and 'last' not in quote:
        raise BadQuote(f'{mkt.fqme}: the first quote needs `last`')
    if not isinstance(quote.get('ticks'), list):
        raise BadQuote(f'{mkt.fqme}: a quote needs its list of `ticks`: {quote!r}')
    if not init.shm_write_opts.get('sum_tick_vlm', True):
        _check_number(mkt, quote, 'volume')
    if 'last' in quote:
        _check_number(mkt, quote, 'last')
    for tick in quote['ticks']:
        if tick.get('type') not in tick_types:
            raise BadQuote(
                f'{mkt.fqme}: a tick has one of the types '
                f'{", ".join(sorted(tick_types))}: {tick!r}'
            )
        _check_number(mkt, tick, 'price')
        _check_number(mkt, tick, 'size')


def _check_number(mkt: MktPair, msg: dict[str, Any], key: str) -> None:
    # neither a subclass (numpy.float64 is one of float) nor a Decimal, which
    # arrives as a string on the other side
    if type(msg.get(key)) not in (float, int):
        raise BadQuote(f'{mkt.fqme}: `{key}` must be a plain float: {msg!r}')


def validate_frame(
    frame: np.ndarray,
    start: pendulum.DateTime,
    end: pendulum.DateTime,
    timeframe: float,
) -> None:
    """
    Raise `BadFrame` unless `frame` is what `get_hist(timeframe)` must return: a
    structured array with the columns of `def_iohlcv_fields`, times ascending, whose
    first and last are the pendulum datetimes `start` and `end`.
    """
    import numpy as np
    import pendulum

    if not isinstance(frame, np.ndarray) or frame.dtype.names is None:
        raise BadFrame(f'not a structured numpy array: {type(frame)}')
    columns = tuple(name for name, _ in def_iohlcv_fields)
    if frame.dtype.names != columns:
        raise BadFrame(f'columns must be {columns}, not {frame.dtype.names}')
    if not frame.size:
        raise BadFrame('an empty frame: raise NoData or DataUnavailable instead')
    for dt in (start, end):
        if not isinstance(dt, pendulum.DateTime):
            raise BadFrame(f'start and end must be pendulum datetimes, not {dt!r}')
    times = frame['time']
    if not (np.diff(times) > 0).all():
        raise BadFrame('times must ascend')
    if (times[0], times[-1]) != (start.timestamp(), end.timestamp()):
        raise BadFrame(
            f'start and end ({start}, {end}) are not the first and last time of the '
            f'frame ({times[0]}, {times[-1]})'
        )
    if (times % timeframe).any():
        raise BadFrame(f'times must be multiples of the timeframe, {timeframe} s')
