"""
What the author says of the venue in `TRAITS`, held against what it does.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from msgspec.structs import asdict

from minipiker.data.feed import open_feed
from minipiker.testing import Tree
from simvenue import dialect


@pytest.fixture
def traits(mod: ModuleType) -> Any:
    return import_module(f'{mod.__name__}.api').TRAITS


def test_both_sides_say_the_same_of_the_venue(traits: Any) -> None:
    ours = asdict(traits)
    theirs = dict(dialect.TRAITS)
    assert {name: theirs[name] for name in ours} == {
        name: list(value) if isinstance(theirs[name], list) else value
        for name, value in ours.items()
    }


@pytest.mark.case('TRAIT-NUMBERS', 'DATA-TRADES')
async def test_trades_are_numbered_as_it_says(
    shared_tree: Tree, fqme: str, traits: Any
) -> None:
    ids: list[int | None] = []
    async with shared_tree(), open_feed([fqme]) as feed:
        while len(ids) < 5:
            for quote in (await feed.receive()).values():
                ids += [
                    tick.get('trade_id')
                    for tick in quote['ticks']
                    if tick['type'] == 'trade'
                ]
    if traits.trade_numbers == 'contiguous':
        assert ids[0]
        assert ids == [*range(ids[0], ids[0] + len(ids))]
    else:
        assert {*ids} == {None}


@pytest.mark.case('TRAIT-BAR-LENGTHS', 'TRAIT-BARS-A-CALL', 'TRAIT-BARS-BACK')
async def test_bars_are_as_it_says(
    shared_tree: Tree, mod: ModuleType, fqme: str, traits: Any
) -> None:
    async with shared_tree():
        mkt, _ = await mod.get_mkt_info(fqme)
        async with mod.open_history_client(mkt) as (get_hist, _):
            for seconds in traits.bar_seconds:
                frame, start, _ = await get_hist(seconds)
                assert (np.diff(frame['time']) % seconds == 0).all()
                assert np.diff(frame['time']).min() == seconds
                if seconds == min(traits.bar_seconds):
                    shortest, oldest = frame, start
            most = traits.bars_per_call
            # the newest may have come while it was asked for
            assert most - 2 <= shortest.size <= most
            if not traits.bars_back:
                earlier, *_ = await get_hist(min(traits.bar_seconds), end_dt=oldest)
                assert most - 2 <= earlier.size <= most
            else:
                assert traits.bars_back - 2 <= shortest.size <= traits.bars_back
