"""Rules broken in any backend, whatever it is: code as an author may add it."""

from __future__ import annotations

from .edits import INIT, Mutants

ANYWHERE: Mutants = {
    'PK001': [(INIT, '', '\nLIMIT = 3  # piker: ignore[PK722] there was one here\n')],
    'PK002': [(INIT, '', '\nLIMIT = 3  # piker: ignore[PK722]\n')],
    'PK003': [(INIT, '', '\nLIMIT = 3  # piker: ignore[PK7222] says why\n')],
    'PK105': [(INIT, '', "\nname: str = 'venue'\n")],
    'PK125': [
        (
            '*symbols.py',
            '',
            """

@tractor.context
async def watch_listings(ctx: tractor.Context, every: float) -> None:
    async with ctx.open_stream() as stream:
        while stream:
            await stream.send([])
            await trio.sleep(every)
""",
        )
    ],
    'PK126': [
        (
            '*feed.py',
            '',
            """

async def beat(ws, task_status=trio.TASK_STATUS_IGNORED):
    while True:
        await ws.send_msg({'op': 'ping'})
        await trio.sleep(5)


async def open_beating(ws):
    async with trio.open_nursery() as nursery:
        await nursery.start(beat, ws)
        yield ws
""",
        )
    ],
    'PK302': [
        (
            'daemons.py',
            '',
            """
def datad_init(brokername, loglevel=None, **start_actor_kwargs):
    mod = get_brokermod(brokername)
    enabled = start_actor_kwargs['enable_modules'] = [__name__, mod.__name__]
    enabled += [f'{mod.__name__}.{it}' for it in mod._datad_mods]
    start_actor_kwargs['name'] = f'datad.{brokername}'
    return mod, start_actor_kwargs, _setup_persistent_datad
""",
        )
    ],
    'PK304': [
        (
            '*feed.py',
            '',
            """

async def get_relay(an):
    async with tractor.query_actor('relay') as (addr, portal):
        if addr:
            return addr
    return await an.run_in_actor(work, name='relay')
""",
        )
    ],
    'PK305': [
        (
            'daemons.py',
            '',
            """
def broker_init(brokername, loglevel=None, **kwargs):
    mod = get_brokermod(brokername)
    kwargs.update(getattr(mod, '_spawn_kwargs', {}))
    if 'open_trade_dialog' not in get_eps(mod, 'brokerd'):
        raise RuntimeError(f'{brokername} cannot trade')
    return mod, kwargs, None
""",
        )
    ],
    'PK306': [
        (
            '*symbols.py',
            'async def open_symbol_search(ctx: tractor.Context) -> None:\n',
            'async def open_symbol_search(ctx: tractor.Context) -> None:\n'
            '    from piker import log\n\n    log.get_console_log()\n',
        )
    ],
    'PK407': [
        (
            '*symbols.py',
            '',
            """

@async_lifo_cache
async def get_lot_size(fqme: str) -> float:
    mkt, _ = await get_mkt_info(fqme)
    return float(mkt.size_tick)
""",
        )
    ],
    'PK405': [
        (
            '*symbols.py',
            '',
            """
_folder = tractor._state._runtime_vars.get('piker_vars', {}).get('piker_test_dir')
""",
        )
    ],
    'PK506': [
        (
            '*feed.py',
            '',
            """

class Ticker:
    def __init__(self, loop, client):
        self.send, self.events = trio.open_memory_channel(64)
        loop.run_in_executor(None, self.pump, client)

    def pump(self, client):
        for event in client.events():
            self.send.send_nowait(event)
""",
        )
    ],
    'PK602': [
        (
            '*feed.py',
            '',
            """

async def ask(portal, what):
    try:
        return await portal.run(what)
    except (tractor.RemoteActorError, OSError) as remote:
        return None if remote.type is KeyError else what
""",
        )
    ],
    'PK603': [
        (
            '*feed.py',
            '',
            """

async def run_over_there(portal, what):
    async with portal.open_context(what) as (context, first):
        if first:
            return await context.result()
""",
        )
    ],
    'PK604': [
        (
            '*feed.py',
            '',
            """

def is_ours(portal, ours):
    addr = portal.channel.raddr
    return portal.channel.raddr == (ours.host, ours.port)
""",
        )
    ],
    'PK605': [
        (
            '*feed.py',
            '',
            """

async def run_for(seconds):
    with trio.move_on_after(seconds):
        async with (
            tractor.open_nursery() as actors,
            trio.open_nursery() as tasks,
        ):
            await trio.sleep_forever()
""",
        )
    ],
    'PK741': [
        (
            '*symbols.py',
            '',
            """

class Future(Struct, frozen=True):
    name: str
    ns_path: str = 'piker.brokers.futures:Future'
""",
        )
    ],
    'PK742': [
        (
            '*symbols.py',
            '',
            """

class Option(Struct, frozen=True):
    name: str
    ns_path: str = f'{__name__}:Option'
    strike: float | None = None
""",
        )
    ],
    'PK904': [
        (
            '*feed.py',
            '',
            """

async def open_elsewhere(portal, work, conf):
    async with portal.open_context(work, secret=conf['api_secret']) as (ctx, _):
        yield ctx
""",
        )
    ],
}
