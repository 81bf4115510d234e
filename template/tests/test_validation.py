"""
What piker accepts silently and then drops, or is killed by, is an error here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pendulum
import pytest
import trio
from msgspec.structs import replace

from minipiker._tractor import open_nursery
from minipiker.accounting import Asset, MktPair
from minipiker.data._source import def_iohlcv_fields
from minipiker.data.feed import LiveMkt, _FeedsBus, allocate_persistent_feed
from minipiker.data.tsp import skip_gap
from minipiker.data.validate import (
    BadFrame,
    BadQuote,
    FeedInit,
    FeedInitializationError,
    validate_backend,
    validate_frame,
    validate_quote,
)

if TYPE_CHECKING:
    from trio_typing import TaskStatus

BTC = Asset('btc', 'crypto', Decimal('1e-8'))
USDT = Asset('usdt', 'crypto', Decimal('1e-6'))
MKT = MktPair(
    dst=BTC,
    src=USDT,
    price_tick=Decimal('0.1'),
    size_tick=Decimal('0.001'),
    bs_mktid='BTC-USDT',
    broker='somebroker',
    venue='spot',
)
TICK: dict[str, Any] = {'type': 'trade', 'price': 65000.1, 'size': 0.5}
QUOTE: dict[str, Any] = {'symbol': MKT.bs_fqme, 'last': 65000.1, 'ticks': [TICK]}


BAD_TICKS: dict[str, dict[str, Any]] = {
    'a Decimal for a price': {'price': Decimal('65000.1')},
    'a Decimal for a size': {'size': Decimal('0.5')},
    'a string for a price': {'price': '65000.1'},
    'a numpy float for a price': {'price': np.float64(65000.1)},
    'no price': {'price': None},
    'an unknown type of tick': {'type': 'fill'},
}
BAD_MKTS: dict[str, dict[str, Any]] = {
    'no src': {'src': ''},
    'a float for a tick': {'price_tick': 0.1},
    'a tick of 0': {'size_tick': Decimal(0)},
    'an asset with a tick of 0': {'dst': replace(BTC, tx_tick=Decimal(0))},
    'uppercase': {'broker': 'SomeBroker'},
}


def without(quote: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in quote.items() if key != name}


@pytest.mark.parametrize(
    'quote',
    [
        pytest.param(without(QUOTE, 'last'), id='no last in the first quote'),
        pytest.param(without(QUOTE, 'ticks'), id='no ticks'),
        pytest.param({**QUOTE, 'ticks': {}}, id='ticks that are no list'),
        pytest.param({**QUOTE, 'last': Decimal('65000.1')}, id='a Decimal for last'),
        *(
            pytest.param({**QUOTE, 'ticks': [{**TICK, **wrong}]}, id=mistake)
            for mistake, wrong in BAD_TICKS.items()
        ),
    ],
)
@pytest.mark.case('RULE-SHAPES')
def test_bad_quotes(quote: dict[str, Any]) -> None:
    validate_quote(FeedInit(MKT), QUOTE, first=True)
    with pytest.raises(BadQuote):
        validate_quote(FeedInit(MKT), quote, first=True)


def test_a_volume_that_is_not_summed_is_in_each_quote() -> None:
    init = FeedInit(MKT, {'has_vlm': True, 'sum_tick_vlm': False})
    validate_quote(init, {**QUOTE, 'volume': 1000.5})
    with pytest.raises(BadQuote, match='volume'):
        validate_quote(init, QUOTE)


MINUTES = np.zeros(3, dtype=def_iohlcv_fields)
MINUTES['time'] = [60, 120, 180]
START = pendulum.from_timestamp(60)
END = pendulum.from_timestamp(180)
EXTRA = [*def_iohlcv_fields, ('vwap', float)]
OTHER_TIMES = MINUTES.copy()
OTHER_TIMES['time'] = [60, 121, 180]


@pytest.mark.parametrize(
    ('frame', 'start', 'end'),
    [
        pytest.param(MINUTES[::-1], END, START, id='reversed'),
        pytest.param(MINUTES[[0, 0, 2]], START, END, id='a bar twice'),
        pytest.param(MINUTES, START.add(seconds=60), END, id='another start'),
        pytest.param(MINUTES, START, END.add(seconds=60), id='another end'),
        pytest.param(
            MINUTES,
            datetime.fromtimestamp(60, UTC),
            datetime.fromtimestamp(180, UTC),
            id='datetimes of the standard library',
        ),
        pytest.param(MINUTES.tolist(), START, END, id='a list'),
        pytest.param(MINUTES['time'], START, END, id='a plain array'),
        pytest.param(
            np.zeros(3, dtype=def_iohlcv_fields[:-1]), START, END, id='no volume'
        ),
        pytest.param(np.zeros(3, dtype=EXTRA), START, END, id='one column more'),
        pytest.param(MINUTES[:0], START, END, id='empty'),
        pytest.param(OTHER_TIMES, START, END, id='not at full minutes'),
    ],
)
@pytest.mark.case('RULE-SHAPES')
def test_bad_frames(frame: Any, start: Any, end: Any) -> None:
    validate_frame(MINUTES, START, END, 60)
    with pytest.raises(BadFrame):
        validate_frame(frame, start, end, 60)


FRAME_TYPES = {'frame_types': {60: pendulum.duration(hours=16)}}


def test_no_data() -> None:
    assert skip_gap(END, 60, FRAME_TYPES) == END.subtract(hours=16)
    for end_dt, timeframe, config in (
        (None, 60, FRAME_TYPES),  # nothing at all
        (END, 1, FRAME_TYPES),
        (END, 60, {'erlangs': 3}),
    ):
        with pytest.raises(BadFrame):
            skip_gap(end_dt, timeframe, config)


@pytest.mark.parametrize(
    'init_msgs',
    [
        pytest.param([], id='none'),
        pytest.param(FeedInit(MKT), id='no list'),
        pytest.param([FeedInit(MKT), FeedInit(MKT)], id='two for one symbol'),
        pytest.param([{MKT.fqme: {}}], id='a dict'),
        pytest.param([FeedInit(MKT, {'sum_tick_vlm': True})], id='no has_vlm'),
        *(
            pytest.param([FeedInit(replace(MKT, **wrong))], id=mistake)
            for mistake, wrong in BAD_MKTS.items()
        ),
    ],
)
@pytest.mark.case('RULE-SHAPES')
def test_bad_inits(mod: ModuleType, init_msgs: Any) -> None:
    assert validate_backend(mod, [MKT.fqme], [FeedInit(MKT)]).mkt_info is MKT
    with pytest.raises(FeedInitializationError):
        validate_backend(mod, [MKT.fqme], init_msgs)


@pytest.mark.case('RULE-SHAPES')
def test_a_missing_endpoint(mod: ModuleType) -> None:
    partly = ModuleType(mod.__name__)
    vars(partly).update(without(vars(mod), 'open_symbol_search'))
    with pytest.raises(FeedInitializationError, match='open_symbol_search'):
        validate_backend(partly, [MKT.fqme], [FeedInit(MKT)])


@pytest.mark.parametrize(
    ('mistake', 'complaint'),
    [
        ('none', ''),
        ('broker in the key', 'keyed by bs_fqme'),
        ('uppercase key', 'keyed by bs_fqme'),
        ('no venue in the key', 'keyed by bs_fqme'),
        ('never live', 'feed_is_live'),
        ('returns', 'returned'),
        ('bad quote', 'plain float'),
        ('raises', 'the venue broke'),
    ],
)
@pytest.mark.case('RULE-SHAPES')
async def test_a_feed_that_piker_would_not_show(
    mod: ModuleType, mistake: str, complaint: str
) -> None:
    """
    A market ends, and says so, at the first quote that nobody would have got.
    """
    subscribed = trio.Event()

    async def stream_quotes(
        send_chan: trio.MemorySendChannel[dict[str, Any]],
        symbols: list[str],
        feed_is_live: trio.Event,
        task_status: TaskStatus[tuple[list[FeedInit], dict[str, Any]]],
    ) -> None:
        assert symbols == ['BTCUSDT']  # as it was typed, and no broker
        task_status.started(([FeedInit(MKT)], QUOTE))
        await subscribed.wait()
        if mistake != 'never live':
            feed_is_live.set()
        key, quote = MKT.bs_fqme, QUOTE
        match mistake:
            case 'broker in the key':
                key = MKT.fqme
            case 'uppercase key':
                key = key.upper()
            case 'no venue in the key':
                key = key.removesuffix(f'.{MKT.venue}')
            case 'bad quote':
                quote = {**QUOTE, 'last': '65000.1'}
            case 'returns':
                send_chan.close()
                return
            case 'raises':
                async with send_chan:
                    raise BadQuote('the venue broke')
        await send_chan.send({key: quote})
        await trio.sleep_forever()

    backend = ModuleType(mod.__name__)
    vars(backend).update({**vars(mod), 'stream_quotes': stream_quotes})
    async with open_nursery() as nursery:
        bus = _FeedsBus(MKT.broker, nursery)
        await nursery.start(
            partial(allocate_persistent_feed, bus, backend, MKT.bs_fqme, 'BTCUSDT')
        )
        feed: LiveMkt = bus.feeds[MKT.bs_fqme]
        sub, quotes = trio.open_memory_channel[dict[str, Any]](1)
        feed.subs.add(sub)
        subscribed.set()
        if mistake == 'none':
            assert await quotes.receive() == {MKT.bs_fqme: QUOTE}
        else:
            with pytest.raises(trio.EndOfChannel):
                await quotes.receive()
            assert isinstance(feed.error, (FeedInitializationError, BadQuote))
            assert complaint in str(feed.error)
        nursery.cancel_scope.cancel()
