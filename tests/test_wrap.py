"""What `--wrap` writes of a vendor's client, from real SDKs and from a nasty one."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from conftest import ROOT, Render, outside, run_piker_new, tree

from piker_new.refusal import Refusal
from piker_new.render import render
from piker_new.wrap import Wrapped, wrap

SDKS = {
    'ib': 'ib_async:IB',
    'kraken': 'kraken.spot:SpotWSClient',
    'binance': 'binance:AsyncClient',
    'nasty': 'nasty_sdk:Client',
}

# What the SDKs import warns of what they import in turn.
pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning')

NASTY = '''
from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Optional, TypeVar

if TYPE_CHECKING:
    from decimal import Decimal

T = TypeVar('T')


class Side(enum.Enum):
    BUY = 1


class list_(list):
    pass


class Page(Generic[T]):
    pass


@dataclass
class Event:
    """Named as the type that the written module has of its own."""


class Signal:
    def connect(self, listener): ...
    def emit(self, *args): ...


class Base:
    async def inherited(self, event: Event) -> Page:
        """Of the base."""

    async def _private(self): ...


class Client(Base):
    ticked = Signal()

    def __init__(self, on_tick_callback=None):
        raise AssertionError('an instance was made')
        self.traded: Signal = Signal()
        self._hidden = Signal()

    async def list(self, l: int, timeout: float = 1e-05) -> list[str]:
        """Has the name of a type, \\\\ and "quotes"."""

    async def types(
        self,
        a: list[Page[int]],
        b: Optional[dict] = None,
        c: str = None,
        d: Literal['x', 'y'] = 'x',
        e: Callable[[int], str] | None = None,
        f: tuple = (),
        g: Decimal | None = None,
        h: asyncio.Future = None,
        i: Side = Side.BUY,
    ) -> AsyncIterator[bytes]: ...

    async def kinds(self, a, /, b, *, c, **d): ...

    async def stars(self, *a: int, b: int = -1) -> None: ...

    async def degraded(self, a: T, b: Missing, c: any) -> Literal[Side.BUY]:
        """
        It\\u2019s `caf\\u00e9`, in a line that is far too long to stay in one
        piece, though nobody would miss it.
        """

    def later(self) -> Awaitable[int]: ...

    def future(self) -> asyncio.Future[Event]: ...

    def plain(self) -> int: ...

    def add_trade_callback(self, callback: Callable[[int], None]) -> None: ...

    def add_async_callback(self, callback: Callable[[int], Awaitable[None]]): ...

    def on_fill(self, handler): ...

    def on_message(self, message): ...

    def watch(self, symbol: str, callback): ...

    async def pages(self):
        yield 1

    @classmethod
    async def create(cls) -> Client: ...

    def disconnect(self): ...
'''


@pytest.fixture(scope='module')
def sdks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wrapped]:
    folder = tmp_path_factory.mktemp('sdks')
    (folder / 'nasty_sdk.py').write_text(NASTY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        return {name: wrap(spec) for name, spec in SDKS.items()}


@pytest.fixture(scope='module')
def written(sdks: dict[str, Wrapped], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package for each SDK, with the proxy that is generated beside it."""
    folder = tmp_path_factory.mktemp('written')
    (proxy,) = (ROOT / 'template').glob('*package*/*_proxy.py*')
    for name, sdk in sdks.items():
        package = folder / f'piker_{name}'
        package.mkdir()
        (package / '__init__.py').touch()
        (package / '_config.py').write_text(f'NAME = {name!r}\n')
        (package / '_proxy.py').write_text(proxy.read_text())
        (package / 'sdk.py').write_text(sdk.text)
    (folder / 'nasty_sdk.py').write_text(NASTY)
    return folder


ACTOR = """
import tractor
import trio
from minipiker._tractor import root_kwargs
from minipiker.service._registry import free_addr
from nasty_sdk import Client, Signal
from piker_nasty.sdk import EventRelay, open_sdk
from tractor.to_asyncio import run_as_asyncio_guest


class Event(Signal):
    def connect(self, listener):
        self.emit = listener


class Nice(Client):
    ticked = Event()

    def __init__(self):
        self.traded = Event()
        self.said = []

    def later(self):
        import asyncio

        return asyncio.sleep(0.01, 5)

    def add_trade_callback(self, callback):
        self.call_back = callback

    async def stars(self, *a, b=-1):
        self.traded.emit(*a)
        self.call_back(b)

    def disconnect(self):
        self.said.append('closed')


async def main():
    async with tractor.open_root_actor(
        loglevel='critical', **root_kwargs(free_addr())
    ) as actor:
        actor._infected_aio = True
        client, events = Nice(), EventRelay()
        with trio.fail_after(30), events.subscribe() as stream:
            async with open_sdk(client, events) as proxy:
                assert await proxy.later() == 5
                await proxy.stars(1, 2, b=3)
                assert await stream.receive() == ('traded', (1, 2))
                assert await stream.receive() == ('add_trade_callback', (3,))
                proxy.sdk.ticked.emit()
                assert await stream.receive() == ('ticked', ())
    print('called, traded, ticked,', *client.said)


run_as_asyncio_guest(main)
"""


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, '-m', *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def methods(sdk: Wrapped) -> dict[str, ast.AsyncFunctionDef]:
    *_, last = ast.parse(sdk.text).body
    assert isinstance(last, ast.ClassDef)
    return {n.name: n for n in last.body if isinstance(n, ast.AsyncFunctionDef)}


