"""
History, as piker wants it.
"""

from __future__ import annotations

import inspect
from types import ModuleType

import numpy as np
import pendulum
import pytest
import tractor

from minipiker._tractor import boxed_type_name
from minipiker.brokers import DataUnavailable
from minipiker.data._source import def_iohlcv_fields
from minipiker.data.tsp import load_history
from minipiker.data.validate import validate_frame
from minipiker.testing import Tree


@pytest.mark.parametrize('timeframe', [60, 1])
async def test_frames_meet_and_ascend(
    shared_tree: Tree,
    mod: ModuleType,
    fqme: str,
    timeframe: int,
) -> None:
    async with shared_tree():
        mkt, _ = await mod.get_mkt_info(fqme)
        async with mod.open_history_client(mkt) as (get_hist, config):
            assert isinstance(config, dict)
            assert list(inspect.signature(get_hist).parameters) == [
                'timeframe',
                'end_dt',
                'start_dt',
            ]
            try:
                frame, start, end = await get_hist(timeframe)
            except DataUnavailable as why:
                # piker asks for seconds, and goes without if it is told why
                if timeframe == 1 and ' ' in str(why):
                    return
                raise
            validate_frame(frame, start, end, timeframe)
            assert frame.dtype.names == tuple(name for name, _ in def_iohlcv_fields)
            assert (pendulum.now('UTC') - end).total_seconds() < 120 + timeframe

            # the frame before ends where this one starts, without gap or overlap
            earlier, first, last = await get_hist(timeframe, end_dt=start)
            validate_frame(earlier, first, last, timeframe)
            assert start.timestamp() - last.timestamp() == timeframe

            # and the same range is the same bars
            again, *_ = await get_hist(timeframe, end_dt=end, start_dt=start)
            shared = np.intersect1d(frame['time'], again['time'])
            assert shared.size > 1
            settled = shared[:-1]  # the latest bar may still move
            for column in ('open', 'high', 'low', 'close', 'volume'):
                assert np.array_equal(
                    frame[column][np.isin(frame['time'], settled)],
                    again[column][np.isin(again['time'], settled)],
                )


async def test_bars_are_sane(shared_tree: Tree, fqme: str) -> None:
    async with shared_tree():
        bars = await load_history(fqme, timeframe=60, count=2500)
    assert bars.size == 2500
    assert (np.diff(bars['time']) >= 60).all()
    assert (np.diff(bars['index']) == 1).all()
    for price in ('open', 'close'):
        assert (bars['low'] <= bars[price]).all()
        assert (bars[price] <= bars['high']).all()
    assert (bars['low'] > 0).all()
    assert (bars['volume'] >= 0).all()


async def test_minutes_go_back_for_years(
    shared_tree: Tree,
    mod: ModuleType,
    fqme: str,
) -> None:
    async with shared_tree():
        mkt, _ = await mod.get_mkt_info(fqme)
        async with mod.open_history_client(mkt) as (get_hist, _):
            years_ago = pendulum.now('UTC').subtract(years=3).start_of('day')
            frame, start, end = await get_hist(60, end_dt=years_ago)
            validate_frame(frame, start, end, 60)
            assert end < years_ago

            with pytest.raises(DataUnavailable):
                await get_hist(60, end_dt=pendulum.datetime(1990, 1, 1))


async def test_a_timeframe_that_the_venue_lacks(
    shared_tree: Tree,
    mod: ModuleType,
    fqme: str,
) -> None:
    async with shared_tree():
        mkt, _ = await mod.get_mkt_info(fqme)
        async with mod.open_history_client(mkt) as (get_hist, _):
            with pytest.raises(DataUnavailable, match='7'):
                await get_hist(7)

        with pytest.raises(tractor.RemoteActorError) as remote:
            await load_history(fqme, timeframe=7)
        assert boxed_type_name(remote.value) == 'DataUnavailable'
