"""
The backend's workbench: see it stream, search, load history and run.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import trio
import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ._session import LoglevelOption, VenueOption, full, run
from ._terminal import cell, console, draw, fail, natural_width, plain, say
from ._tractor import open_nursery, registry_addr
from .accounting import MktPair
from .brokers import __brokers__
from .clearing import cli as clearing_cli
from .data._daemon import maybe_spawn_datad
from .data._sampling import maybe_spawn_samplerd, open_sample_stream
from .data.feed import Feed, open_feed
from .data.search import open_search
from .data.tsp import load_history
from .recordings import cli as recordings_cli
from .service import find_service, maybe_open_pikerd
from .service._daemon import list_services
from .service._liveness import ActorInfo, actor_info
from .service._registry import find_pikerd

app = typer.Typer(
    help='Run deribit2 on a small piker, against a simulated venue.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(clearing_cli.app)

app.add_typer(recordings_cli.app)

(_broker,) = __brokers__

_SPARE = (
    *(('trades',), ('size',), ('bid size', 'ask size'), ('age',)),
    ('bid', 'ask'),
)
"""Columns of quotes that a narrow terminal does without, the first one first."""
_MAX_BARS = 10_000
"""More than fit on any terminal, and no more than a few pages of a venue's history."""


@app.callback()
def options(
    wire: Annotated[
        bool, typer.Option('--wire', help='Show each message from and to the venue.')
    ] = False,
) -> None:
    if wire:
        recordings_cli.listen('WIRE', '1')


@app.command()
def pikerd(
    until_eof: Annotated[
        bool, typer.Option('--until-eof', help='End when stdin does, too.')
    ] = False,
    venue: VenueOption = None,
    loglevel: LoglevelOption = 'info',
) -> None:
    """
    Run the root of the actor tree, for the other commands to join, until Ctrl-C.
    """
    run(partial(_pikerd, until_eof), venue, loglevel)


async def _wait_for_eof() -> None:
    """
    Block until stdin ends: with the process that holds its other end, however that
    ends.
    """
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
        while await stdin.receive_some():
            pass


async def _pikerd(until_eof: bool) -> None:
    async with maybe_open_pikerd() as root:
        if root is not None:
            fail('a pikerd is running already')
    host, port = registry_addr()
    say(f'pikerd of {_broker} at {host}:{port}, pid {os.getpid()}')
    wait = _wait_for_eof if until_eof else trio.sleep_forever
    await wait()


@app.command()
def quotes(
    symbols: Annotated[list[str], typer.Argument(help='As `search` shows it')],
    count: Annotated[
        int, typer.Option(min=0, help='End after so many quotes, or lines; 0: never')
    ] = 0,
    venue: VenueOption = None,
    loglevel: LoglevelOption = 'warning',
) -> None:
    """
    Show live quotes: a table on a terminal, a line a trade elsewhere.
    """
    run(partial(_quotes, [full(s) for s in symbols], count), venue, loglevel)


async def _quotes(fqmes: list[str], count: int) -> None:
    async with open_feed(fqmes) as feed:
        if not console.is_terminal:
            await _print_trades(feed, count)
            return
        rows = {fqme: dict(quote) for fqme, quote in feed.quotes.items()}
        for row in rows.values():
            _update_row(row, row)
        seen = 0

        async def redraw() -> None:
            async with open_sample_stream(0.25) as steps:
                async for _ in steps:
                    live.update(_quotes_table(feed.mkts, rows, seen), refresh=True)

        table = _quotes_table(feed.mkts, rows, 0)
        with Live(table, console=console, auto_refresh=False) as live:
            async with open_nursery() as tn:
                tn.start_soon(redraw)
                async for msg in feed:
                    for fqme, quote in msg.items():
                        _update_row(rows[fqme], quote)
                        seen += 1
                    if count and seen >= count:
                        break
                tn.cancel_scope.cancel()


async def _print_trades(feed: Feed, count: int) -> None:
    printed = 0
    async for msg in feed:
        for fqme, quote in msg.items():
            for tick in quote['ticks']:
                if tick['type'] != 'trade':
                    continue
                when = _utc(tick['time']).isoformat()
                # with all digits, however small it is
                size = f'{Decimal(str(tick["size"])):f}'
                say(when, fqme, tick['price'], size)
                printed += 1
                if printed == count:
                    return


def _utc(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)


def _update_row(row: dict[str, Any], quote: dict[str, Any]) -> None:
    for tick in quote['ticks']:
        match tick:
            case {'type': 'trade', 'price': price, 'size': size}:
                row |= {'last': price, 'size': size}
                row['trades'] = row.get('trades', 0) + 1
            case {'type': 'bid' | 'ask' as side, 'price': price, 'size': size}:
                row |= {side: price, f'{side[0]}size': size}
    row['broker_ts'] = quote['broker_ts']


def _quotes_table(
    mkts: dict[str, MktPair], rows: dict[str, dict[str, Any]], seen: int
) -> Table:
    cells = [_quote_cells(mkts[fqme], row) for fqme, row in rows.items()]
    columns = list(cells[0])
    for spare in (*_SPARE, ()):
        table = Table(caption=f'{seen} quotes · Ctrl-C to end')
        for name in columns:
            table.add_column(name, justify='left' if name == 'market' else 'right')
        for row in cells:
            table.add_row(*(row[name] for name in columns))
        if natural_width(table) <= console.width:
            break
        columns = [name for name in columns if name not in spare]
    return table


