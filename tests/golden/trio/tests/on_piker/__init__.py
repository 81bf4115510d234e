"""
deribit2 on piker itself: inside a real `pikerd`, against the venue that
`DERIBIT2_URL` names, in the market `DERIBIT2_SYMBOL`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from piker.brokers import get_brokermod
from piker.service import Services

BROKER = 'deribit2'
URL = os.environ.get('DERIBIT2_URL', '')
SYMBOL = os.environ.get('DERIBIT2_SYMBOL', '')
"""A market of the venue that trades often, as a user would type it."""
# a simulated one lets everybody be quick; and where history ends, some versions of
# piker open a debugger
SECTION = f"""\
[{BROKER}]
pace = {30 if '//127.0.0.1:' in URL else 1}
deep_history = true
"""
"""Of `brokers.toml`."""

ours: Any = import_module(f'piker.brokers.{BROKER}._daemon')

Main = Callable[[], Awaitable[None]]
Run = Callable[..., None]
"""What the fixture `run` is."""


async def get_fqme() -> str:
    """
    The market's full name.
    """
    mkt, _ = await get_brokermod(BROKER).get_mkt_info(SYMBOL)
    return str(mkt.fqme)


def check_daemons() -> None:
    """
    Where piker has a `datad`, charts and orders on paper do without a `brokerd`.
    """
    daemons = Services.service_tasks.keys()
    if f'datad.{BROKER}' in daemons:
        assert f'brokerd.{BROKER}' not in daemons
    else:
        assert f'brokerd.{BROKER}' in daemons
