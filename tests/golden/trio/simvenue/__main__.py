"""
Run the exchange: `python -m simvenue`.

The first line on stdout is its URL, the second that of its controls. SIGINT and SIGTERM
end it.
"""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import trio

from . import dialect
from .accounts import Credentials
from .clock import Clock
from .controls import ControlPort
from .engine import Engine
from .instruments import LISTED
from .journal import Journal
from .lifetime import wait_for_eof
from .recording import Recording, RecordingError
from .replay import Replay
from .server import Server
from .tradefile import TradeFile, TradeFileError


def _number(
    type: type[int | float], least: float, most: float
) -> Callable[[str], int | float]:
    def parse(text: str) -> int | float:
        with suppress(ValueError):
            if least <= (value := type(text)) <= most:
                return value
        kind = 'a whole number' if type is int else 'a number'
        raise ArgumentTypeError(f'{text!r} is not {kind} from {least:,} to {most:,}')

    return parse


def parse_options(argv: list[str] | None = None) -> Namespace:
    port, positive = _number(int, 0, 65_535), _number(float, 0.001, 1_000_000)
    parser = ArgumentParser(prog='simvenue', description='A simulated exchange.')
    add = parser.add_argument
    add('--port', type=port, default=0, help='on loopback; 0: any free one')
    add('--controls-port', type=port, default=0, help='likewise, of the controls')
    add('--seed', type=int, default=0, help='of all prices')
    add(
        '--rate',
        type=_number(float, 0, 1_000_000),
        default=8,
        help='trades per second and instrument',
    )
    add(
        '--epoch',
        type=_number(int, LISTED, 10**13),
        help='what time it is at the start, in epoch ms (default: now)',
    )
    add('--speed', type=positive, default=1, help='pace of time')
    add(
        '--markets',
        type=_number(int, 0, 100_000),
        default=0,
        metavar='N',
        help='list N instruments at least: more strikes of options, or currencies',
    )
    add(
        '--trades',
        type=Path,
        metavar='CSV',
        help='the trades of markets: timestamp, instrument, price, amount, side',
    )
    add(
        '--replay',
        type=Path,
        metavar='FILE',
        help='say what another venue said, which `minipiker record` has recorded',
    )
    add(
        '--pace',
        choices=('recorded', 'full'),
        default='recorded',
        help='of what is replayed; full: as fast as clients can read',
    )
    add(
        '--state',
        type=Path,
        metavar='FILE',
        help='keep here what a restart must not forget: time, traits, what clients did',
    )
    add(
        '--until-eof',
        action='store_true',
        help='end when stdin does, that is, with the process that holds its other end',
    )
    for name, (default, meaning) in dialect.LIMITS.items():
        option = f'--{name.replace("_", "-")}'
        add(option, type=positive, default=default, help=meaning)
    return parser.parse_args(argv)


def open_venue(options: Namespace) -> Server:
    """
    The venue as the options want it. Raises `RecordingError`,
    `TradeFileError`, `OSError`, `ValueError`.
    """
    journal = Journal(options.state)
    if clocks := journal.take('clock', tuple[int, float, float]):
        epoch, since, speed = clocks[-1]
        clock = Clock(epoch, speed, since)
    else:
        clock = Clock(options.epoch, options.speed)
    trades = TradeFile(options.trades, options.seed) if options.trades else None
    if trades and options.epoch is None and not clocks:
        clock.set(trades.start, options.speed)
    replayed = Recording.read(options.replay) if options.replay else None
    if replayed:
        clock.set(int(1000 * replayed.start), options.speed)
    traits = dict(dialect.TRAITS)
    for differing in journal.take('traits', dict[str, Any]):
        traits |= differing
    engine = Engine(
        clock,
        journal,
        dialect.LISTING,
        dialect,
        traits=traits,
        seed=options.seed,
        rate=options.rate,
        markets=options.markets,
        trades=trades,
        credentials=_credentials(),
    )
    if not clocks:
        journal.append('clock', (clock.epoch, clock.since, clock.speed))
    limits = {name: getattr(options, name) for name in dialect.LIMITS}
    server = Server(engine, limits)
    server.dialect = dialect.Dialect(server)
    if replayed:
        pace = 0 if options.pace == 'full' else options.speed
        server.dialect = Replay(server.dialect, replayed, pace)
    return server


def _credentials() -> dict[str, Credentials]:
    accounts = os.environ.get(
        'SIMVENUE_ACCOUNTS', '{"simkey": {"secret": "simsecretkey"}}'
    )
    try:
        return msgspec.json.decode(accounts, type=dict[str, Credentials])
    except msgspec.DecodeError as err:
        raise ValueError(f'SIMVENUE_ACCOUNTS: {err}') from None


async def run(options: Namespace) -> int:
    server = open_venue(options)
    async with trio.open_nursery() as nursery:

        async def until_signal() -> None:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

        async def until_eof() -> None:
            await wait_for_eof()
            nursery.cancel_scope.cancel()

        async def listen(port: int) -> trio.SocketListener:
            try:
                (listener,) = await trio.open_tcp_listeners(port, host='127.0.0.1')
            except OSError as err:
                err.filename = f'port {port}'
                raise
            return listener

        nursery.start_soon(until_signal)
        if options.until_eof:
            nursery.start_soon(until_eof)
        venue, controls = (
            await listen(options.port),
            await listen(options.controls_port),
        )
        hosts = [f'127.0.0.1:{it.socket.getsockname()[1]}' for it in (venue, controls)]
        try:
            print(dialect.URL.format(host=hosts[0]))
            print(f'http://{hosts[1]}', flush=True)
        except BrokenPipeError:
            # whoever wanted to know is gone, and Python would try again in the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            nursery.cancel_scope.cancel()
        nursery.start_soon(ControlPort(server).serve, controls)
        await server.serve(venue)
    return int(isinstance(server.dialect, Replay) and server.dialect.missed > 0)


def main(argv: list[str] | None = None) -> None:
    """
    The exit status is 1 if a replay was asked for what was not recorded.
    """
    options = parse_options(argv)
    try:
        sys.exit(trio.run(run, options))
    except* (RecordingError, TradeFileError, OSError, ValueError) as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, OSError):
            error = ValueError(f'{error.filename}: {error.strerror}')
        sys.exit(f'simvenue: {error}')
    except* KeyboardInterrupt:  # before `until_signal()` waits for one
        sys.exit(130)


if __name__ == '__main__':
    main()
