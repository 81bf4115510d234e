"""
The simulated venue's faults on the wire.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from typing import Any

import httpx
import msgspec
import pytest
from trio_websocket import ConnectionClosed
from wire import BTC, Refused, Wire, open_rest, open_wire

from simvenue.process import open_simvenue


async def test_faults_strike_sockets() -> None:
    async with open_simvenue() as venue:

        @acm
        async def struck(kind: str, **options: Any) -> AsyncIterator[Wire]:
            async with open_wire(venue.url) as wire:
                await wire.rows('status')
                await venue.misbehave(kind, operation='test', **options)
                # only what it is armed for
                await wire.subscribe('instrument', snapshot=False)
                yield wire
            assert not (await venue.state()).faults

        async with struck('maintenance') as wire:
            for _ in range(2):
                assert (await wire.reply('ping'))['error'] == 'EService:Unavailable'
            await venue.behave()
            assert (await wire.reply('ping'))['method'] == 'pong'
        async with struck('maintenance', seconds=0.2) as wire:
            while 'error' in await wire.reply('ping'):
                pass  # it ends by itself
        for kind in (
            *('lose_request', 'lose_reply', 'server_error', 'throttle'),
            'partial_frame',
        ):
            async with struck(kind) as wire:
                with pytest.raises(ConnectionClosed):
                    await wire.reply('ping')
        for kind in ('delay', 'defer'):
            async with struck(kind, seconds=3600) as wire:
                late, soon = await wire.send('ping'), await wire.send('nothing')
                assert (await wire.receive())['req_id'] == soon
                await venue.behave()
                assert (await wire.receive())['req_id'] == late
        for kind in ('malformed', 'nested'):
            async with struck(kind) as wire:
                await wire.send('ping')
                message = await wire.websocket.get_message()
                with suppress(msgspec.DecodeError, RecursionError):
                    assert not isinstance(msgspec.json.decode(message), dict)
        async with struck('huge') as wire:
            await wire.send('ping')
            assert len(await wire.websocket.get_message()) > 50 * 2**20

        async with open_wire(venue.url) as wire:
            await venue.misbehave('drop')
            with pytest.raises(ConnectionClosed):
                while True:
                    await wire.receive()


async def test_faults_strike_http() -> None:
    async with open_simvenue(rate=0) as venue, open_rest(venue.url) as rest:

        async def get(kind: str, **options: Any) -> httpx.Response:
            await venue.misbehave(kind, operation='time', **options)
            async with open_rest(venue.url) as other:
                return await other.http.get('/0/public/Time')

        reply = await get('server_error')
        assert (reply.status_code, reply.headers['content-type']) == (502, 'text/html')
        for seconds, wait in [(None, None), (2, '2')]:
            reply = await get('throttle', seconds=seconds)
            assert (reply.status_code, reply.headers.get('retry-after')) == (429, wait)
        assert (await get('stale_nonce')).json() == {'error': ['EAPI:Invalid nonce']}
        pause: float | None
        for pause, error in [
            (None, 'EAPI:Rate limit exceeded'),
            (3, 'EService: Throttled: '),
            (3.5, 'EService: Throttled: '),
        ]:
            began = time.time()
            reply = await get('rate_limit', seconds=pause)
            assert reply.status_code == 200
            said = reply.json()['error'][0]
            assert said.startswith(error)
            # in whole seconds, and not sooner than it is so
            assert pause is None or int(said.split()[-1]) >= began + pause
        for kind in ('lose_request', 'lose_reply', 'partial_frame'):
            with pytest.raises(httpx.RemoteProtocolError):
                await get(kind)
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode((await get('malformed')).content)
        assert len((await get('huge')).content) > 50 * 2**20
        odd = (await get('wrong_type')).json()['result']
        assert odd['unixtime'] == {'not': 'what it was'}
        await venue.misbehave('maintenance')
        with pytest.raises(Refused, match='EService:Unavailable'):
            await rest.get('Time')
        await venue.behave()
        await venue.misbehave('silent')
        with pytest.raises(httpx.TransportError):
            await rest.http.get('/0/public/Time', timeout=0.2)


async def test_faults_strike_streams() -> None:
    async with open_simvenue(rate=0) as venue, open_wire(venue.url) as wire:
        await wire.subscribe('trade', BTC)

        async def printed(price: int) -> int:
            return (await venue.print_trade(BTC, price, 1)).seq

        async def told() -> int:
            (row,) = await wire.rows('trade')
            return int(row['trade_id'])

        await venue.misbehave('repeat', topic='trades')
        first = await printed(50_000)
        assert [await told(), await told()] == [first, first]
        await venue.misbehave('skip', topic='trades', market=BTC)
        await printed(50_001)
        assert await printed(50_002) == await told() == first + 2
        await venue.misbehave('reorder', topic='trades')
        await printed(50_003)
        await printed(50_004)
        assert [await told(), await told()] == [first + 4, first + 3]
        await venue.misbehave('skip', topic='quote')
        await venue.misbehave('wrong_type', topic='trades')
        await printed(50_005)
        (row,) = await wire.rows('trade')
        assert row['price'] == {'not': 'what it was'}
        assert [it.kind for it in (await venue.state()).faults] == ['skip']
        await venue.misbehave('forget', topic='trades')
        assert not (await venue.state()).subscribers('trades', BTC)
