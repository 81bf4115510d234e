"""
Symbols: looking up a market, and searching for one.
"""

from __future__ import annotations

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
from .api import DEFAULT_VENUES, Client
from .messages import Pair


@async_lifo_cache()
async def get_mkt_info(fqme: str) -> tuple[MktPair, Pair]:
    """
    The market that `fqme` names, and the venue's own description of it.

    Takes every form of the name: short (`btcusdc`, of the first of `DEFAULT_VENUES`
    that has it) or full, with or without the broker, in any case, or the venue's own.
    Call it with positional arguments: the cache knows no others.

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
    forms = [bs_fqme]
    if '.' not in bs_fqme:
        forms += [f'{bs_fqme}.{venue}' for venue in DEFAULT_VENUES]
    for reload in (False, True):  # it may have been listed only now
        pairs = await client.get_mkt_pairs(reload)
        for form in forms:
            if pair := pairs.get(form):
                return pair
        for pair in pairs.values():
            if pair.bs_mktid.lower() == bs_fqme:
                return pair
    # the venue lists what is traded now, and may still know what has expired
    try:
        return await client.find_expired(bs_fqme)
    except SymbolNotFound:
        raise SymbolNotFound(
            f'no market goes by the name {name!r} here; search for one'
        ) from None


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
        price_tick=pair.price_step,
        size_tick=pair.size_step,
        bs_mktid=pair.bs_mktid,
        broker=NAME,
        venue=pair.venue,
        expiry=pair.expiry,
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
        mkt = await mk_mkt(client, await lookup_pair(client, name))
        # whoever asks next may know it by another of its names
        for known_as in (name, mkt.bs_mktid, mkt.bs_fqme, mkt.fqme):
            _contracts[known_as] = mkt
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
