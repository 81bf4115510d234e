"""
Naming a market, and searching for one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import msgspec
import pytest
from msgspec.structs import asdict

from minipiker._sizes import smallest_size
from minipiker.accounting import Asset, MktPair, unpack_fqme
from minipiker.brokers import SymbolNotFound, open_cached_client
from minipiker.data.search import open_search
from minipiker.testing import OpenSimVenue, Tree, open_test_pikerd


@pytest.mark.case('DATA-NAMES')
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


@pytest.mark.case('RULE-POSITIONAL')
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


@pytest.mark.case('DATA-MARKET')
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


def test_the_smallest_size_is_worth_enough() -> None:
    step = Decimal('0.00001')
    rules = SimpleNamespace(size_step=step, min_size=step, min_cost=Decimal(5))
    # at a tenth of the price
    assert smallest_size(rules, 30_000.0) == Decimal('0.00167')
    rules.min_cost = Decimal(0)
    assert smallest_size(rules, 30_000.0) == step


@pytest.mark.case('DATA-MARKETS')
async def test_each_pair_leads_back_to_itself(
    shared_tree: Tree,
    mod: ModuleType,
    broker: str,
) -> None:
    """
    piker's symbology cache asks this of every pair, and that the name be one that it
    can take apart.
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
            assert unpack_fqme(mkt.fqme) == (broker, mkt.key, mkt.venue, mkt.expiry)
            # what comes back from a file is made of plain tables, whatever their types
            fields = msgspec.json.decode(msgspec.json.encode(asdict(pair)))
            assert type(pair)(**fields) == pair


@pytest.mark.case('DATA-UNKNOWN')
async def test_a_name_that_is_no_market(shared_tree: Tree, mod: ModuleType) -> None:
    async with shared_tree():
        for name in ('nosuchmarket', 'no.such.market', 'no-such-market'):
            with pytest.raises(SymbolNotFound, match=name):
                await mod.get_mkt_info(name)


async def test_a_market_that_is_listed_only_now(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> None:
    async with (
        open_simvenue() as venue,
        open_test_pikerd(tmp_path, url=venue.url),
    ):
        markets = await venue.markets()
        name = next((it.name for it in markets if it.kind == 'future'), None)
        if name:  # a copy of one that the backend has already looked up
            later = f'{name[:-2]}{int(name[-2:]) + 1:02}'
        else:
            name, later = (it.name for it in markets[:2])
            await venue.delist(later)
            forget(mod)
        await mod.get_mkt_info(name)
        with pytest.raises(SymbolNotFound):
            await mod.get_mkt_info(later)
        await venue.list_market(later, like=name)
        mkt, _ = await mod.get_mkt_info(later)
        assert mkt.bs_mktid == later
        assert await mod.get_mkt_info(mkt.fqme) == await mod.get_mkt_info(later)


async def test_markets_that_have_expired(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
) -> None:
    """
    Who looks at old trades still has to know them, by either of their names: one of
    each kind that the venue has.
    """
    async with open_simvenue(rate=0) as venue:
        infos = {it.kind: it for it in await venue.markets() if it.expiry}.values()
        if not infos:
            pytest.skip('nothing expires at this venue')
        async with open_test_pikerd(tmp_path / 'before', url=venue.url):
            known = {it.name: (await mod.get_mkt_info(it.name))[0] for it in infos}
        await venue.set_clock(max(it.expiry or 0 for it in infos) + 60_000)
        assert not known.keys() & {it.name for it in await venue.markets()}
        forget(mod)
        async with open_test_pikerd(tmp_path / 'after', url=venue.url):
            for name, mkt in known.items():
                for form in (mkt.fqme, name):
                    again, _ = await mod._symbols.get_mkt_info.__wrapped__(form)
                    assert again == mkt


def forget(mod: ModuleType) -> None:
    """
    What an actor that starts only now does not know.
    """
    mod.api.Client.listed.__init__()


@pytest.fixture
def _forgotten_after(mod: ModuleType) -> Iterator[None]:
    yield
    forget(mod)


@pytest.mark.case('DATA-SEARCH')
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


@pytest.mark.usefixtures('_forgotten_after')
async def test_search_by_words(
    open_simvenue: OpenSimVenue,
    tmp_path: Path,
    mod: ModuleType,
    broker: str,
) -> None:
    async with (
        open_simvenue(markets=2000, rate=0) as venue,
        open_test_pikerd(tmp_path, url=venue.url),
        open_cached_client(broker) as client,
    ):
        forget(mod)
        markets = await venue.markets()
        options = [it.name for it in markets if it.kind == 'option']
        assert len(markets) >= 2000
        names = options or [it.name for it in markets]
        # a whole name finds that market first, by its parts in any order
        for name in (names[0], names[len(names) // 2], names[-1]):
            for pattern in (
                name,
                name.lower(),
                ' '.join(re.split(r'\W', name)[::-1]),
            ):
                best, *_ = (await client.search_symbols(pattern)).values()
                assert best.bs_mktid == name, pattern

        kinds = [it.kind for it in markets]
        kind = 'perpetual' if 'perpetual' in kinds else 'spot'
        some = {it.name: it.base.lower() for it in markets if it.kind == kind}
        name, base = next(iter(some.items()))
        found = await client.search_symbols(pattern=f'{base} {kind[:4]}')
        assert name in {pair.bs_mktid for pair in found.values()}
        assert {pair.bs_mktid for pair in found.values()} <= {*some}
        # one that has the words is better than one that has more beside them
        best, *_ = (await client.search_symbols(base, limit=5)).values()
        assert best.bs_mktid not in options
        assert await client.search_symbols(f'{base} no-such') == {}
        assert await client.search_symbols(' ') == {}

        pairs = await client.get_mkt_pairs()
        assert all(pairs[bs_fqme] is pair for bs_fqme, pair in found.items())

        began = time.process_time()
        for pattern in (base[0], f'{base} {kind[:4]}', names[-1], 'option'):
            await client.search_symbols(pattern)
        took = (time.process_time() - began) / 4
        assert took < 0.1, 'it would be felt while typing'
