"""
What a backend says of orders, and piker drops or is killed by, is an error here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager as acm
from contextlib import suppress
from decimal import Decimal
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
import trio
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from minipiker._tractor import open_nursery
from minipiker.accounting import Asset, MktPair
from minipiker.clearing import OrderClient
from minipiker.clearing._dark import Market, Markets
from minipiker.clearing._dialog import (
    Client,
    Dialog,
    EmsLagged,
    IllegalTransition,
    transitions,
)
from minipiker.clearing._messages import (
    BadBrokerdMsg,
    BrokerdError,
    BrokerdFill,
    BrokerdOrderAck,
    BrokerdPosition,
    BrokerdStatus,
    Cancel,
    Order,
    Status,
    check_positions,
)
from minipiker.clearing._relay import TradesRelay
from minipiker.clearing.testing import mk_order

FQME = 'btcusdt.spot.x'
ACCOUNT = 'x.main'
REQID = 'reqid'
ORDER = mk_order(FQME, 'buy', 60_000.0, 0.5, ACCOUNT)
BTC, USDT = (Asset(it, 'crypto', Decimal('0.01')) for it in ('btc', 'usdt'))
MKT = MktPair(BTC, Decimal('0.5'), Decimal('0.1'), 'BTC-USDT', 'x', USDT, 'spot')

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


Talk = Callable[..., Awaitable[list[dict[str, Any]]]]


async def tell(*msgs: Struct | dict[str, Any]) -> list[str]:
    """
    Let the host hear `msgs` from a backend that was given `ORDER`. What its client is
    told.
    """
    async with open_nursery() as nursery:
        relay = TradesRelay(Markets(nursery), 'x', 'live')
        relay.accounts = [ACCOUNT]
        client = Client(FQME)
        relay.clients.add(client)
        await relay.on_client_msg(client, to_builtins(ORDER))
        told: list[str] = []
        for msg in msgs:
            relay.on_brokerd_msg(to_builtins(msg))
        client.fail(EmsLagged('enough'))
        async for status in client.unsent:
            told.append(getattr(status, 'resp', status.name))
    return told


async def test_the_life_of_an_order() -> None:
    told = await tell(ACK, OPEN, FILL, CLOSED, POSITION, FOUND)
    assert told == ['pending', 'open', 'fill', 'closed', 'position', 'open']
    # late news of what is over, and errors of what nobody asked for, do no harm
    unknown = BrokerdError('no such order', FQME, oid='?')
    told = await tell(ACK, CLOSED, OPEN, FILL, unknown)
    assert told == ['pending', 'closed']


@acm
async def open_relay() -> AsyncIterator[tuple[TradesRelay, Talk, list[str]]]:
    """
    A relay that was given `ORDER`, a client's side of it, and what a backend hears.
    """
    send_chan, requests = trio.open_memory_channel[Any](100)
    async with open_nursery() as nursery:
        relay = TradesRelay(Markets(nursery), 'x', 'live')
        relay.accounts = [ACCOUNT]
        relay.to_brokerd = send_chan
        client = Client(FQME)
        relay.clients.add(client)
        heard: list[str] = []

        async def talk(*msgs: Struct) -> list[dict[str, Any]]:
            for msg in msgs:
                if isinstance(msg, Order | Cancel):
                    await relay.on_client_msg(client, to_builtins(msg))
                else:
                    relay.on_brokerd_msg(to_builtins(msg))
            with suppress(trio.WouldBlock):
                while True:
                    it = requests.receive_nowait()
                    heard.append(f'{it.action} {getattr(it, "price", "")}')
            told: list[dict[str, Any]] = []
            with suppress(trio.WouldBlock):
                while True:
                    told.append(to_builtins(client.unsent.receive_nowait()))
            return told

        await talk(ORDER)
        yield relay, talk, heard


def at(price: float) -> Order:
    return replace(ORDER, price=price)


def open_at(price: float) -> BrokerdStatus:
    return replace(OPEN, broker_details={'name': 'x', 'price': price, 'size': 0.5})


REFUSED = BrokerdError('no', oid=ORDER.oid, reqid=REQID)


async def test_a_change_waits_for_the_order() -> None:
    """
    Or what is refused would come to life by it, as an order that nobody knows of.
    """
    async with open_relay() as (relay, talk, heard):
        await talk(at(1.0), ACK, at(2.0))
        assert heard == ['buy 60000.0']
        await talk(REFUSED)
        assert (relay.dialogs, len(heard)) == ({}, 1)
    async with open_relay() as (relay, talk, heard):
        await talk(at(1.0), ACK, at(2.0), OPEN)
        assert heard == ['buy 60000.0', 'buy 2.0']


async def test_a_change_waits_for_a_daemon_that_has_the_order() -> None:
    """
    The next one is asked for what the last may have given to the broker.
    """
    async with open_relay() as (relay, talk, heard):
        (dialog,) = relay.dialogs.values()
        await talk(ACK, at(2.0))
        relay.request(dialog)  # as to a daemon that has just started
        await talk(ACK, OPEN)
        assert heard == ['buy 60000.0', 'buy 60000.0', 'buy 2.0']


async def test_a_change_of_an_order_that_no_daemon_has_heard_of() -> None:
    async with open_relay() as (relay, talk, heard):
        relay.to_brokerd, to_brokerd = None, relay.to_brokerd
        other = replace(ORDER, oid='other')
        await talk(other, replace(other, price=0.01))
        relay.to_brokerd = to_brokerd
        relay.request(relay.dialogs['other'])
        await talk(replace(ACK, oid='other'), OPEN)
        assert heard[1:] == ['buy 60000.0', 'buy 0.01']


async def test_an_order_that_the_next_daemon_finds() -> None:
    """
    It says so once, whatever the last one came to say.
    """

    def found_at(price: float) -> Status:
        order = replace(at(price), symbol='btcusdt.spot')
        return replace(FOUND, oid=ORDER.oid, reqid=REQID, req=order)

    async with open_relay() as (relay, talk, heard):
        (dialog,) = relay.dialogs.values()
        *_, told = await talk(at(2.0), found_at(60_000.0))
        assert (told['resp'], told['reqid']) == ('open', REQID)
        assert heard == ['buy 60000.0', 'buy 2.0']
        # the change was carried out, and so is not once more
        (told,) = await talk(found_at(2.0), ACK)
        assert told['req']['price'] == 2.0
        assert (dialog.order, dialog.accepted) == (at(2.0), at(2.0))
    async with open_relay() as (_, talk, heard):
        cancel = Cancel(ORDER.oid, FQME)
        await talk(ACK, at(2.0), cancel, found_at(60_000.0))
        assert heard == ['buy 60000.0', 'cancel ']


def add_client(
    relay: TradesRelay,
) -> tuple[Client, Callable[[Order], Awaitable[list[str]]]]:
    """
    Another client, and what it is told by the time that it was answered for an order.
    """
    client = Client(FQME)
    relay.clients.add(client)

    async def ask(order: Order) -> list[str]:
        await relay.on_client_msg(client, to_builtins(order))
        told: list[str] = []
        with suppress(trio.WouldBlock):
            while True:
                told.append(to_builtins(client.unsent.receive_nowait())['resp'])
        return told

    return client, ask


async def test_who_asks_again_is_told_once_of_what_was_before() -> None:
    """
    What it asks for after that are changes, each of which would tell of the fills anew.
    """
    async with open_relay() as (relay, talk, _):
        await talk(ACK, OPEN, FILL)
        _, ask = add_client(relay)
        assert await ask(at(60_000.0)) == ['fill']
        assert await ask(at(2.0)) == []
        await talk(CLOSED)
        assert await ask(at(2.0)) == ['closed', 'error']


async def test_an_order_that_ends_before_it_is_asked_for_again() -> None:
    """
    Who comes between its fill and its end is told of both, in their order, and once.
    """
    async with open_relay() as (relay, talk, _):
        await talk(ACK, OPEN, FILL)
        _, ask = add_client(relay)
        await talk(CLOSED)
        assert await ask(ORDER) == ['fill', 'closed', 'error']
        assert await ask(ORDER) == ['error']
        # and who comes after both, as soon as it asks
        _, ask = add_client(relay)
        assert await ask(ORDER) == ['fill', 'closed']
        assert await ask(ORDER) == ['error']


async def test_which_orders_a_client_caught_up_on_is_bounded() -> None:
    """
    By those that were there before it: of later ones it heard all there was.
    """
    async with open_relay() as (relay, talk, _):
        await talk(ACK, OPEN, FILL)
        client, ask = add_client(relay)
        await ask(ORDER)
        for reqid in map(str, range(100)):
            order = replace(ORDER, oid=f'later-{reqid}')
            await ask(order)
            ack, fill, end = (replace(it, reqid=reqid) for it in (ACK, FILL, CLOSED))
            await talk(replace(ack, oid=order.oid), fill)
            assert await ask(order) == ['pending', 'fill']
            await talk(end)
            assert await ask(order) == ['closed', 'error']
        assert client._caught_up == {ORDER.oid}


async def test_which_of_two_changes_was_refused() -> None:
    async with open_relay() as (relay, talk, _):
        (dialog,) = relay.dialogs.values()
        await talk(ACK, open_at(60_000.0))

        await talk(at(1.0), at(2.0), ACK, ACK, open_at(1.0), REFUSED)
        assert (dialog.order, dialog.accepted) == (at(1.0), at(1.0))
        await talk(at(3.0), at(4.0), ACK, ACK, REFUSED, open_at(4.0))
        assert (dialog.order, dialog.accepted) == (at(4.0), at(4.0))
        # a fill that crosses a change
        await talk(at(5.0), FILL, open_at(4.0), REFUSED)
        assert dialog.order == at(4.0)
        # and one that was made elsewhere
        (told,) = await talk(open_at(6.0))
        assert (told['resp'], told['req']['price'], dialog.order) == (
            'open',
            6.0,
            at(6.0),
        )


@pytest.mark.parametrize(
    'changes',
    [{'action': 'sell'}, {'account': 'x.other'}, {'symbol': 'ethusdt.spot.x'}],
)
async def test_what_an_order_keeps(changes: dict[str, Any]) -> None:
    async with open_relay() as (_, talk, heard):
        (error,) = (await talk(ACK, OPEN, replace(ORDER, **changes)))[2:]
        assert 'cannot change the' in error['brokerd_msg']['reason']
        assert heard == ['buy 60000.0']


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
    'an order found that says not by whom': (replace(FOUND, src=None),),
    'an order found in a market with its broker': (
        replace(FOUND, req=replace(ORDER, symbol=FQME)),
    ),
    'an order found that is over': (replace(FOUND, resp='closed'),),
    'an error of no order, without symbol': (BrokerdError('no such order', oid='?'),),
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


async def test_what_an_order_may_become() -> None:
    """
    All states are in the table, and what is in no row of it is refused, loudly and
    before anything has changed.
    """
    assert set(transitions) == {*get_args(get_type_hints(Status)['resp'])}
    assert {it for nexts in transitions.values() for it in nexts} <= set(transitions)

    # kept here: no broker can have it, whatever its daemon says
    dark = replace(ORDER, exec_mode='dark', price=1.0)
    asks = Market(MKT, 60_000.0)
    for msg in (ACK, replace(FOUND, oid=dark.oid)):
        async with open_nursery() as nursery:
            relay = TradesRelay(Markets(nursery), 'x', 'live')
            relay._arm(Client(None), dark, asks)
            (dialog,) = relay.dialogs.values()
            with pytest.raises(IllegalTransition, match="'dark_open' and cannot"):
                relay.on_brokerd_msg(to_builtins(msg))
            assert (dialog.status.resp, dialog.accepted) == ('dark_open', None)
            assert not relay._oids
        assert list(asks.triggers) == [dark.oid]
        # a quote that gets there sends it to the broker, once
        asks.on_tick({'type': 'ask', 'price': 1.0})
        assert (dialog.status.resp, asks.triggers) == ('triggered', {})
        relay.on_brokerd_msg(to_builtins(ACK))


@pytest.mark.parametrize('resp', sorted(transitions))
def test_the_end_of_an_order(resp: str) -> None:
    """
    What is over is so by the table, and nothing follows it; of an alert it is the
    trigger.
    """
    status = Status(0, ORDER.oid, resp)  # type: ignore[arg-type]
    dialog = Dialog(status, ORDER)
    assert dialog.is_over == (resp in ('closed', 'canceled', 'error'))
    for other in set(transitions) - set(transitions[resp]):
        with pytest.raises(IllegalTransition):
            dialog.advance(replace(status, resp=other))
        assert dialog.status is status
    alert = Dialog(status, replace(ORDER, action='alert'))
    assert alert.is_over == (dialog.is_over or resp == 'triggered')


@pytest.mark.parametrize(
    ('action', 'resps', 'is_over'),
    [
        ('buy', 'pending', False),
        ('buy', 'pending error', True),
        ('buy', 'pending open error', False),
        ('buy', 'pending open pending error', False),
        ('buy', 'pending open fill closed error', True),
        ('buy', 'dark_open error', False),
        ('buy', 'dark_open triggered', False),
        ('buy', 'dark_open triggered pending error', True),
        ('alert', 'dark_open triggered', True),
    ],
)
def test_a_client_forgets_what_is_over(action: str, resps: str, is_over: bool) -> None:
    """
    And not the order of which a change was refused.
    """
    order = replace(ORDER, action=action)
    names: list[Any] = resps.split()
    first, *later = (Status(0, order.oid, resp, req=order) for resp in names)
    nowhere: Any = None
    client = OrderClient(nowhere, {order.oid: first})
    for status in later:
        client._on_status(status)
    left = {} if is_over else {order.oid: order}
    assert client._sent_orders == left
    assert client._taken <= {*left}
