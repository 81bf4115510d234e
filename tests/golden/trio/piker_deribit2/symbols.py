"""
Symbols: looking up a market, and searching for one.
"""

from __future__ import annotations

from decimal import Decimal

import tractor
from msgspec.structs import asdict

from ._config import NAME
from ._piker import (
    MktPair,
    SymbolNotFound,
    async_lifo_cache,
    context,
    open_cached_client,
)
from .api import Client, Pair

_default_venue: str = 'spot'


@async_lifo_cache()
async def get_mkt_info(fqme: str) -> tuple[MktPair, Pair]:
    """
    The market that `fqme` names, and the venue's own description of it.

    Takes every form of the name: short (`btcusdt`: the spot market) or full, with or
    without the broker, in any case, or the venue's own. Call it with positional
    arguments: the cache knows no others.

    Raises `SymbolNotFound`.
    """
    async with open_cached_client(NAME) as client:
        pair = await lookup_pair(client, fqme)
        return await mk_mkt(client, pair), pair


async def lookup_pair(client: Client, name: str) -> Pair:
    """
    The pair that `name` names: an fqme, or the venue's own name of it.
    """
    bs_fqme = name.lower().removesuffix(f'.{NAME}').strip('.')
    if '.' not in bs_fqme:
        bs_fqme = f'{bs_fqme}.{_default_venue}'
    for reload in (False, True):  # it may have been listed only now
        pairs = await client.get_mkt_pairs(reload)
        by_id = {pair.bs_mktid: pair for pair in pairs.values()}
        if pair := by_id.get(name) or pairs.get(bs_fqme):
            return pair
    raise SymbolNotFound(f'no market goes by the name {name!r} here; search for one')


async def mk_mkt(client: Client, pair: Pair) -> MktPair:
    """
    The host's description of a pair.
    """
    dst, src = pair.base_currency.lower(), pair.quote_currency.lower()
    assets = await client.get_assets()
    if not {dst, src} <= assets.keys():
        assets = await client.get_assets(reload=True)
    return MktPair(
        dst=assets[dst],
        src=assets[src],
        price_tick=Decimal(pair.tick_size),
        size_tick=Decimal(pair.amount_step),
        bs_mktid=pair.bs_mktid,
        broker=NAME,
        venue=pair.venue,
        _atype=pair.atype,
    )


_contracts: dict[str, MktPair] = {}


async def cache_contract(client: Client, name: str) -> MktPair:
    """
    The market that `name` names: an fqme, or the venue's own name of it.

    The cache is this actor's own. A `brokerd` fills it by itself, from what the venue
    says of its orders and from what is ordered, whether or not somebody streams the
    market in a `datad`.
    """
    if name not in _contracts:
        # TODO: does the venue list what has expired? Where it does not, its history of
        # trades may name a market that has to be asked for in another way.
        mkt = await mk_mkt(client, await lookup_pair(client, name))
        # under every name that is asked for: readers differ
        _contracts.update(dict.fromkeys((name, mkt.bs_fqme, mkt.fqme), mkt))
    return _contracts[name]


@context
async def open_symbol_search(ctx: tractor.Context) -> None:
    """
    Answer each pattern with one dict of the matching pairs, keyed by bs_fqme; it is
    empty where nothing matches.
    """
    async with open_cached_client(NAME) as client:
        # load the venue's instruments before the first pattern is typed
        await client.get_mkt_pairs()
        await ctx.started()
        async with ctx.open_stream() as stream:
            pattern: str
            async for pattern in stream:
                matches: dict[str, Pair] = await client.search_symbols(pattern)
                await stream.send(
                    {bs_fqme: asdict(pair) for bs_fqme, pair in matches.items()}
                )
