"""
Between a client and the simulated venue: at each line of input whoever subscribed to a
market's trades is sent many of them, as fast as he takes them. No simulator is fast
enough for that.

The first line of output is where clients connect, instead of to the venue.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from contextlib import suppress
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import bench_wire as wire

_chunk: int = 2**16
_writing = threading.Lock()
"""Or a heartbeat of the venue's might get in between the halves of a trade."""


def mk_frame(message: bytes) -> bytes:
    """
    A message of the venue's as it is on the wire: of text, whole, and not masked.
    """
    size = len(message)
    head = bytes([0x81, size]) if size < 126 else b'\x81\x7e' + size.to_bytes(2, 'big')
    return head + message


def mk_trades(market: str, trade: dict[str, Any], count: int, each: int) -> bytes:
    """
    The `count` trades that come after `trade`, `each` of them a message.
    """
    # numbers, as venues write them
    trade |= {name: float(trade[name]) for name in ('price', 'amount')}
    trade |= {name: int(trade[name]) for name in ('seq', 'id', 'timestamp')}
    return b''.join(
        mk_frame(
            json.dumps(
                wire.mk_message(market, trade, at, each), separators=(',', ':')
            ).encode()
        )
        for at in range(1, count + 1, each)
    )


def relay(
    client: socket.socket,
    venue: socket.socket,
    market: str,
    subscribers: Queue[socket.socket],
) -> None:
    """
    Pass on what the venue says, and note who has subscribed.
    """
    while said := venue.recv(_chunk):
        with _writing:
            client.sendall(said)
        if wire.has_subscribed(said, market):
            subscribers.put(client)


def forward(source: socket.socket, sink: socket.socket) -> None:
    while said := source.recv(_chunk):
        sink.sendall(said)


def quietly(function: object, *args: object) -> None:
    try:
        function(*args)  # type: ignore[operator]
    except OSError:
        pass
    finally:
        for it in args:
            if isinstance(it, socket.socket):
                it.close()


def main(url: str, market: str, trade: str, count: str, each: str) -> None:
    venue_at = urlsplit(url)
    assert venue_at.hostname
    assert venue_at.port
    flood = mk_trades(market, json.loads(trade), int(count), int(each))
    first = mk_trades(market, json.loads(trade), int(each), int(each))
    subscribers: Queue[socket.socket] = Queue()

    def serve() -> None:
        while True:
            client, _ = server.accept()
            venue = socket.create_connection((venue_at.hostname, venue_at.port))
            for it in (client, venue):
                it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for args in (
                (relay, client, venue, market, subscribers),
                (forward, client, venue),
            ):
                threading.Thread(target=quietly, args=args, daemon=True).start()

    with socket.create_server(('127.0.0.1', 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        host, port = server.getsockname()
        print(f'{venue_at.scheme}://{host}:{port}{venue_at.path}', flush=True)
        for _ in sys.stdin:
            subscriber = subscribers.get()
            with suppress(OSError), _writing:
                # so that what comes of the others is not over before it is measured
                subscriber.sendall(flood[: len(first)])
                time.sleep(0.1)
                subscriber.sendall(flood[len(first) :])


if __name__ == '__main__':
    main(*sys.argv[1:])
