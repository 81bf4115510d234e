"""
Finding actors, and the tree itself.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager as acm
from contextlib import contextmanager as cm
from pathlib import Path

import tractor

from .. import config
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


def free_addr() -> Addr:
    """
    A loopback address that the kernel has just found free.
    """
    with socket.create_server(('127.0.0.1', 0)) as server:
        host, port = server.getsockname()
        return host, port


def _addr_file() -> Path:
    return config.get_conf_dir() / f'pikerd.{".".join(__brokers__)}.addr'


@cm
def publish_registry(addr: Addr) -> Iterator[None]:
    """
    Let other processes find this project's `pikerd` while the block runs.
    """
    host, port = addr
    file = _addr_file()
    content = f'{host} {port} {os.getpid()}'
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    try:
        yield
    finally:
        if file.exists() and file.read_text() == content:
            file.unlink()


def find_registry() -> Addr | None:
    """
    The registry's address of this project's running `pikerd`, if there is one.
    """
    try:
        host, port, pid = _addr_file().read_text().split()
        os.kill(int(pid), 0)
        with socket.create_connection((host, int(port)), timeout=1):
            return host, int(port)
    except (OSError, ValueError):  # no file, no process, no server, half a file
        return None
