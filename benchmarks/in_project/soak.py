"""
A soak: the feeds of many markets, while the venue misbehaves, daemons are killed and
the venue is restarted, all on a schedule. What a client was told is compared with what
the venue's own journal says that there was.

Run in a generated project, by `benchmarks/soak.py`. Prints one JSON object, a `Report`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from ast import literal_eval
from collections import Counter, defaultdict
from collections.abc import Iterator
from heapq import merge
from itertools import chain, count, takewhile, zip_longest
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import msgspec
import psutil
import tractor
import trio
from growth import OWN_MALLOC, Growth, Process, allocated, measure
from minipiker.brokers import __brokers__
from minipiker.data._sampling import open_sample_stream
from minipiker.data.feed import Feed, open_feed
from minipiker.service import ServiceDied, maybe_open_pikerd
from minipiker.service._registry import find_registry
from minipiker.testing import open_process, write_brokers_toml
from msgspec import Struct, field
from simvenue import dialect
from simvenue.__main__ import open_venue, parse_options
from simvenue.faults import CONNECTION, KINDS, MESSAGE, REQUEST, STREAM
from simvenue.process import SimVenue, open_simvenue

(broker,) = __brokers__

_chunk: int = 5_000
"""Trades to compare at a time."""
_patience: float = 120
"""Seconds that the last trades may take."""
_far: int = 2 * 3600 * 1000
"""Markets that expire within so many ms are left out."""


class Plan(Struct, kw_only=True):
    seconds: float = 1800
    rate: float = 5000
    """Trades a second, of all markets together."""
    markets: int = 20
    fault_every: float = 10
    kill_every: float = 60
    restart_every: float = 180
    outage: float = 2
    """How long a fault lasts that has a duration, s."""
    silence: float = 5
    """After how long without a word a connection is given up, s."""
    sample_every: float = 5


class Run(Struct):
    """
    Trades that were told without a gap between them.
    """

    first: int
    last: int
    digest: int = 0


class Disturbance(Struct):
    """
    It is over when every market that trades often has told of a trade that was made
    after `mark`.
    """

    what: str
    begin: float
    mark: float
    """When it was in effect, by the venue's clock, in s."""
    waiting: set[str]
    took: float | None = None


class Report(Struct):
    trades: int = 0
    rate: float = 0
    """Trades a second that were told."""
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    """Runs of trades that are not those of the venue."""
    gaps: int = 0
    """That were told..."""
    gap_trades: int = 0
    """... and how many trades were in them."""
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    """In s, by what had happened."""
    recovery_p50: float = 0
    recovery_max: float = 0
    kills: int = 0
    restarts: int = 0
    lag_p50: float = 0
    """Between a trade and its quote at the client, s."""
    growth: list[Growth] = field(default_factory=list)
    load: tuple[float, float, float] = (0, 0, 0)
    problems: list[str] = field(default_factory=list)


class Listener:
    """
    A client that checks what it is told.
    """

    def __init__(self, busy: set[str]) -> None:
        self.busy = busy
        """Markets that trade often."""
        self.runs: dict[str, list[Run]] = {}
        self.pending: list[Disturbance] = []
        self.disturbances: list[Disturbance] = []
        self.lost = self.doubled = self.gaps = self.gap_trades = 0
        self.lags: Counter[float] = Counter()
        """How many quotes were so late, in s."""
        self.offset = 0.0
        """The venue's clock less ours, s."""
        self.calm = trio.Event()

    async def listen(self, feed: Feed) -> None:
        names = {fqme: mkt.bs_mktid for fqme, mkt in feed.mkts.items()}
        for fqme, quote in feed.quotes.items():
            first = quote['trade_id'] + 1
            self.runs[names[fqme]] = [Run(first, first - 1)]
        async for quotes in feed:
            for fqme, quote in quotes.items():
                if 'trade_id' in quote:
                    self._take(names[fqme], quote['ticks'])

    def _take(self, market: str, ticks: list[dict[str, Any]]) -> None:
        run = self.runs[market][-1]
        for tick in ticks:
            number, missed = tick['trade_id'], tick.get('missed', 0)
            ahead = number - run.last - 1 - missed
            if number <= run.last:
                self.doubled += 1
                continue
            if missed or ahead:
                self.gaps += bool(missed)
                self.gap_trades += missed
                self.lost += abs(ahead)
                run = Run(number, number - 1)
                self.runs[market].append(run)
            run.last = number
            run.digest = digest(run.digest, number, tick['price'], tick['size'])
        told = ticks[-1]['time']
        if self.pending:
            self._settle(market, told)
        else:
            # to two digits, or this would be what grows
            self.lags[float(f'{time.time() + self.offset - told:.2g}')] += 1

    def _settle(self, market: str, told: float) -> None:
        for it in list(self.pending):
            if told >= it.mark:
                it.waiting.discard(market)
                if not it.waiting:
                    it.took = time.monotonic() - it.begin
                    it.waiting = set()  # one that was emptied stays as large
                    self.pending.remove(it)
        if not self.pending:
            self.calm.set()

    def note(self, what: str, begin: float, now: int) -> None:
        waiting = {*self.runs} if what == 'end' else {*self.busy}
        it = Disturbance(what, begin, now / 1000, waiting)
        self.pending.append(it)
        self.disturbances.append(it)
        self.calm = trio.Event()


