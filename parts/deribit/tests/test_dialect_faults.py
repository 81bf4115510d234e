"""
The simulated venue's faults on the wire.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from typing import Any

import httpx
import msgspec
import pytest
import trio
from trio_websocket import ConnectionClosed, HandshakeError
from wire import BTC, Refused, Wire, open_wire, rest

from simvenue.process import open_simvenue


async def test_faults_strike_sockets() -> None:
    async with open_simvenue() as venue:

        @acm
        async def struck(kind: str, **options: Any) -> AsyncIterator[Wire]:
            async with open_wire(venue.url) as wire:
                await venue.misbehave(kind, operation='time', **options)
                # only what it is armed for
                await wire.request('public/status')
                yield wire
            assert not (await venue.state()).faults

        async with struck('maintenance') as wire:
            for _ in range(2):
                with pytest.raises(Refused, match='11051'):
                    await wire.request('public/get_time')
            await venue.behave()
            assert await wire.request('public/get_time')
        async with struck('maintenance', seconds=0.2) as wire:
            while 'error' in await wire.reply('public/get_time'):
                pass  # it ends by itself
        for kind in ('lose_request', 'lose_reply', 'server_error', 'partial_frame'):
            async with struck(kind) as wire:
                with pytest.raises(ConnectionClosed):
                    await wire.request('public/get_time')
        for kind in ('delay', 'defer'):
            async with struck(kind, seconds=3600) as wire:
                late = await wire.send('public/get_time')
                soon = await wire.send('public/test')
                assert (await wire.receive())['id'] == soon
                await venue.behave()
                assert (await wire.receive())['id'] == late
        for kind in ('malformed', 'nested'):
            async with struck(kind) as wire:
                await wire.send('public/get_time')
                message = await wire.websocket.get_message()
                with suppress(msgspec.DecodeError, RecursionError):
                    assert not isinstance(msgspec.json.decode(message), dict)
        async with struck('huge') as wire:
            await wire.send('public/get_time')
            assert len(await wire.websocket.get_message()) > 50 * 2**20
        async with struck('wrong_type') as wire:
            assert isinstance(await wire.request('public/get_time'), dict)

        async with open_wire(venue.url) as wire:
            await venue.misbehave('drop')
            with pytest.raises(ConnectionClosed):
                await wire.receive()
        await venue.misbehave('refuse', seconds=60)
        with pytest.raises(HandshakeError):
            async with open_wire(venue.url):
                pass
        await venue.behave()
        async with open_wire(venue.url) as wire:
            await venue.misbehave('silent')
            await wire.send('public/get_time')
            with trio.move_on_after(0.3):
                raise AssertionError(await wire.receive())
            async with open_wire(venue.url) as other:
                assert await other.request('public/get_time')
        await venue.misbehave('slow_reads', seconds=0.2)
        async with open_wire(venue.url) as wire:
            start = trio.current_time()
            await wire.request('public/get_time')
            assert trio.current_time() - start > 0.2


async def test_faults_strike_http() -> None:
    async with open_simvenue(rate=0) as venue:

        async def get(kind: str, **options: Any) -> httpx.Response:
            await venue.misbehave(kind, operation='time', **options)
            async with rest(venue.url) as http:
                return await http.get('/public/get_time')

        assert (await get('server_error')).status_code == 502
        refused = await get('rate_limit')
        assert (refused.status_code, refused.json()['error']['code']) == (429, 10028)
        for kind in ('lose_request', 'lose_reply', 'partial_frame'):
            with pytest.raises(httpx.RemoteProtocolError):
                await get(kind)
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode((await get('malformed')).content)
        assert len((await get('huge')).content) > 50 * 2**20
        assert isinstance((await get('wrong_type')).json()['result'], dict)
        start = trio.current_time()
        assert (await get('delay', seconds=0.3)).status_code == 200
        assert trio.current_time() - start > 0.3
        async with rest(venue.url) as http:
            await http.get('/public/get_time')
            await venue.misbehave('silent')
            with pytest.raises(httpx.TransportError):
                await http.get('/public/get_time', timeout=0.2)


async def test_faults_strike_streams() -> None:
    channel = f'trades.{BTC}.100ms'
    async with open_simvenue(rate=0) as venue, open_wire(venue.url) as wire:
        await wire.subscribe(channel)

        async def printed(price: int) -> int:
            return (await venue.print_trade(BTC, price, 10)).seq

        async def struck() -> None:
            """
            Until the fault has met its message: the next trade is in one of its own.
            """
            while any(it.topic == 'trades' for it in (await venue.state()).faults):
                pass

        async def told() -> int:
            (row,) = await wire.notification(channel)
            return int(row['trade_seq'])

        await venue.misbehave('repeat', topic='trades')
        first = await printed(50_000)
        assert [await told(), await told()] == [first, first]
        await venue.misbehave('skip', topic='trades', market=BTC)
        await printed(50_001)
        await struck()
        assert await printed(50_002) == await told() == first + 2
        await venue.misbehave('reorder', topic='trades')
        await printed(50_003)
        await struck()
        await printed(50_004)
        assert [await told(), await told()] == [first + 4, first + 3]
        await venue.misbehave('skip', topic='quote')
        await venue.misbehave('missing_field', topic='trades')
        await printed(50_005)
        assert await wire.notification(channel) == [{}]
        assert [it.kind for it in (await venue.state()).faults] == ['skip']
        await venue.misbehave('forget', topic='trades')
        assert not (await venue.state()).subscribers('trades', BTC)
