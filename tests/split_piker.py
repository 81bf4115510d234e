"""A stand-in for the piker that has a `datad` beside its `brokerd`.

Such a piker is not to be had where this is written. So an older checkout is split as
the upstream document says: a pair of `_daemon` modules, feeds from a `datad`, and a
`brokerd` that the order dialog alone boots, which enables a backend's order control and
no more.
"""

from __future__ import annotations

from pathlib import Path

DAEMON = """\
from contextlib import asynccontextmanager as acm

import tractor
import trio

from piker.brokers import get_brokermod


@tractor.context
async def _setup_persistent_KIND(
    ctx: tractor.Context,
    brokername: str,
    loglevel: str | None = None,
) -> None:
    async with trio.open_nursery() as tn:
        SETUP
        await ctx.started()
        await trio.sleep_forever()


def KIND_init(brokername, loglevel=None, **kwargs):
    mod = get_brokermod(brokername)
    submods = [f'{mod.__name__}.{name}' for name in mod._KIND_mods]
    kwargs['name'] = f'KIND.{brokername}'
    kwargs['enable_modules'] = [__name__, *MODULES, *submods]
    return mod, kwargs | mod._spawn_kwargs, _setup_persistent_KIND


async def spawn_KIND(brokername, loglevel=None, **kwargs):
    from piker.service import Services

    _, kwargs, fixture = KIND_init(brokername, loglevel, **kwargs)
    portal = await Services.actor_n.start_actor(**kwargs)
    await Services.start_service_task(
        kwargs['name'], portal, fixture, brokername=brokername, loglevel=loglevel
    )
    return True


@acm
async def maybe_spawn_KIND(brokername, loglevel=None, **kwargs):
    from piker.service import maybe_spawn_daemon

    async with maybe_spawn_daemon(
        f'KIND.{brokername}',
        service_task_target=spawn_KIND,
        spawn_args={'brokername': brokername},
        loglevel=loglevel,
        **kwargs,
    ) as portal:
        yield portal
"""

DAEMONS = {
    'piker/data/_daemon.py': {
        'KIND': 'datad',
        'SETUP': "import_module('piker.data.feed').get_feed_bus(brokername, tn)",
        'MODULES': "['piker.data.feed', 'piker.data._sampling']",
    },
    'piker/brokers/_daemon.py': {
        'KIND': 'brokerd',
        'SETUP': 'pass',
        'MODULES': '[]',
    },
}

EDITS = {
    'piker/data/feed.py': [
        (
            'from piker.service import (\n    maybe_spawn_brokerd,\n)',
            'from ._daemon import maybe_spawn_datad',
        ),
        ('            maybe_spawn_brokerd(', '            maybe_spawn_datad('),
        ("assert 'brokerd' in servicename", "assert 'datad' in servicename"),
    ],
    'piker/service/_actor_runtime.py': [
        (
            "    'piker.brokers._daemon',\n",
            "    'piker.brokers._daemon',\n    'piker.data._daemon',\n",
        ),
    ],
    'piker/clearing/_ems.py': [
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
        (checkout / path).write_text(f'from importlib import import_module\n{source}')
    for path, edits in EDITS.items():
        source = (checkout / path).read_text()
        for before, after in edits:
            assert source.count(before) == 1, (path, before)
            source = source.replace(before, after)
        (checkout / path).write_text(source)
