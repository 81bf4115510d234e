"""
What the suite needs to test order dialogs.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from ._client import TradesStream
from ._messages import Order, Status


def mk_order(
    symbol: str,
    action: str,
    price: float,
    size: float,
    account: str = 'paper',
    **fields: Any,
) -> Order:
    """
    A new order. Nothing is checked: it may be a bad one.
    """
    return Order(
        action=action,  # type: ignore[arg-type]
        exec_mode=fields.pop('exec_mode', 'live'),
        oid=str(uuid4()),
        symbol=symbol,
        account=account,
        price=price,
        size=size,
        **fields,
    )


def mk_account(
    api_key: str = 'simkey',
    api_secret: str = 'simsecret',
) -> dict[str, Any]:
    """
    The account `main`, as the backend's section of `brokers.toml` has it.
    """
    credentials = {'api_key': api_key, 'api_secret': api_secret}
    return {'accounts': {'main': 'main'}, 'main': credentials}


async def wait_for(stream: TradesStream, oid: str, resp: str) -> Status:
    """
    The next status `resp` of an order.
    """
    async for msg in stream:
        if isinstance(msg, Status) and msg.oid == oid:
            if msg.resp == resp:
                return msg
            if msg.resp in ('error', 'closed', 'canceled'):
                raise AssertionError(f'{resp} expected: {msg}')
    raise AssertionError('the stream ended')


async def responses(stream: TradesStream, oid: str) -> list[str]:
    """
    What an order goes through up to its end.
    """
    resps: list[str] = []
    while not {'closed', 'canceled', 'error', 'triggered'} & {*resps}:
        msg = await stream.receive()
        if isinstance(msg, Status) and msg.oid == oid:
            resps.append(msg.resp)
    return resps


def order_of(status: Status) -> Order:
    """
    The order that a status is of.
    """
    assert status.req
    return status.req
