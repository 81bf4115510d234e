"""The SDKs that the suite wraps: real ones and a nasty one; what is written of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from conftest import ROOT

from piker_new.wrap import Wrapped, wrap

SDKS = {
    'ib': 'ib_async:IB',
    'kraken': 'kraken.spot:SpotWSClient',
    'binance': 'binance:AsyncClient',
    'redis': 'redis.asyncio:Redis',
    'nasty': 'nasty_sdk:Client',
}

# What is generated of the proxy, and the backend's name for it.
PROXY = (
    '_asyncio.py',
    '_config.py.jinja',
    '_errors.py',
    '_events.py',
    '_proxy.py.jinja',
)

NASTY = '''
from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    Optional,
    Protocol,
    TypeVar,
    Union,
    overload,
)

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


class OnAsyncio(Protocol):
    is_on_asyncio: Literal[True]


class OnThreads(Protocol):
    is_on_asyncio: Literal[False]


class Base:
    async def inherited(self, event: Event) -> Page:
        """Of the base."""

    async def _private(self): ...


class Client(Base):
    is_on_asyncio: Literal[True]
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
        j: None | int | list[None | str] = None,
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

    @overload
    def either(self: OnThreads, key: str) -> bytes: ...
    @overload
    def either(self: OnAsyncio, key: str, wait: bool = ...) -> Awaitable[bytes]: ...
    def either(self, key, wait=True):
        """Of two kinds of clients."""

    @overload
    def in_threads(self: OnThreads) -> Awaitable[bytes]: ...
    @overload
    def in_threads(self: OnAsyncio) -> bytes: ...
    def in_threads(self): ...

    @overload
    def of_both(self, key: str) -> Awaitable[str]: ...
    @overload
    def of_both(self, key: int) -> Awaitable[int]: ...
    def of_both(self, key: str | int): ...

    def maybe(self, now: bool) -> Union[Awaitable[int], int, None]: ...

    def untold(self):
        def inner():
            return 1

        return self._private()

    def said_wrong(self) -> T:
        return self.untold()

    def endless(self):
        return self.endless()

    def now_or_later(self, now):
        if now:
            return 5
        return self.inherited()

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


@pytest.fixture(scope='session')
def sdks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wrapped]:
    folder = tmp_path_factory.mktemp('sdks')
    (folder / 'nasty_sdk.py').write_text(NASTY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        return {name: wrap(spec) for name, spec in SDKS.items()}


@pytest.fixture(scope='session')
def written(sdks: dict[str, Wrapped], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package for each SDK, with the proxy that is generated beside it."""
    folder = tmp_path_factory.mktemp('written')
    template = ROOT / 'template' / '{{ package }}'
    for name, sdk in sdks.items():
        package = folder / f'piker_{name}'
        package.mkdir()
        (package / '__init__.py').touch()
        for path in PROXY:
            text = (template / path).read_text().replace('{{ backend }}', name)
            (package / path.removesuffix('.jinja')).write_text(text)
        (package / 'sdk.py').write_text(sdk.text)
    (folder / 'nasty_sdk.py').write_text(NASTY)
    return folder


def methods(sdk: Wrapped) -> dict[str, ast.AsyncFunctionDef]:
    *_, last = ast.parse(sdk.text).body
    assert isinstance(last, ast.ClassDef)
    return {
        node.name: node
        for node in last.body
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith('_')
    }


def header(sdk: Wrapped, method: str) -> str:
    """The signature of a method, in one line."""
    node = methods(sdk)[method]
    return f'({ast.unparse(node.args)}) -> {ast.unparse(node.returns or node)}'


def note(sdk: Wrapped, start: str) -> list[str]:
    (found,) = (each for each in sdk.notes if each.startswith(start))
    return found.partition(': ')[2].split(', ')
