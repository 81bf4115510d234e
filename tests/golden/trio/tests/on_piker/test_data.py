"""
What charts want of the backend: its markets, their history, and live quotes.
"""

from __future__ import annotations

import numpy as np
import pytest
from pendulum import from_timestamp

from piker.accounting import MktPair
from piker.brokers import SymbolNotFound, get_brokermod
from piker.brokers.core import symbol_search
from piker.data import open_feed
from piker.data._symcache import open_symcache
from piker.types import Struct

from . import BROKER, SYMBOL, Run, check_daemons, get_fqme, ours


def test_what_the_backend_makes_is_of_pikers_types(run: Run) -> None:
    async def main() -> None:
        mkt, pair = await get_brokermod(BROKER).get_mkt_info(SYMBOL)
        assert type(mkt) is MktPair
        assert isinstance(pair, Struct)
        assert mkt.fqme == mkt.fqme.lower()

    run(main)


def test_daemons_are_pikers() -> None:
    from piker.brokers import _daemon as pikers

    assert ours.maybe_spawn_datad.__module__.startswith('piker.')
    assert ours.maybe_spawn_datad.__module__ != ours.__name__
    assert ours.maybe_spawn_brokerd is pikers.maybe_spawn_brokerd


def test_every_form_of_a_name(run: Run) -> None:
    async def main() -> None:
        get_mkt_info = get_brokermod(BROKER).get_mkt_info
        mkt, _ = await get_mkt_info(SYMBOL)
        # piker's command line leaves the dot where it takes the broker away
        for name in (mkt.fqme, mkt.bs_fqme, mkt.fqme.upper(), f'{mkt.bs_fqme}.'):
            same, _ = await get_mkt_info(name)
            assert same == mkt
        with pytest.raises(SymbolNotFound):
            await get_mkt_info(f'nosuchmarket.{BROKER}')

    run(main)


def test_symbol_search(run: Run) -> None:
    async def main() -> None:
        mkt, _ = await get_brokermod(BROKER).get_mkt_info(SYMBOL)
        async with (
            ours.maybe_spawn_datad(BROKER, loglevel='critical') as portal,
            portal.open_context(get_brokermod(BROKER).open_symbol_search) as (ctx, _),
        ):
            async with ctx.open_stream() as stream:
                await stream.send(mkt.bs_fqme)
                assert mkt.bs_fqme in await stream.receive()
                await stream.send('nosuchmarket')
                assert await stream.receive() == {}
            await ctx.cancel()
        # and as the command line does
        ((_, matches),) = await symbol_search([get_brokermod(BROKER)], mkt.bs_fqme)
        assert mkt.bs_fqme in matches

    run(main)


def test_symbology_cache_survives_its_file(run: Run) -> None:
    async def main() -> None:
        mod = get_brokermod(BROKER)
        # a market that is looked up earlier is the very same one
        mkt, _ = await mod.get_mkt_info(SYMBOL)
        async with open_symcache(mod, reload=True) as built:
            pass
        async with open_symcache(mod) as read:
            assert read is not built
            assert mkt.fqme in read.mktmaps
            assert read.mktmaps == built.mktmaps
            assert read.pairs == built.pairs
            assert read.assets == built.assets

    run(main)


def test_feed_has_history_and_goes_on_live(run: Run) -> None:
    async def main() -> None:
        fqme = await get_fqme()
        async with open_feed([fqme], loglevel='critical') as feed:
            flume = feed.flumes[fqme]
            assert {'last', 'ticks'} <= flume.first_quote.keys()
            for shm, timeframe in ((flume.hist_shm, 60), (flume.rt_shm, 1)):
                steps = np.diff(shm.array['time'])
                assert steps.size
                assert (steps > 0).all()
                assert (steps % timeframe == 0).all()
            # the bars that were over are the backend's own
            bars = flume.hist_shm.array[:-2]
            async with get_brokermod(BROKER).open_history_client(flume.mkt) as (
                get_hist,
                _,
            ):
                frame, *_ = await get_hist(60, end_dt=from_timestamp(bars['time'][-1]))
            for column in ('open', 'high', 'low', 'close', 'volume'):
                ours = frame[column][np.isin(frame['time'], bars['time'])]
                assert ours.size
                theirs = bars[column][np.isin(bars['time'], frame['time'])]
                assert np.array_equal(ours, theirs)

            since = flume.rt_shm.array['time'][-1]
            prices: list[float] = []
            async with feed.open_multi_stream([BROKER]) as stream:
                # until bars are made of the trades
                while (
                    len(prices) < 5
                    or (last := flume.rt_shm.array[-1])['time'] <= since
                    or last['close'] not in prices
                ):
                    for quote in (await stream.receive()).values():
                        ticks = quote.get('ticks', ())
                        assert {type(tick['price']) for tick in ticks} <= {float, int}
                        prices += [
                            tick['price'] for tick in ticks if tick['type'] == 'trade'
                        ]
        check_daemons()

    run(main)
