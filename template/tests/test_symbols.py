"""
Naming a market, and searching for one.
"""

from __future__ import annotations

from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from msgspec.structs import asdict

from minipiker.accounting import Asset, MktPair
from minipiker.brokers import SymbolNotFound, open_cached_client
from minipiker.data.feed import open_feed
from minipiker.data.search import open_search
from minipiker.testing import OpenSimVenue, Tree, open_test_pikerd


async def test_every_form_of_a_name_is_the_same_market(
    shared_tree: Tree,
    mod: ModuleType,
    broker: str,
    fqme: str,
) -> None:
    async with shared_tree(), open_cached_client(broker):
        mkt, pair = await mod.get_mkt_info(fqme)
        assert mkt.fqme == f'{mkt.bs_fqme}.{broker}'
        for form in (
            fqme.removesuffix(f'.{broker}'),
            mkt.fqme,
            mkt.bs_fqme,
            mkt.fqme.upper(),
            mkt.bs_fqme.title(),
            pair.bs_mktid,
        ):
            assert await mod.get_mkt_info(form) == (mkt, pair), form


async def test_a_lookup_is_cached_by_positional_arguments(
    shared_tree: Tree,
    mod: ModuleType,
    fqme: str,
) -> None:
    async with shared_tree():
        assert await mod.get_mkt_info(fqme) is await mod.get_mkt_info(fqme)
        # piker's cache would answer with whatever market was asked for first
        with pytest.raises(TypeError):
            await mod.get_mkt_info(fqme=fqme)


async def test_a_market_is_described_in_full(
    shared_tree: Tree,
    mod: ModuleType,
    broker: str,
    fqme: str,
) -> None:
    async with shared_tree():
        mkt, pair = await mod.get_mkt_info(fqme)
    assert isinstance(mkt, MktPair)
    assert isinstance(mkt.src, Asset)
    assert isinstance(mkt.dst, Asset)
    assert mkt.broker == broker
    assert mkt.fqme == mkt.fqme.lower()
    for tick in (mkt.price_tick, mkt.size_tick, mkt.src.tx_tick, mkt.dst.tx_tick):
        assert isinstance(tick, Decimal)
        assert tick > 0
    assert pair.bs_fqme == mkt.bs_fqme
    assert pair.bs_mktid == mkt.bs_mktid
    module, _, name = pair.ns_path.partition(':')
    assert getattr(import_module(module), name) is type(pair)
    assert None not in asdict(pair).values(), 'TOML has no null'


async def test_each_pair_leads_back_to_itself(
    shared_tree: Tree,
    mod: ModuleType,
    broker: str,
) -> None:
    """
    piker's symbology cache asks this of every pair.
    """
    async with shared_tree(), open_cached_client(broker) as client:
        assets = await client.get_assets()
        pairs = await client.get_mkt_pairs()
        assert pairs
        for bs_fqme, pair in pairs.items():
            mkt, same = await mod.get_mkt_info(bs_fqme)
            assert same is pair
            assert mkt.bs_fqme == bs_fqme == pair.bs_fqme
            assert assets[mkt.src.name] == mkt.src
            assert assets[mkt.dst.name] == mkt.dst


async def test_a_name_that_is_no_market(shared_tree: Tree, mod: ModuleType) -> None:
    async with shared_tree():
        with pytest.raises(SymbolNotFound, match='nosuch'):
            await mod.get_mkt_info('nosuchmarket')


async def test_a_market_that_is_listed_only_now(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    broker: str,
) -> None:
    async with (
        open_simvenue() as venue,
        open_test_pikerd(tmp_path, url=venue.url),
    ):
        name = (await venue.markets())[0].name
        await venue.delist(name)
        with pytest.raises(Exception, match='SymbolNotFound'):
            async with open_feed([f'{name}.{broker}']):
                pass
        await venue.list_market(name)
        async with open_feed([f'{name}.{broker}']) as feed:
            await feed.receive()


async def test_search_answers_each_pattern_once(
    shared_tree: Tree,
    mod: ModuleType,
    broker: str,
    fqme: str,
) -> None:
    async with shared_tree(), open_search(broker) as search:
        mkt, _ = await mod.get_mkt_info(fqme)
        matches = await search(mkt.bs_fqme)
        assert mkt.bs_fqme in matches
        assert await search(mkt.bs_fqme.upper()) == matches
        assert await search('no such market') == {}
