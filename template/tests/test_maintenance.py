"""
Live orders while the venue is closed: nothing is lost, and the client is told.
"""

from __future__ import annotations

import os
import signal

import pytest
import trio

from minipiker.clearing import TradesStream, open_ems
from minipiker.clearing._messages import Status
from minipiker.clearing.testing import OpenLive, responses, wait_for


async def wait_for_reason(stream: TradesStream, oid: str) -> None:
    """
    Be told that it is not known how an order stands, and why.
    """
    async for msg in stream:
        if isinstance(msg, Status) and msg.oid == oid:
            assert msg.resp == 'pending', msg
            if msg.brokerd_msg.get('reason'):
                return


@pytest.mark.parametrize('brokerd', ['lives', 'dies'])
async def test_orders_outlast_maintenance(
    open_live: OpenLive,
    broker: str,
    brokerd: str,
) -> None:
    async with open_live() as live, open_ems(broker, 'live') as (client, stream, *_):
        resting = await client.send(live.order('buy', 0.7))
        await wait_for(stream, resting.oid, 'open')

        await live.venue.misbehave('maintenance')
        if brokerd == 'dies':
            process = live.services.service_tasks[f'brokerd.{broker}'].process
            os.kill(process.pid, signal.SIGKILL)
        else:  # which its heartbeats would lead to by and by
            await live.venue.misbehave('drop')
        with trio.fail_after(60):
            await wait_for_reason(stream, resting.oid)
            # what is asked for meanwhile waits, and says so
            order = await client.send(live.order('buy', 1.5))
            await wait_for_reason(stream, order.oid)

            await live.venue.behave()
            await live.venue.misbehave('maintenance', seconds=0.5)
            assert (await responses(stream, order.oid))[-1] == 'closed'
            await client.cancel(resting.oid)
            assert (await responses(stream, resting.oid))[-1] == 'canceled'
        account = await live.venue.account('simkey')
        assert [it.state for it in account.orders] == ['cancelled', 'filled']
