"""
Trading from the command line.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import partial
from math import isfinite
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.table import Table
from typer.core import TyperCommand

from .._session import LoglevelOption, VenueOption, full, run
from .._terminal import cell, draw, fail, say
from ..brokers import __brokers__
from ..data.feed import open_feed
from ..service._registry import find_registry
from ._client import TradesStream, open_ems
from ._messages import ExecMode, Order, Status

app = typer.Typer()

(_broker,) = __brokers__


class Action(StrEnum):
    buy = 'buy'
    sell = 'sell'


LiveOption = Annotated[
    bool,
    typer.Option('--live', help='Trade for real, with the credentials you configured.'),
]
AccountOption = Annotated[
    str | None,
    typer.Option(help='Which account, where there are several.'),
]


class NumberCommand(TyperCommand):
    """
    A command to which a negative number is no option, but an argument.
    """

    # the context is click's, or that of typer's own copy of it
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.ignore_unknown_options = any(re.match(r'-[.\d]', it) for it in args)
        return super().parse_args(ctx, args)


@app.command(cls=NumberCommand)
def order(
    action: Annotated[Action, typer.Argument()],
    symbol: Annotated[str, typer.Argument(help='As `search` shows it')],
    size: Annotated[float, typer.Argument(help='How much of the dst asset')],
    price: Annotated[
        float | None,
        typer.Option(help='Limit; by default 1 % beyond the market.'),
    ] = None,
    dark: Annotated[
        bool,
        typer.Option('--dark', help='Keep it here until the market gets to the price.'),
    ] = False,
    live: LiveOption = False,
    account: AccountOption = None,
    yes: Annotated[bool, typer.Option('--yes', help='Do not ask.')] = False,
    venue: VenueOption = None,
    loglevel: LoglevelOption = 'warning',
) -> None:
    """
    Buy or sell, on paper unless told otherwise.

    Shows what happens to the order until it rests in a running pikerd or at a live
    venue, or is over.
    """
    if size < 0:
        fail(
            f'{size} is negative, and a size has no sign: type order buy {symbol} '
            f'{-size}, or order sell {symbol} {-size}'
        )
    if not (size and isfinite(size)):
        fail(f'an order of {size} cannot be placed: type a size above 0')
    if live and not yes:
        typer.confirm(f'{action} {size} {symbol} at {price or "market"}?', abort=True)
    run(
        partial(_order, action.value, full(symbol), size, price, dark, live, account),
        venue,
        loglevel,
    )


async def _order(
    action: Any,
    fqme: str,
    size: float,
    price: float | None,
    dark: bool,
    live: bool,
    account: str | None,
) -> None:
    # one at the market is over at once
    rests = price is not None and ((live and not dark) or find_registry() is not None)
    async with open_feed([fqme]) as feed:
        ((fqme, mkt),) = feed.mkts.items()
        last = feed.quotes[fqme]['last']
    if price is None:
        beyond = last * (1.01 if action == 'buy' else 0.99)
        price = float(mkt.quantize(beyond, 'price'))
    # not by the name of the market, or emsd would open a feed of it as well
    async with open_ems(_broker, _mode(live)) as (client, stream, _, accounts, _):
        request = Order(
            action=action,
            exec_mode='dark' if dark else 'live',
            oid=str(uuid4()),
            symbol=fqme,
            account=_choose(account, accounts, live),
            price=price,
            size=size,
            brokers=[_broker],
        )
        await client.send(request)
        await _follow(stream, request.oid, rests)


async def _follow(stream: TradesStream, oid: str, rests: bool) -> None:
    async for msg in stream:
        if not isinstance(msg, Status) or msg.oid != oid:
            continue
        detail = msg.brokerd_msg
        match msg.resp:
            case 'error':
                fail(detail['reason'])
            case 'fill':
                say('fill', detail['size'], 'at', detail['price'])
            case 'pending' if 'reason' in detail:
                say('pending', oid, detail['reason'])
            case _:
                say(msg.resp, oid)
        if msg.resp in ('closed', 'canceled'):
            return
        if rests and msg.resp in ('open', 'dark_open'):
            return


@app.command()
def cancel(
    oid: Annotated[str, typer.Argument(help='As `orders` shows it, or its beginning')],
    live: LiveOption = False,
    venue: VenueOption = None,
    loglevel: LoglevelOption = 'warning',
) -> None:
    """
    Cancel an order.
    """
    run(partial(_cancel, oid, live), venue, loglevel)


async def _cancel(prefix: str, live: bool) -> None:
    async with open_ems(_broker, _mode(live)) as (client, stream, _, accounts, dialogs):
        _check(accounts, live)
        found = [oid for oid in dialogs if oid.startswith(prefix)]
        if len(found) != 1:
            fail(f'{len(found)} open orders begin with {prefix!r}')
        await client.cancel(found[0])
        await _follow(stream, found[0], rests=False)


@app.command()
def orders(
    live: LiveOption = False,
    venue: VenueOption = None,
    loglevel: LoglevelOption = 'warning',
) -> None:
    """
    List the orders that are open.
    """
    run(partial(_orders, live), venue, loglevel)


async def _orders(live: bool) -> None:
    async with open_ems(_broker, _mode(live)) as (_, _, _, accounts, dialogs):
        _check(accounts, live)
    table = Table('order', 'account', 'market', 'state', 'action', 'size', 'price')
    for status in dialogs.values():
        if (it := status.req) is not None:
            row = (it.oid, it.account, it.symbol, status.resp, it.action)
            table.add_row(*map(cell, (*row, it.size, it.price)))
    draw(table)


@app.command()
def positions(
    live: LiveOption = False,
    venue: VenueOption = None,
    loglevel: LoglevelOption = 'warning',
) -> None:
    """
    List the positions.
    """
    run(partial(_positions, live), venue, loglevel)


async def _positions(live: bool) -> None:
    async with open_ems(_broker, _mode(live)) as (_, _, pps, accounts, _):
        _check(accounts, live)
    table = Table('account', 'market', 'size', 'average price')
    for by_fqme in pps.values():
        for it in by_fqme.values():
            if not it.size:
                continue
            row = (it.account, it.symbol, it.size, f'{it.avg_price:.8g}')
            table.add_row(*map(cell, row))
    draw(table)


def _mode(live: bool) -> ExecMode:
    return 'live' if live else 'paper'


def _check(accounts: list[str], live: bool) -> None:
    if live and accounts == ['paper']:
        upper = _broker.upper()
        fail(f'no credentials: set {upper}_API_KEY and {upper}_API_SECRET')


def _choose(account: str | None, accounts: list[str], live: bool) -> str:
    """
    The account that was named, with or without the broker; or the only one.
    """
    _check(accounts, live)
    named = [account, f'{_broker}.{account}'] if account else accounts
    match [it for it in accounts if it in named]:
        case [it]:
            return it
    fail(f'which account? type --account, and one of {", ".join(accounts)}')