def _quote_cells(mkt: MktPair, row: dict[str, Any]) -> dict[str, Text]:
    """
    By the names of their columns.
    """
    prices, sizes = mkt.price_tick_digits, mkt.size_tick_digits
    return {
        'market': cell(mkt.fqme),
        'last': _number(row.get('last'), prices, 'bold'),
        'size': _number(row.get('size'), sizes),
        'bid size': _number(row.get('bsize'), sizes),
        'bid': _number(row.get('bid'), prices, 'green'),
        'ask': _number(row.get('ask'), prices, 'red'),
        'ask size': _number(row.get('asize'), sizes),
        'trades': cell(row.get('trades', 0)),
        'age': cell(f'{max(0.0, time.time() - row["broker_ts"]):.1f} s'),
    }


def _number(value: float | None, digits: int, style: str = '') -> Text:
    return cell('' if value is None else f'{value:,.{digits}f}', style)


@app.command()
def search(
    pattern: Annotated[str, typer.Argument(help='Part of a symbol')],
    venue: VenueOption = None,
    loglevel: LoglevelOption = 'warning',
) -> None:
    """
    List the markets that match a pattern.
    """
    run(partial(_search, pattern), venue, loglevel)


async def _search(pattern: str) -> None:
    async with open_search(_broker) as find:
        matches = await find(pattern)
    if not matches:
        fail(f'no market matches {pattern!r}')
    for bs_fqme in matches:
        say(f'{bs_fqme}.{_broker}')


@app.command()
def history(
    symbol: Annotated[str, typer.Argument(help='As `search` shows it')],
    timeframe: Annotated[int, typer.Option(help='Seconds a bar')] = 60,
    count: Annotated[int, typer.Option(min=1, max=_MAX_BARS, help='Bars')] = 120,
    venue: VenueOption = None,
    loglevel: LoglevelOption = 'warning',
) -> None:
    """
    Draw a market's latest bars.
    """
    run(partial(_history, full(symbol), timeframe, count), venue, loglevel)


async def _history(fqme: str, timeframe: int, count: int) -> None:
    import plotext  # takes a while, and nothing else needs it

    bars = await load_history(fqme, timeframe, count)
    plotext.date_form('Y-m-d H:M:S')
    plotext.plotsize(console.width, min(24, console.height))
    for part in (plotext.canvas_color, plotext.axes_color, plotext.ticks_color):
        part('default')  # of the terminal, which may be dark
    plotext.candlestick(
        plotext.datetimes_to_string([_utc(epoch) for epoch in bars['time']]),
        {
            name.title(): bars[name].tolist()
            for name in ('open', 'close', 'high', 'low')
        },
    )
    plotext.title(f'{plain(fqme)}, {bars.size} bars of {timeframe} s')
    draw(Text.from_ansi(plotext.build()))


@app.command()
def tree(venue: VenueOption = None, loglevel: LoglevelOption = 'warning') -> None:
    """
    Show the actor tree: every actor's pid, and the modules that others may call.
    """
    run(_tree, venue, loglevel)


async def _tree() -> None:
    async with maybe_open_pikerd() as root:
        if root is None:  # a tree of our own: show it with the data path up
            async with maybe_spawn_datad(_broker), maybe_spawn_samplerd():
                pass
            info, services = await actor_info(), await list_services()
        else:
            info, services = await root.run(actor_info), await root.run(list_services)

        branch = Tree(_describe(info))
        for name in services:
            async with find_service(name) as portal:
                if portal is not None:
                    branch.add(_describe(await portal.run(actor_info)))
    draw(branch)


def _describe(info: ActorInfo) -> Text:
    lines = [Text.assemble(cell(info['name'], 'bold'), cell(f' pid {info["pid"]}'))]
    lines += [cell(name, 'dim') for name in info['enable_modules']]
    return Text('\n').join(lines)


@app.command()
def diagnose(
    tasks: Annotated[
        bool, typer.Option('--tasks', help='Show the tasks of each actor, too.')
    ] = False,
    as_json: Annotated[bool, typer.Option('--json', help='For programs.')] = False,
) -> None:
    """
    Say what is wrong with the tree that runs, and hangs. Exit status 1 if anything is.
    """
    from ._diagnosis import to_json, to_tables, to_tree
    from .service._diagnose import diagnose as look_at

    if (root := find_pikerd()) is None:
        fail('no pikerd is running')
    diagnosis = look_at(*root)
    if as_json:
        say(to_json(diagnosis))
    else:
        for table in to_tables(diagnosis):
            draw(table)
        for actor in diagnosis.actors if tasks else ():
            draw(to_tree(actor))
        for finding in diagnosis.findings or ['nothing wrong is seen']:
            say(finding)
    raise SystemExit(1 if diagnosis.findings else 0)


@app.command()
def ready(
    as_json: Annotated[bool, typer.Option('--json', help='For programs.')] = False,
) -> None:
    """
    Show how far the backend is: what the tests have proved, where and when.
    """
    from .ready import show  # takes a while, and nothing else needs it

    show(as_json)


def main() -> None:
    app(prog_name='python -m minipiker')
