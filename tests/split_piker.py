"""A stand-in for the piker that has a `datad` beside its `brokerd`.

Such a piker is not to be had where this is written. So an older checkout is split as
the authors of piker say that they have: a pair of `_daemon` modules, with a list of a
backend's modules for each; feeds, charts and searches by a `datad`; and a `brokerd`
that `open_brokerd_dialog()` alone boots, not for a backend that cannot trade.
"""

from __future__ import annotations

from pathlib import Path

DAEMON = """\
from contextlib import asynccontextmanager as acm

import tractor
import trio

from piker.brokers import get_brokermod
from piker.log import get_console_log

_KIND_service_mods: list[str] = MODULES


@tractor.context
async def _setup_persistent_KIND(
    ctx: tractor.Context,
    brokername: str,
    loglevel: str | None = None,
) -> None:
    get_console_log(loglevel or tractor.current_actor().loglevel, name='KIND')
SETUP

def INIT(brokername, loglevel=None, **start_actor_kwargs):
    mod = get_brokermod(brokername)
    modpath = mod.__name__
    start_actor_kwargs['name'] = f'KIND.{brokername}'
    start_actor_kwargs.update(getattr(mod, '_spawn_kwargs', {}))
    submods = getattr(mod, '_KIND_mods', None)
    if submods is None:
        submods = getattr(mod, '__enable_modules__', [])
    start_actor_kwargs['enable_modules'] = [
        __name__,
        modpath,
        *(f'{modpath}.{submodname}' for submodname in submods),
    ]
    return mod, start_actor_kwargs, _setup_persistent_KIND


async def spawn_KIND(brokername, loglevel=None, **tractor_kwargs):
    from piker.service import Services

    mod, tractor_kwargs, daemon_fixture_ep = INIT(
        brokername, loglevel, **tractor_kwargs
    )
REFUSAL
    dname = tractor_kwargs.pop('name')
    mods = _KIND_service_mods + tractor_kwargs.pop('enable_modules')
    portal = await Services.actor_n.start_actor(
        dname,
        enable_modules=list(dict.fromkeys(mods)),
        debug_mode=Services.debug_mode,
        **tractor_kwargs,
    )
    await Services.start_service_task(
        dname, portal, daemon_fixture_ep, brokername=brokername, loglevel=loglevel
    )
    return True


@acm
async def maybe_spawn_KIND(brokername, loglevel=None, **pikerd_kwargs):
    from piker.service import maybe_spawn_daemon

    async with maybe_spawn_daemon(
        f'KIND.{brokername}',
        service_task_target=spawn_KIND,
        spawn_args={'brokername': brokername},
        loglevel=loglevel,
        **pikerd_kwargs,
    ) as portal:
        yield portal
"""

DAEMONS = {
    'piker/data/_daemon.py': {
        'KIND': 'datad',
        'INIT': 'datad_init',
        'MODULES': """[
    'piker.brokers.core',
    'piker.brokers.data',
    'piker.data',
    'piker.data.feed',
    'piker.data._sampling',
]""",
        'SETUP': """\
    from . import feed

    assert not feed._bus
    async with trio.open_nursery() as service_nursery:
        bus = feed.get_feed_bus(brokername, service_nursery)
        assert bus is feed._bus
        await ctx.started()
        await trio.sleep_forever()
""",
        'REFUSAL': '',
    },
    'piker/brokers/_daemon.py': {
        'KIND': 'brokerd',
        'INIT': 'broker_init',
        'MODULES': '[]',
        'SETUP': """\
    await ctx.started()
    await trio.sleep_forever()
""",
        'REFUSAL': """\
    from piker.data.validate import _eps

    if not any(hasattr(mod, name) for name in _eps['brokerd']):
        raise RuntimeError(f'{brokername} cannot trade')
""",
    },
}

# Who went to the one daemon for market data.
TO_DATAD = [
    'piker/brokers/cli.py',
    'piker/brokers/core.py',
    'piker/ui/_app.py',
    'piker/ui/cli.py',
]

EDITS = {
    'piker/data/feed.py': [
        (
            'from piker.service import (\n    maybe_spawn_brokerd,\n)',
            'from ._daemon import maybe_spawn_datad',
        ),
        ('            maybe_spawn_brokerd(', '            maybe_spawn_datad('),
        ("assert 'brokerd' in servicename", "assert 'datad' in servicename"),
    ],
    'piker/service/__init__.py': [
        (
            '    maybe_spawn_brokerd as maybe_spawn_brokerd,\n)\n',
            """\
    maybe_spawn_brokerd as maybe_spawn_brokerd,
)
from ..data._daemon import (
    spawn_datad as spawn_datad,
    maybe_spawn_datad as maybe_spawn_datad,
)
""",
        ),
    ],
    'piker/accounting/cli.py': [
        (
            'portal,\n                        exec_mode=(',
            'portal=portal,\n                        exec_mode=(',
        ),
    ],
    'piker/service/_actor_runtime.py': [
        (
            "    'piker.brokers._daemon',\n",
            "    'piker.brokers._daemon',\n    'piker.data._daemon',\n",
        ),
    ],
    'piker/clearing/_ems.py': [
        (
            """\
    portal: tractor.Portal,
    exec_mode: str,
    fqme: str | None = None,
    loglevel: str | None = None,

)""",
            """\
    exec_mode: str,
    fqme: str | None = None,
    loglevel: str | None = None,
    *,
    portal: tractor.Portal | None = None,

)""",
        ),
        ('portal = feed.portals[brokermod]', 'portal = None'),
        (
            'open_trades_endpoint = portal.open_context(\n            trades_endpoint,',
            'open_trades_endpoint = open_in_brokerd(\n'
            '            broker, portal, trades_endpoint,',
        ),
        (
            '@acm\nasync def open_brokerd_dialog(',
            """\
@acm
async def open_in_brokerd(broker, portal, endpoint):
    from piker.service import maybe_spawn_brokerd

    if portal is not None:
        async with portal.open_context(endpoint) as opened:
            yield opened
        return
    async with (
        maybe_spawn_brokerd(broker) as portal,
        portal.open_context(endpoint) as opened,
    ):
        yield opened


@acm
async def open_brokerd_dialog(""",
        ),
    ],
}


def split_piker(checkout: Path) -> None:
    """Give `checkout` a `datad` and a `brokerd`."""
    for path, words in DAEMONS.items():
        source = DAEMON
        for word, replacement in words.items():
            source = source.replace(word, replacement)
        (checkout / path).write_text(source)
    for path in TO_DATAD:
        source = (checkout / path).read_text()
        assert 'maybe_spawn_brokerd' in source, path
        (checkout / path).write_text(
            source.replace('maybe_spawn_brokerd', 'maybe_spawn_datad')
        )
    for path, edits in EDITS.items():
        source = (checkout / path).read_text()
        for before, after in edits:
            assert source.count(before) == 1, (path, before)
            source = source.replace(before, after)
        (checkout / path).write_text(source)
