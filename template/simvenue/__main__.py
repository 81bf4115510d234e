"""
Run the exchange: `python -m simvenue`.

The first line on stdout is its URL. SIGINT and SIGTERM end it.
"""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from functools import partial
from pathlib import Path

import trio

from .clock import Clock
from .instruments import LISTED, LISTING, Instrument
from .journal import Journal
from .market import Market
from .methods import install_all
from .process import wait_for_eof
from .server import Venue
from .source import RecordingError, Source, Synthetic, read_recording


def _number(text: str, *, above: float = 0, type: type[int | float] = float) -> float:
    value = type(text)
    if not above <= value < float('inf'):
        raise ArgumentTypeError(f'{text} is out of range')
    return value


def parse_options(argv: list[str] | None = None) -> Namespace:
    positive = partial(_number, above=1e-3)
    parser = ArgumentParser(prog='simvenue', description='A simulated exchange.')
    add = parser.add_argument
    add('--port', type=int, default=0, help='on loopback; 0: any free one')
    add('--seed', type=int, default=0, help='of all prices')
    add(
        '--rate',
        type=_number,
        default=8,
        help='trades per second and instrument; candles are their exact sum from 4 on',
    )
    add(
        '--epoch',
        type=partial(_number, above=LISTED, type=int),
        help='what time it is at the start, in epoch ms (default: now)',
    )
    add('--speed', type=positive, default=1, help='pace of time')
    add(
        '--replay',
        type=Path,
        metavar='CSV',
        help='recorded trades: timestamp, instrument, price, amount, side',
    )
    add(
        '--state',
        type=Path,
        metavar='FILE',
        help='keep here what a restart must not forget: time, trades made by clients',
    )
    add('--requests-per-second', type=positive, default=500, help='per connection')
    add('--burst', type=int, default=500, help='requests allowed at once')
    add(
        '--until-eof',
        action='store_true',
        help='end when stdin does, that is, with the process that holds its other end',
    )
    return parser.parse_args(argv)


def open_venue(options: Namespace) -> Venue:
    """
    The venue as the options want it. Raises `RecordingError`.
    """
    sources: dict[str, tuple[Instrument, Source]] = {
        instrument.instrument_name: (
            instrument,
            Synthetic(instrument, price, options.seed, options.rate),
        )
        for instrument, price in LISTING.items()
    }
    epoch = options.epoch
    if options.replay:
        recorded = read_recording(options.replay, options.seed)
        sources |= {it.instrument_name: (it, recorded[it]) for it in recorded}
        if epoch is None:
            epoch = min(recording.start for recording in recorded.values())

    journal = Journal(options.state)
    if clocks := journal.take('clock', tuple[int, float]):
        epoch, since = clocks[0]
        clock = Clock(epoch, options.speed, since)
    else:
        clock = Clock(epoch, options.speed)
        journal.append('clock', (clock.epoch, clock.since))
    venue = Venue(
        clock,
        journal,
        [
            Market(instrument, source, clock, seed=options.seed, journal=journal)
            for instrument, source in sources.values()
        ],
        options.requests_per_second,
        options.burst,
    )
    install_all(venue)
    return venue


async def run(options: Namespace) -> None:
    venue = open_venue(options)
    async with trio.open_nursery() as nursery:

        async def until_signal() -> None:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

        async def until_eof() -> None:
            await wait_for_eof()
            nursery.cancel_scope.cancel()

        def started(port: int) -> None:
            try:
                print(f'ws://127.0.0.1:{port}', flush=True)
            except BrokenPipeError:
                # whoever wanted to know is gone, and Python would try again in the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                nursery.cancel_scope.cancel()

        nursery.start_soon(until_signal)
        if options.until_eof:
            nursery.start_soon(until_eof)
        await venue.serve(options.port, started)


def main() -> None:
    options = parse_options()
    try:
        trio.run(run, options)
    except* (RecordingError, OSError) as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        sys.exit(f'simvenue: {error}')


if __name__ == '__main__':
    main()