def header(sdk: Wrapped, method: str) -> str:
    """The signature of a method, in one line."""
    node = methods(sdk)[method]
    return f'({ast.unparse(node.args)}) -> {ast.unparse(node.returns or node)}'


def note(sdk: Wrapped, start: str) -> list[str]:
    (found,) = (each for each in sdk.notes if each.startswith(start))
    return found.partition(': ')[2].split(', ')


def test_is_laid_out_and_typed(written: Path) -> None:
    style = ('--config', str(ROOT / 'pyproject.toml'))
    written_here = sorted(map(str, written.glob('*/sdk.py')))
    assert run('ruff', 'check', *style, *written_here, cwd=written) == (
        'All checks passed!\n'
    )
    assert run('ruff', 'format', *style, '--check', *written_here, cwd=written) == (
        f'{len(SDKS)} files already formatted\n'
    )


def test_calls_are_checked(written: Path) -> None:
    (written / 'calls.py').write_text(
        """\
from ib_async import IB, Contract
from piker_ib._proxy import EventRelay
from piker_ib.sdk import Event, open_sdk


async def call(sdk: IB, events: EventRelay[Event]) -> None:
    async with open_sdk(sdk, events) as proxy:
        (await proxy.reqPositionsAsync())[0].minTick
        await proxy.reqContractDetailsAsync('AAPL')
        await proxy.reqContractDetailsAsync(Contract(), wrong=1)
        await proxy.requestContractDetailsAsync(Contract())
        reveal_type(await proxy.reqContractDetailsAsync(Contract()))
        reveal_type(proxy.sdk.isConnected())
"""
    )
    checked = run(
        'mypy',
        '--strict',
        '--follow-imports=silent',
        '--ignore-missing-imports',
        '--no-error-summary',
        'calls.py',
        *(f'piker_{name}/sdk.py' for name in SDKS),
        cwd=written,
    )
    said = [line for line in checked.splitlines() if 'defined in' not in line]
    assert said == [
        'calls.py:8: error: "Position" has no attribute "minTick"  [attr-defined]',
        'calls.py:9: error: Argument 1 to "reqContractDetailsAsync" of "IBMethods" has'
        ' incompatible type "str"; expected "Contract"  [arg-type]',
        'calls.py:10: error: Unexpected keyword argument "wrong" for'
        ' "reqContractDetailsAsync" of "IBMethods"  [call-arg]',
        'calls.py:11: error: "IBMethods" has no attribute'
        ' "requestContractDetailsAsync"; maybe "reqContractDetailsAsync"?'
        '  [attr-defined]',
        'calls.py:12: note: Revealed type is "list[ib_async.contract.ContractDetails]"',
        'calls.py:13: note: Revealed type is "bool"',
    ]


@pytest.mark.parametrize('name', ['ib', 'kraken', 'binance'])
def test_has_the_methods_of_the_class(name: str, sdks: dict[str, Wrapped]) -> None:
    """With their own signatures: all of them, or the list says why not."""
    module, _, cls = SDKS[name].partition(':')
    client = getattr(import_module(module), cls)
    ours = methods(sdks[name])
    for method, member in inspect.getmembers(client, inspect.iscoroutinefunction):
        if method.startswith('_') or method not in ours:
            noted = ', '.join(sdks[name].notes)
            assert method.startswith('_') or re.search(rf'\b{method}\b', noted)
            continue
        arguments = ours[method].args
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        listed += filter(None, [arguments.vararg, arguments.kwarg])
        assert sorted(each.arg for each in listed) == sorted(
            inspect.signature(member).parameters
        )
    assert sdks[name].methods == len(ours)


