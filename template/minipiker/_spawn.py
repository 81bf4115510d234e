"""
The processes that actors start: with what command and in what environment.
"""

from __future__ import annotations

import os
from ast import literal_eval
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager as cm
from contextvars import ContextVar
from typing import Any

import trio

from ._gate import get_key
from .brokers import __brokers__

_key_variable: str = 'MINIPIKER_KEY'

_settings: tuple[str, ...] = ('_PACE', '_RECORD', '_URL', '_WIRE')
"""Of a backend, what ends so is no credential."""

_on_spawn: ContextVar[Callable[[trio.Process], object]] = ContextVar('_on_spawn')
_open_process: Callable[..., Awaitable[trio.Process]] = trio.lowlevel.open_process


@cm
def tell_of_spawns(tell: Callable[[trio.Process], object]) -> Iterator[None]:
    """
    Call `tell` with each process that an actor is started in from within the block.

    For a child that dies before it has connected the runtime waits for ever, and lets
    nobody have its process until then.
    """
    token = _on_spawn.set(tell)
    try:
        yield
    finally:
        _on_spawn.reset(token)


async def _open_process_and_tell(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> trio.Process:
    env = dict(os.environ if env is None else env)
    name = ''
    if 'tractor._child' in command:
        command = list(command)
        command[command.index('tractor._child')] = 'minipiker._child'
        name, _ = literal_eval(command[command.index('--uid') + 1])
        env[_key_variable] = get_key().hex()
    if not name.startswith('brokerd.'):
        env = without_credentials(env)
    process = await _open_process(command, env=env, **options)
    if tell := _on_spawn.get(None):
        tell(process)
    return process


def without_credentials(env: Mapping[str, str]) -> dict[str, str]:
    """
    An environment for whoever is not a `brokerd`: of what there is for a backend, only
    its settings.

    `pikerd` itself cannot be spared: a process keeps what the shell started it with,
    for its owner to see. Who minds that writes credentials to `brokers.toml`.
    """
    prefixes = tuple(f'{name.upper()}_' for name in __brokers__)
    return {
        name: value
        for name, value in env.items()
        if not name.startswith(prefixes) or name.endswith(_settings)
    }


def take_key() -> bytes:
    """
    The tree's key, that the parent gave to this process, and that is for nobody whom
    this one may start.
    """
    return bytes.fromhex(os.environ.pop(_key_variable))


# both runtimes look it up here
trio.lowlevel.open_process = _open_process_and_tell  # type: ignore[assignment]
