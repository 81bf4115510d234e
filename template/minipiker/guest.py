"""
A pytest plugin: async tests run as the daemons do whose client lives on asyncio, with
trio as the guest of its loop.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from typing import Any

import pytest
import tractor
import trio
from tractor.to_asyncio import run_as_asyncio_guest

from . import testing
from ._tractor import root_kwargs
from .service._registry import free_addr
from .testing import T, _timeout


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        'markers', 'in_actor: a test that is an actor, and leaves no asyncio task'
    )
    # the runtime says so to each actor that it spawns, but not to every root
    actor_type = getattr(tractor, 'Actor', None) or tractor._actor.Actor
    actor_type._infected_aio = True
    testing.runner = run_as_guest


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """
    Have an async test run by pytest itself, since it can be called then.
    """
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        in_actor = pyfuncitem.get_closest_marker('in_actor') is not None
        pyfuncitem.obj = as_guest(pyfuncitem.obj, in_actor)


@pytest.fixture
def silent(
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[None]:
    """
    Fails a test that prints or logs anything.
    """
    yield
    assert capfd.readouterr() == ('', '')
    # where asyncio says what it finds fault with
    assert not caplog.get_records('call')


def run_as_guest(main: Callable[[], Awaitable[T]]) -> T:
    result: list[T] = []

    async def note_result() -> None:
        result.append(await main())

    run_as_asyncio_guest(note_result)
    return result[0]


def as_guest(
    test: Callable[..., Awaitable[None]],
    in_actor: bool,
) -> Callable[..., None]:
    @wraps(test)
    def run_test(**fixtures: Any) -> None:
        async def main() -> None:
            with trio.fail_after(_timeout):
                if not in_actor:
                    await test(**fixtures)
                    return
                with free_addr() as addr:
                    async with tractor.open_root_actor(
                        loglevel='critical', **root_kwargs(addr)
                    ):
                        before = asyncio.all_tasks()
                        await test(**fixtures)
                        assert asyncio.all_tasks() <= before

        run_as_guest(main)

    return run_test