def digest(before: int, number: int, price: float, size: float) -> int:
    return crc32(b'%d %.8f %.8f' % (number, price, size), before)


# what happens


def repeat(
    what: str, every: float, until: float, delay: float = 0
) -> Iterator[tuple[float, str]]:
    times = takewhile(lambda at: at < until, (delay + every * it for it in count(1)))
    return ((at, what) for at in times)


def mk_faults(plan: Plan, has_nonces: bool) -> Iterator[list[dict[str, Any]]]:
    """
    Faults without end: each kind in turn that the venue can have, with what makes it
    strike.
    """
    # of each sort soon, however short it is
    mixed = chain.from_iterable(zip_longest(STREAM, CONNECTION, MESSAGE, REQUEST))
    kinds = [kind for kind in mixed if kind]
    assert {*kinds} == {*KINDS}
    if not has_nonces:
        kinds.remove('stale_nonce')
    for turn in count():
        for kind in kinds:
            fault: dict[str, Any] = {'kind': kind}
            if kind == 'refuse' or kind in REQUEST:
                # requests are what a new connection begins with
                yield [fault | {'seconds': plan.outage}, {'kind': 'drop'}]
            elif kind in MESSAGE and turn % 2:
                yield [fault | {'operation': 'trades'}, {'kind': 'drop'}]
            elif kind in STREAM or kind in MESSAGE:
                yield [fault | {'topic': 'trades'}]
            elif kind == 'slow_reads':
                yield [fault | {'seconds': 0.01}]
            else:
                yield [fault]


async def disturb(plan: Plan, venue: SimVenue, pikerd: int, it: Listener) -> None:
    begin = trio.current_time()
    schedule = merge(
        repeat('fault', plan.fault_every, plan.seconds),
        # not at the same moment as what else there is
        repeat('kill', plan.kill_every, plan.seconds, 2),
        repeat('restart', plan.restart_every, plan.seconds, 5),
    )
    faults = mk_faults(plan, bool((await venue.state()).traits['nonces']))
    daemons: list[str] = []
    lasts = False
    for at, what in schedule:
        await trio.sleep_until(begin + at)
        if lasts:
            await venue.behave()
            lasts = False
        since = time.monotonic()
        match what:
            case 'fault':
                several = next(faults)
                for fault in several:
                    await venue.misbehave(**fault)
                what = several[0]['kind']
                lasts = what in ('slow_reads', 'defer')
            case 'restart':
                await venue.restart()
            case 'kill':
                alive = find_daemons(pikerd)
                daemons = [it for it in daemons if it in alive] or sorted(alive)
                what = f'kill {daemons[0]}'
                os.kill(alive[daemons.pop(0)], signal.SIGKILL)
        it.note(what, since, (await venue.state()).now)
    await trio.sleep_until(begin + plan.seconds)
    await venue.behave()
    it.note('end', time.monotonic(), (await venue.state()).now)
    with trio.move_on_after(_patience):
        await it.calm.wait()


async def keep_clock() -> None:
    """
    A reason for `samplerd` to be there.
    """
    while True:
        try:
            async with open_sample_stream(1) as steps:
                async for _ in steps:
                    pass
        except (ServiceDied, ConnectionError, tractor.RemoteActorError):
            await trio.sleep(0.1)


# what is measured