def test_ib(sdks: dict[str, Wrapped]) -> None:
    sdk = sdks['ib']
    assert sdk.events == 25
    assert "'barUpdateEvent',\n" in sdk.text
    # a plain method that returns a future
    assert header(sdk, 'reqPositionsAsync') == '(self) -> list[Position]'
    assert header(sdk, 'reqContractDetailsAsync') == (
        '(self, contract: Contract) -> list[ContractDetails]'
    )
    assert 'fetchFields: StartupFetch=...' in header(sdk, 'connectAsync')
    assert {'placeOrder', 'reqMktData'} <= {*note(sdk, 'plain methods')}
    assert '            sdk.disconnect()\n' in sdk.text
    assert re.fullmatch(r'ib[-_]async>=2\.[\d.]+,<3', sdk.requirement or '')
    assert sdk.untyped == []


def test_kraken(sdks: dict[str, Wrapped]) -> None:
    sdk = sdks['kraken']
    assert header(sdk, 'unsubscribe') == (
        '(self, params: dict[Any, Any], req_id: int | None=None) -> None'
    )
    assert note(sdk, 'hooks') == ['on_message']
    assert note(sdk, 'callbacks of the constructor') == ['callback']
    assert '                await proxy.close()\n' in sdk.text
    # of a base class, whose annotation is of the coroutine itself
    assert header(sdk, 'request').endswith(' -> Any')
    assert note(sdk, 'Any, for want of a better type') == [
        'request()',
        'as the reply would be a coroutine',
    ]


def test_binance(sdks: dict[str, Wrapped]) -> None:
    sdk = sdks['binance']
    assert sdk.methods > 500
    assert header(sdk, 'get_order_book') == '(self, **params: Any) -> dict[Any, Any]'
    assert note(sdk, 'coroutines of the class') == ['create']
    assert note(sdk, 'async iterators') == ['aggregate_trade_iter']
    assert sdk.untyped == ['binance']


def test_nasty_signatures(sdks: dict[str, Wrapped]) -> None:
    sdk = sdks['nasty']
    assert {name: header(sdk, name) for name in methods(sdk)} == {
        'list': '(self, l: int, timeout: float=1e-05) -> builtins.list[str]',
        'types': (
            '(self, a: builtins.list[Page[int]], b: dict[Any, Any] | None=None,'
            " c: str | None=None, d: Literal['x', 'y']='x',"
            ' e: Callable[[int], str] | None=None, f: tuple[Any, ...]=...,'
            ' g: Decimal | None=None, h: Future[Any] | None=None,'
            ' i: Side=...) -> AsyncIterator[bytes]'
        ),
        'kinds': '(self, a: Any, /, b: Any, *, c: Any, **d: Any) -> Any',
        'stars': '(self, *a: int, b: int=-1) -> None',
        'degraded': '(self, a: Any, b: Any, c: Any) -> Any',
        'later': '(self) -> int',
        'future': '(self) -> Event_',
        'inherited': '(self, event: Event_) -> Page[Any]',
    }


def test_nasty_notes(sdks: dict[str, Wrapped]) -> None:
    sdk = sdks['nasty']
    assert sdk.notes == [
        'take a coroutine function to call back: add_async_callback',
        'hooks that the SDK calls, to be overridden in a subclass: on_message',
        'take a callback and more: give them what calls `events.emit`: watch',
        'async iterators (a call has one reply): pages',
        'coroutines of the class, to be called before there is a client: create',
        'callbacks of the constructor, to be given what calls `events.emit`:'
        ' on_tick_callback',
        'plain methods, of `proxy.sdk`; not from trio if they block: plain, disconnect',
        'Any, for want of a better type: degraded(a), as ~T has no meaning outside of'
        ' the class; degraded(b), as Missing cannot be evaluated; degraded(c), as'
        ' <built-in function any> has no meaning outside of the class; degraded(), as'
        ' a Literal of an enum',
        'Any, as the SDK does not say: 5 parameters and results',
    ]
    for each in sdk.notes:  # in the file, too, and printed
        words = ' '.join(each.split())
        assert words in ' '.join(sdk.text.split())
        assert words in ' '.join(sdk.summary().split())


def test_nasty_events(sdks: dict[str, Wrapped]) -> None:
    sdk = sdks['nasty']
    assert "_events = (\n    'traded',\n    'ticked',\n)" in sdk.text
    assert "_hooks = (\n    'add_trade_callback',\n    'on_fill',\n)" in sdk.text
    assert sdk.requirement is None


def test_docstrings_are_kept(sdks: dict[str, Wrapped]) -> None:
    docs = {name: ast.get_docstring(m) for name, m in methods(sdks['nasty']).items()}
    assert docs['list'] == 'Has the name of a type, \\ and "quotes".'
    assert ' '.join((docs['degraded'] or '').split()) == (
        "It's `cafe`, in a line that is far too long to stay in one piece, though"
        ' nobody would miss it.'
    )


