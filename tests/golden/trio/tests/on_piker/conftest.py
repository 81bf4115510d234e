"""
What the suite runs on: a tree of piker's, with a configuration of its own.
"""

from __future__ import annotations

import fcntl
import inspect
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import tractor
import trio

from piker import config
from piker.service import Services, maybe_open_emsd, maybe_open_pikerd

from . import BROKER, SYMBOL, URL, Main, Run, ours
from .orders import configure


@pytest.fixture
def conf_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    A configuration of the test's own, for all its actors. In lowercase, since piker
    makes the path so.
    """
    home = Path(tempfile.gettempdir(), f'piker-{uuid4().hex}')
    folder = home / 'piker'
    (folder / 'accounting').mkdir(parents=True)
    configure(folder)
    for name in ('HOME', 'XDG_CONFIG_HOME'):
        monkeypatch.setenv(name, str(home))
    monkeypatch.delenv('SUDO_USER', raising=False)
    # this process has looked it up when it imported piker
    monkeypatch.setattr(config, '_config_dir', folder)
    yield folder
    shutil.rmtree(home)


@pytest.fixture
def run(conf_dir: Path) -> Iterator[Run]:
    """
    `run(main, *daemons)` runs `main()` as the root of a tree of piker's own, with its
    daemons up, and those that further functions spawn.
    """
    if not (URL and SYMBOL):
        pytest.skip(
            f'{BROKER.upper()}_URL and {BROKER.upper()}_SYMBOL name no venue and market'
        )
    # piker's port is one for all
    with Path(tempfile.gettempdir(), 'piker-registry.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda main, *daemons: run_on_pikerd(main, conf_dir, daemons)


def run_on_pikerd(main: Main, conf_dir: Path, daemons: tuple[Any, ...]) -> None:
    # of the one before: where a spawn fails, piker never lets go of its lock
    Services.locks.clear()
    Services.service_tasks.clear()
    done = False

    async def root() -> None:
        nonlocal done
        with trio.fail_after(120):
            async with (
                maybe_open_pikerd(
                    loglevel='critical',
                    debug_mode=False,
                    tractor_runtime_overrides={'piker_test_dir': str(conf_dir)},
                    **registry(),
                ) as services,
                AsyncExitStack() as stack,
            ):
                assert services is Services, 'somebody else runs a pikerd here'
                # whoever spawns a daemon ends it on leaving: not the test's parts
                spawns = [ours.maybe_spawn_datad, *daemons]
                spawns.insert(1, maybe_open_emsd)
                for spawn in spawns:
                    daemon = spawn(BROKER, loglevel='critical')
                    await stack.enter_async_context(daemon)
                await main()
                done = True

    try:
        trio.run(root)
    except BaseException as err:
        # piker's own end is one of them, on some versions
        if not done or not all(
            isinstance(it, tractor.ContextCancelled) for it in leaves(err)
        ):
            raise


def registry() -> dict[str, object]:
    """
    Where to put the registry, in the words of this version of piker.
    """
    if 'registry_addrs' in inspect.signature(maybe_open_pikerd).parameters:
        # its subactors look for it nowhere else
        return {'registry_addrs': [('127.0.0.1', 6116)]}
    with socket.create_server(('127.0.0.1', 0)) as server:
        return {'registry_addr': server.getsockname()}


def leaves(err: BaseException) -> Iterator[BaseException]:
    if isinstance(err, BaseExceptionGroup):
        for it in err.exceptions:
            yield from leaves(it)
    else:
        yield err
