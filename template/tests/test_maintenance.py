"""
Live orders while the venue is closed: nothing is lost, and the client is told.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio

from minipiker.clearing import TradesStream, open_ems
from minipiker.clearing._messages import Status
from minipiker.clearing.testing import mk_account, mk_order, responses, wait_for
from minipiker.testing import open_test_pikerd
from simvenue.process import open_simvenue

pytestmark = pytest.mark.disturbs_venue


async def wait_for_reason(stream: TradesStream, oid: str, reason: str) -> None:
    """
    Be told that it is not known how an order stands, and why.
    """
    async for msg in stream:
        if isinstance(msg, Status) and msg.oid == oid:
            assert msg.resp == 'pending', msg
            if reason in msg.brokerd_msg.get('reason', ''):
                return


@pytest.mark.parametrize('brokerd', ['lives', 'dies'])
async def test_orders_outlast_maintenance(
    tmp_path: Path,
    broker: str,
    brokerd: str,
) -> None:
    fqme, account = f'btcusdt.spot.{broker}', f'{broker}.main'
    async with (
        open_simvenue(rate=0) as venue,
        open_test_pikerd(tmp_path, url=venue.url, **mk_account()) as services,
        open_ems(broker, 'live') as (client, stream, *_),
    ):
        resting = await client.send(mk_order(fqme, 'buy', 40_000, 0.1, account))
        await wait_for(stream, resting.oid, 'open')

        await venue.fault('maintenance', count=1000)
        if brokerd == 'dies':
            process = services.service_tasks[f'brokerd.{broker}'].process
            os.kill(process.pid, signal.SIGKILL)
        with trio.fail_after(60):
            await wait_for_reason(stream, resting.oid, 'temporarily unavailable')
            # what is asked for meanwhile waits, and says so
            order = await client.send(mk_order(fqme, 'buy', 100_000, 0.2, account))
            await wait_for_reason(stream, order.oid, 'temporarily unavailable')

            await venue.call('sim/clear_faults')
            await venue.fault('maintenance', count=6)
            assert (await responses(stream, order.oid))[-1] == 'closed'
            await client.cancel(resting.oid)
            assert (await responses(stream, resting.oid))[-1] == 'canceled'
        state = await venue.call('sim/account', account='simkey')
        assert [it['order_state'] for it in state['orders']] == ['cancelled', 'filled']