def find_daemons(pikerd: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for process in psutil.Process(pikerd).children():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if '--uid' in command:
            name, _ = literal_eval(command[command.index('--uid') + 1])
            found[name.removesuffix(f'.{broker}')] = process.pid
    return found


async def sample(plan: Plan, pikerd: int, processes: dict[int, Process]) -> None:
    while True:
        there = {'client': os.getpid(), 'pikerd': pikerd, **find_daemons(pikerd)}
        for name, pid in there.items():
            try:
                process = psutil.Process(pid)
                memory, files = process.memory_info().rss, process.num_fds()
            except psutil.Error:
                continue  # it has just been killed
            it = processes.setdefault(pid, Process(name, pid))
            it.memory.append(memory)
            used = allocated() if pid == os.getpid() else None
            it.used.append(memory if used is None else used)
            it.files.append(files)
        await trio.sleep(plan.sample_every)


def middle(counts: Counter[float]) -> float:
    """
    The median of values that are counted.
    """
    left = counts.total() / 2
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return 0


def compare(options: list[str], runs: dict[str, list[Run]]) -> int:
    """
    How many runs of trades are not what the venue says they were, started once more
    from its journal.
    """
    wrong = 0
    engine = open_venue(parse_options(options)).engine
    for name, told in runs.items():
        market = engine.market(name)
        value, amount = market.prices.value, market.amounts.value
        for run in told:
            crc = 0
            for start in range(run.first, run.last + 1, _chunk):
                stop = min(start + _chunk, run.last + 1)
                for it in market.trades(start, stop):
                    crc = digest(crc, it.seq, value(it.price), amount(it.amount))
            wrong += crc != run.digest
    return wrong


def report(plan: Plan, it: Listener, processes: dict[int, Process]) -> Report:
    told = sum(run.last + 1 - run.first for runs in it.runs.values() for run in runs)
    out = Report(
        trades=told,
        rate=round(told / plan.seconds, 1),
        lost=it.lost,
        doubled=it.doubled,
        gaps=it.gaps,
        gap_trades=it.gap_trades,
        lag_p50=middle(it.lags),
        load=os.getloadavg(),
    )
    took: defaultdict[str, list[float]] = defaultdict(list)
    for each in it.disturbances:
        if each.took is None:
            out.problems.append(f'never recovered from {each.what}')
        elif each.what != 'end':
            took[each.what].append(round(each.took, 2))
    out.recoveries = dict(took)
    out.restarts = len(took['restart'])
    out.kills = sum(len(it) for what, it in took.items() if what.startswith('kill'))
    times = [seconds for several in took.values() for seconds in several]
    out.recovery_p50 = round(median(times or [0]), 2)
    out.recovery_max = max(times or [0])
    lives: defaultdict[str, list[Process]] = defaultdict(list)
    for process in processes.values():
        lives[process.name].append(process)
    for several in lives.values():
        if grown := measure(several, plan.sample_every):
            out.growth.append(grown)
            out.problems.extend(grown.problems())
    return out


async def soak(plan: Plan, folder: Path) -> Report:
    state = folder / 'state'
    state.touch()
    async with open_simvenue(rate=0, markets=plan.markets) as venue:
        now = (await venue.state()).now
        listed = [
            it
            for it in await venue.markets()
            if it.expiry is None or it.expiry > now + 1000 * plan.seconds + _far
        ][: plan.markets]
    busy = {it.name for it in listed if it.kind != 'option'}
    options: dict[str, Any] = {
        'rate': plan.rate / len(busy),
        'markets': plan.markets,
        'state': state,
        # no venue lets anybody fetch so many trades: what is measured is ours
        **dict.fromkeys(dialect.LIMITS, 1e6),
    }
    listener = Listener(busy)
    processes: dict[int, Process] = {}
    async with open_simvenue(**options) as venue:
        write_brokers_toml(
            folder / 'config' / 'minipiker',
            url=venue.url,
            pace=1000,
            limits={'silence': plan.silence, 'max_backoff': 2},
        )
        with open_process('minipiker', 'pikerd', '--until-eof', '-l', 'error') as (
            root,
            _,
        ):
            async with (
                maybe_open_pikerd(find_registry()),
                open_feed([f'{it.name}.{broker}' for it in listed]) as feed,
                trio.open_nursery() as tn,
            ):
                listener.offset = (await venue.state()).now / 1000 - time.time()
                tn.start_soon(listener.listen, feed)
                tn.start_soon(keep_clock)
                tn.start_soon(sample, plan, root.pid, processes)
                await disturb(plan, venue, root.pid, listener)
                tn.cancel_scope.cancel()
    out = report(plan, listener, processes)
    out.wrong = compare(
        [f'--{name.replace("_", "-")}={it}' for name, it in options.items()],
        listener.runs,
    )
    # it has all of its past, and nothing need be missed
    for name in ('lost', 'doubled', 'wrong', 'gap_trades'):
        if number := getattr(out, name):
            out.problems.append(f'{name.replace("_", " ")}: {number}')
    return out


def main(plan: str) -> None:
    for name in OWN_MALLOC:
        os.environ.pop(name, None)  # daemons are as everybody has them
    with TemporaryDirectory() as folder:
        os.environ['XDG_CONFIG_HOME'] = str(Path(folder) / 'config')
        out = trio.run(soak, msgspec.json.decode(plan, type=Plan), Path(folder))
    json.dump(msgspec.to_builtins(out), sys.stdout)
