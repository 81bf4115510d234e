"""What `--wrap` reads of a vendor's client, from real SDKs and from a nasty one."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module

import pytest
from sdks import SDKS, header, methods, note

from piker_new.wrap import Wrapped

# What the SDKs import warns of what they import in turn.
pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning')


@pytest.mark.parametrize('name', ['ib', 'kraken', 'binance', 'redis'])
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
    # it is entered, which connects it
    assert 'events=events) as proxy, proxy:\n' in sdk.text
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


def test_redis(sdks: dict[str, Wrapped]) -> None:
    """Plain methods, shared with a client that blocks: overloads tell them apart."""
    sdk = sdks['redis']
    assert sdk.methods > 300
    assert header(sdk, 'get') == (
        '(self, name: bytes | str | memoryview) -> str | bytes | None'
    )
    assert header(sdk, 'ping').endswith(' -> bool')
    assert header(sdk, 'aclose').endswith(' -> None')
    assert 'pipeline' in note(sdk, 'plain methods')
    assert sdk.untyped == []


def test_nasty_signatures(sdks: dict[str, Wrapped]) -> None:
    sdk = sdks['nasty']
    assert {name: header(sdk, name) for name in methods(sdk)} == {
        'list': '(self, l: int, timeout: float=1e-05) -> builtins.list[str]',
        'types': (
            '(self, a: builtins.list[Page[int]], b: dict[Any, Any] | None=None,'
            " c: str | None=None, d: Literal['x', 'y']='x',"
            ' e: Callable[[int], str] | None=None, f: tuple[Any, ...]=...,'
            ' g: Decimal | None=None, h: Future[Any] | None=None,'
            ' i: Side=..., j: int | builtins.list[str | None] | None=None)'
            ' -> AsyncIterator[bytes]'
        ),
        'kinds': '(self, a: Any, /, b: Any, *, c: Any, **d: Any) -> Any',
        'stars': '(self, *a: int, b: int=-1) -> None',
        'degraded': '(self, a: Any, b: Any, c: Any) -> Any',
        'later': '(self) -> int',
        'future': '(self) -> Event_',
        'either': '(self, key: str, wait: bool=...) -> bytes',
        'of_both': '(self, key: str | int) -> str | int',
        'maybe': '(self, now: bool) -> int | None',
        'untold': '(self) -> Any',
        'said_wrong': '(self) -> Any',
        'now_or_later': '(self, now: Any) -> Any',
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
        'plain methods, of `proxy.sdk`; not from trio if they block: plain, in_threads,'
        ' endless, disconnect',
        'Any, for want of a better type: degraded(a), as ~T has no meaning outside of'
        ' the class; degraded(b), as Missing cannot be evaluated; degraded(c), as'
        ' <built-in function any> has no meaning outside of the class; degraded(), as'
        ' a Literal of an enum',
        'Any, as the SDK does not say: 9 parameters and results',
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