def test_says_the_same_every_time(sdks: dict[str, Wrapped]) -> None:
    code = f'from piker_new.wrap import wrap; print(wrap({SDKS["ib"]!r}).text, end="")'
    again = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert again.stdout == sdks['ib'].text


@pytest.mark.parametrize(
    ('spec', 'what'),
    [
        ('ib_async', 'names no class'),
        ('ib async:IB', 'names no class'),
        ('ib_async:', 'names no class'),
        ('no_such_sdk:Client', 'cannot be imported'),
        ('broken_sdk:Client', 'cannot be imported'),
        ('quitting_sdk:Client', 'cannot be imported'),
        ('', 'names no class'),
        ('ib_async:NoSuchClass', 'is not there'),
        ('ib_async:Order', 'no coroutine methods'),
        ('not_sdk:value', 'is not a class'),
        ('not_sdk:Empty', 'no coroutine methods'),
    ],
)
def test_refuses_what_is_no_client(
    spec: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'not_sdk.py').write_text('class Empty:\n    pass\n\n\nvalue = 1\n')
    (tmp_path / 'broken_sdk.py').write_text('raise OSError("no\\nlicence")\n')
    (tmp_path / 'quitting_sdk.py').write_text('raise SystemExit\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Refusal, match=what) as refused:
        wrap(spec)
    assert refused.value.status == 2
    error, note, instead = str(refused.value).splitlines()
    assert what in error
    assert note.startswith('note: ')
    assert instead.startswith('help: ')
    # what would do, among much that would not
    if 'ib_async' in spec and 'names no' not in error:
        assert instead == 'help: ib_async has Client, IB, IBC, Watchdog'


@pytest.mark.parametrize(
    ('arguments', 'what'),
    [
        (['--client', 'trio', '--wrap', 'ib_async:IB'], 'a client on trio'),
        (['--wrap', 'ib_async:IB', '--into', '.'], 'a project of its own'),
        (['--wrap', 'ib_async:Order'], 'no coroutine'),
    ],
)
def test_refusals_leave_nothing(
    arguments: list[str], what: str, tmp_path: Path
) -> None:
    refused = run_piker_new('backend', 'deribit2', *arguments, cwd=tmp_path)
    assert refused.returncode == 2
    error, note, instead = refused.stderr.splitlines()
    assert what in error
    assert note.startswith('note: ')
    assert instead.startswith('help: ')
    assert not [*tmp_path.iterdir()]


def test_all_or_nothing(tmp_path: Path) -> None:
    def fail(project: Path) -> None:
        assert (project / 'pyproject.toml').exists()
        raise ValueError('no room')

    with pytest.raises(ValueError, match='no room'):
        render({'backend': 'deribit2'}, tmp_path / 'new', ask=False, finish=fail)
    assert not [*tmp_path.iterdir()]


def test_is_added_to_the_project(
    sdks: dict[str, Wrapped], rendered: Render, tmp_path: Path
) -> None:
    """The rest of it stays as it is, and with it the suite."""
    made = run_piker_new('backend', 'deribit2', '--wrap', SDKS['binance'], cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.endswith(f'\n\n{sdks["binance"].summary()}\n')

    ours = tree(tmp_path / 'deribit2')
    theirs = tree(rendered({'backend': 'deribit2', 'client': 'asyncio'}))
    changed = {name for name in ours if ours[name] != theirs.get(name)}
    assert changed == {'pyproject.toml', 'piker_deribit2/sdk.py'}
    assert theirs.keys() < ours.keys()
    assert ours['piker_deribit2/sdk.py'].decode() == sdks['binance'].text

    before = theirs['pyproject.toml'].decode().splitlines()
    after = ours['pyproject.toml'].decode().splitlines()
    assert [line for line in after if line not in before] == [
        f'    "{sdks["binance"].requirement}",',
        'module = ["piker.*", "plotext.*", "tractor.*", "trio_asyncio.*",'
        ' "trio_websocket.*", "binance.*"]',
    ]


def test_calls_and_events_pass(
    written: Path, project: Path, sdks: dict[str, Wrapped]
) -> None:
    """In an actor, between the two loops, with a client that is there."""
    package = written / 'piker_nasty'
    shutil.copy(project / 'piker_deribit2' / '_piker.py', package)
    (written / 'actor.py').write_text(ACTOR)
    done = subprocess.run(
        [project / '.venv' / 'bin' / 'python', '-W', 'ignore', 'actor.py'],
        cwd=written,
        env={**outside(), 'PYTHONPATH': str(project)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ('called, traded, ticked, closed\n', '')
