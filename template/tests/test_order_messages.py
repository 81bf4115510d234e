"""
What a backend says of orders, and piker drops or is killed by, is an error here.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from minipiker._tractor import open_nursery
from minipiker.clearing._ems import (
    BadBrokerdMsg,
    Client,
    Router,
    TradesRelay,
    check_positions,
)
from minipiker.clearing._messages import (
    BrokerdError,
    BrokerdFill,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdStatus,
    Order,
    Status,
)
from minipiker.clearing.testing import mk_order

FQME = 'btcusdt.spot.x'
ACCOUNT = 'x.main'
REQID = 'reqid'
ORDER = mk_order(FQME, 'buy', 60_000.0, 0.5, ACCOUNT)

ACK = BrokerdOrderAck(REQID, ORDER.oid, ACCOUNT)
OPEN = BrokerdStatus(0, REQID, 'open', broker_details={'name': 'x'})
FILL = BrokerdFill(0, 0.0, REQID, 0.5, 60_000.0, action='buy')
CLOSED = replace(OPEN, status='closed')
POSITION = BrokerdPosition('x', ACCOUNT, FQME, 0.5, 60_000.0)
FOUND = Status(
    0,
    'found',
    'open',
    reqid='found',
    src='x',
    req=Order(
        action='sell',
        exec_mode='live',
        oid='found',
        symbol='btcusdt.spot',
        account=ACCOUNT,
        price=70_000.0,
        size=0.5,
    ),
)


async def tell(*msgs: Struct | dict[str, Any]) -> list[str]:
    """
    Let the host hear `msgs` from a backend that was given `ORDER`. What its client is
    told.
    """
    async with open_nursery() as nursery:
        relay = TradesRelay(Router(nursery), 'x', 'live')
        relay.accounts = [ACCOUNT]
        client = Client(FQME)
        relay.clients.add(client)
        await relay.on_client_msg(client, to_builtins(ORDER))
        told: list[str] = []
        for msg in msgs:
            relay.on_brokerd_msg(to_builtins(msg))
        client.fail()
        async for status in client.unsent:
            told.append(status.get('resp', status['name']))
    return told


async def test_the_life_of_an_order() -> None:
    told = await tell(ACK, OPEN, FILL, CLOSED, POSITION, FOUND)
    assert told == ['pending', 'open', 'fill', 'closed', 'position', 'open']
    # late news of what is over, and errors of what nobody asked for, do no harm
    told = await tell(ACK, CLOSED, OPEN, FILL, BrokerdError('no such order', oid='?'))
    assert told == ['pending', 'closed']


ENTRIES = to_builtins(OPEN)
BAD_MSGS: dict[str, tuple[Struct | dict[str, Any], ...]] = {
    'a status before the ack': (OPEN, ACK),
    'a fill before the ack': (FILL, ACK),
    'a reqid of another type': (replace(ACK, reqid=7), replace(OPEN, reqid='7')),
    'an unknown status': (ACK, {**ENTRIES, 'status': 'filled'}),
    'a status of no broker': (ACK, replace(OPEN, broker_details={})),
    'a price in text': (ACK, {**to_builtins(FILL), 'price': '60000.0'}),
    'a fill without time': (ACK, {**to_builtins(FILL), 'broker_time': None}),
    'a position of another account': (replace(POSITION, account='x.other'),),
    'an account without its broker': (replace(POSITION, account='main'),),
    'a position in a market of no broker': (replace(POSITION, symbol='btcusdt.spot'),),
    'an order found without reqid': (replace(FOUND, reqid=None),),
    'an order found without price': (replace(FOUND, req=replace(ORDER, price=0.0)),),
    'an order found without size': (replace(FOUND, req=replace(ORDER, size=0.0)),),
    'something else': ({'name': 'hello'},),
}


@pytest.mark.parametrize('msgs', BAD_MSGS.values(), ids=BAD_MSGS)
async def test_bad_messages(msgs: tuple[Struct | dict[str, Any], ...]) -> None:
    with pytest.raises((BadBrokerdMsg, msgspec.ValidationError)):
        await tell(*msgs)


def test_what_a_dialog_starts_with() -> None:
    position = to_builtins(POSITION)
    assert check_positions([position], [ACCOUNT]) == {('x', ACCOUNT): {FQME: POSITION}}
    with pytest.raises(BadBrokerdMsg, match='unique'):
        check_positions([position], [ACCOUNT, ACCOUNT])
    with pytest.raises(BadBrokerdMsg, match='none of the accounts'):
        check_positions([position], [])
