"""
A pytest plugin: the suite on a venue that is there already.

    pytest --venue URL [--symbol X]     all that needs no simulator, one test at a time
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import typer

from ._session import full
from ._tractor import collapse
from .brokers import BrokerError, __brokers__, get_brokermod
from .proof import needs_of
from .testing import open_test_pikerd, run_async

(_broker,) = __brokers__

_looked_at: int = 20
"""Markets that are asked for their last trade, at most."""
_often: float = 60
"""Seconds since the last trade of a market that trades often."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    if config.getoption('--venue'):
        # the venue counts what comes from one address, and from one account
        config.option.numprocesses = 0


def pytest_sessionstart(session: pytest.Session) -> None:
    """
    Find a market, where none was named.
    """
    config = session.config
    url: str | None = config.getoption('--venue')
    listing = config.getoption('--ids') or config.option.collectonly
    if not url or listing or config.getoption('--symbol'):
        return
    try:
        found = run_async(find_symbol, url)
    except Exception as err:
        if not isinstance(reason := collapse(err), BrokerError):
            raise
        raise pytest.UsageError(str(reason)) from None
    config.option.symbol = found or ask(
        config, 'No market was found that trades often. Which one does'
    )
    if not config.option.symbol:
        raise pytest.UsageError(
            f'none of {_looked_at} markets there has traded for {_often:g} s: '
            'type --symbol and the name of one that trades often, '
            'as `minipiker search` shows it'
        )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if not config.getoption('--venue'):
        return
    for item in items:
        if needs_of(item) == 'simulator':
            item.add_marker(
                pytest.mark.skip(
                    'needs a venue that can be disturbed: run without --venue'
                )
            )


def pytest_report_header(config: pytest.Config) -> list[str]:
    if not config.getoption('--venue'):
        return []
    symbol: str | None = config.getoption('--symbol')
    return [f'venue: {config.getoption("--venue")}, {full(symbol) if symbol else ""}']


def ask(config: pytest.Config, question: str, *, hidden: bool = False) -> str:
    """
    The answer; '' where there is nobody to ask. It is asked before the first test, when
    pytest captures nothing yet but stdin.
    """
    capture: Any = config.pluginmanager.get_plugin('capturemanager')
    capture.suspend_global_capture(in_=True)
    try:
        if not sys.stdin.isatty():
            return ''
        answer: str = typer.prompt(question, hide_input=hidden, err=True)
        return answer
    except typer.Abort:
        raise pytest.exit.Exception('no answer', returncode=2) from None
    finally:
        capture.resume_global_capture()
        capture.suspend_global_capture()


async def find_symbol(url: str) -> str:
    """
    The first market of the venue that trades often, '' where there is none: of those
    that do not expire, those first whose asset has the most markets.
    """
    mod = get_brokermod(_broker)
    symbols = import_module(f'{mod.__name__}._symbols')
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        # what is configured is for another venue
        patch.setenv('XDG_CONFIG_HOME', folder)
        for name in [it for it in os.environ if it.startswith(f'{_broker.upper()}_')]:
            patch.delenv(name)
        async with (
            open_test_pikerd(Path(folder), url=url),
            mod.get_client() as client,
        ):
            mkts = [
                await symbols.mk_mkt(client, pair)
                for pair in (await client.get_mkt_pairs()).values()
            ]
            markets_of = Counter(mkt.dst.name for mkt in mkts)
            mkts = [mkt for mkt in mkts if not mkt.expiry]
            mkts.sort(key=lambda mkt: -markets_of[mkt.dst.name])
            for mkt in mkts[:_looked_at]:
                trades, _ = await client.get_trades(
                    mkt.bs_mktid, count=1, newest_first=True
                )
                if trades and time.time() - trades[0].timestamp / 1000 < _often:
                    return str(mkt.bs_fqme)
    return ''
