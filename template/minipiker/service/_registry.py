"""
Finding actors, and the tree itself.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager as acm
from contextlib import contextmanager as cm
from contextlib import suppress
from pathlib import Path

import tractor

from .. import config
from .._gate import get_key
from .._tractor import Addr, find_actor
from ..brokers import __brokers__


@acm
async def find_service(
    service_name: str,
    registry_addr: Addr | None = None,
) -> AsyncIterator[tractor.Portal | None]:
    """
    A portal to the daemon-actor `service_name`, or `None` where there is none.
    """
    async with find_actor(service_name, registry_addr) as portal:
        yield portal


@cm
def free_addr() -> Iterator[Addr]:
    """
    A loopback address for this process to listen at, which the kernel has found free,
    and gives to nobody else while the block is open.
    """
    with socket.socket() as held:
        # or it would be kept from us as well
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(('127.0.0.1', 0))
        host, port = held.getsockname()
        if sys.platform != 'linux':  # where it is all the same
            held.close()
        yield host, port


def _addr_file() -> Path:
    return config.get_conf_dir() / f'pikerd.{".".join(__brokers__)}.addr'


@cm
def publish_registry(addr: Addr) -> Iterator[None]:
    """
    Let other processes find this project's `pikerd` while the block runs, and get in:
    those of the same user, who alone can read the file.
    """
    host, port = addr
    file = _addr_file()
    content = f'{host} {port} {os.getpid()} {get_key().hex()}'
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f'.{file.name}.{os.getpid()}')
    aside.touch(mode=0o600)
    aside.write_text(content)
    aside.replace(file)  # in one step: nobody reads half of it
    try:
        yield
    finally:
        _remove(file, content)


def find_registry() -> Addr | None:
    """
    The registry's address of this project's running `pikerd`, if there is one. What a
    killed one left behind is cleared away.
    """
    file = _addr_file()
    try:
        content = file.read_text()
    except OSError:
        return None
    try:
        host, port, pid, _ = content.split()
        os.kill(int(pid), 0)
        with socket.create_connection((host, int(port)), timeout=1):
            return host, int(port)
    except (ConnectionRefusedError, ProcessLookupError, ValueError):
        _remove(file, content)
    except OSError:  # it does not answer
        pass
    return None


def find_pikerd() -> tuple[int, bytes] | None:
    """
    The pid of this project's `pikerd`, and what its tree knows each other by. It is not
    spoken to: it may hang.
    """
    try:
        _, _, pid, key = _addr_file().read_text().split()
        os.kill(int(pid), 0)
        return int(pid), bytes.fromhex(key)
    except (OSError, ValueError):
        return None


def _remove(file: Path, content: str) -> None:
    with suppress(FileNotFoundError):
        if file.read_text() == content:  # and not that of the next one
            file.unlink()


def find_key(addr: Addr) -> bytes:
    """
    What the `pikerd` at `addr` lets one in by.
    """
    try:
        host, port, _, key = _addr_file().read_text().split()
    except (OSError, ValueError):
        raise ConnectionError('there is no pikerd, or none of this user') from None
    if (host, int(port)) != addr:
        raise ConnectionError(f'the pikerd of this user is not at {addr}')
    return bytes.fromhex(key)
