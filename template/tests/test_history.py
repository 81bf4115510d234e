"""
History, as piker wants it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pendulum
import pytest
import tractor

from minipiker._tractor import boxed_type_name
from minipiker.brokers import DataUnavailable
from minipiker.data._source import def_iohlcv_fields
from minipiker.data.tsp import load_history
from minipiker.data.validate import validate_frame
from minipiker.testing import OpenSimVenue, Tree, find_market, open_test_pikerd


def traits_of(mod: ModuleType) -> Any:
    return import_module(f'{mod.__name__}.api').TRAITS


@pytest.mark.parametrize('timeframe', [60, pytest.param(1, marks=pytest.mark.present)])
@pytest.mark.case('DATA-BARS')
async def test_frames_meet_and_ascend(
    shared_tree: Tree,
    mod: ModuleType,
    fqme: str,
    timeframe: int,
    venue_time: Callable[[], float],
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
            assert venue_time() - end.timestamp() < 120 + timeframe

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


@pytest.mark.case('DATA-BARS-SANE')
async def test_bars_are_sane(shared_tree: Tree, mod: ModuleType, fqme: str) -> None:
    count = traits_of(mod).bars_back or 2500
    async with shared_tree():
        bars = await load_history(fqme, timeframe=60, count=count)
    assert bars.size == count
    assert (np.diff(bars['time']) >= 60).all()
    assert (np.diff(bars['index']) == 1).all()
    for price in ('open', 'close'):
        assert (bars['low'] <= bars[price]).all()
        assert (bars[price] <= bars['high']).all()
    assert (bars['low'] > 0).all()
    assert (bars['volume'] >= 0).all()


@pytest.mark.case('DATA-BARS-END')
async def test_minutes_go_back_for_years_or_end_in_a_sentence(
    shared_tree: Tree,
    mod: ModuleType,
    fqme: str,
) -> None:
    async with shared_tree():
        mkt, _ = await mod.get_mkt_info(fqme)
        async with mod.open_history_client(mkt) as (get_hist, _):
            years_ago = pendulum.now('UTC').subtract(years=3).start_of('day')
            if traits_of(mod).bars_back:
                with pytest.raises(DataUnavailable, match='deep_history = true'):
                    await get_hist(60, end_dt=years_ago)
            else:
                frame, start, end = await get_hist(60, end_dt=years_ago)
                validate_frame(frame, start, end, 60)
                assert end < years_ago

            with pytest.raises(DataUnavailable):
                await get_hist(60, end_dt=pendulum.datetime(1990, 1, 1))


async def test_minutes_are_made_of_trades_where_the_venue_has_none(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> None:
    """
    As far back as those of a venue that has them all.
    """
    async with (
        open_simvenue() as venue,
        open_test_pikerd(tmp_path, url=venue.url, deep_history=True),
    ):
        mkt = (await find_market(venue, mod)).mkt
        async with mod.open_history_client(mkt) as (get_hist, _):
            frame, start, end = await get_hist(60)
            while start > pendulum.now('UTC').subtract(hours=13):
                earlier, first, last = await get_hist(60, end_dt=start)
                validate_frame(earlier, first, last, 60)
                # they meet, also where the venue's own bars begin
                assert start.timestamp() - last.timestamp() == 60
                frame, start, end = earlier, first, last

            years_ago = pendulum.now('UTC').subtract(years=3).start_of('day')
            frame, start, end = await get_hist(60, end_dt=years_ago)
            validate_frame(frame, start, end, 60)
            assert (years_ago - end).total_seconds() == 60
            assert frame['volume'].all(), 'it trades often'


@pytest.mark.case('DATA-BARS-LENGTH', 'RULE-ERRORS')
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
