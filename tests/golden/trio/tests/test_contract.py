"""
What a host finds in the backend's package, without running it.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import module_from_spec
from types import ModuleType

import pytest

from minipiker._tractor import is_context
from minipiker.data.validate import _eps, get_eps


@pytest.mark.parametrize('kind', _eps)
def test_endpoints_of_a_kind_are_complete(mod: ModuleType, kind: str) -> None:
    assert list(get_eps(mod, kind)) == _eps[kind]


def test_the_name_is_for_the_host_to_set(mod: ModuleType, broker: str) -> None:
    spec = mod.__spec__
    assert spec
    assert spec.loader
    fresh = module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert not hasattr(fresh, 'name')
    assert mod.name == broker


def test_endpoints_are_exported(mod: ModuleType) -> None:
    endpoints = {name for kind in _eps for name in get_eps(mod, kind)}
    # not an endpoint, but what the paper engine looks for
    assert {*endpoints, 'get_cost'} == set(mod.__all__)


def test_enabled_modules_are_the_union_of_both_kinds(mod: ModuleType) -> None:
    assert mod.__enable_modules__ == mod._datad_mods + mod._brokerd_mods
    assert not set(mod._datad_mods) & set(mod._brokerd_mods)


@pytest.mark.parametrize('kind', ['datad', 'brokerd'])
def test_a_kind_enables_just_the_modules_that_define_its_contexts(
    mod: ModuleType,
    kind: str,
) -> None:
    contexts = {
        endpoint.__module__.removeprefix(f'{mod.__name__}.')
        for endpoint in get_eps(mod, kind).values()
        if is_context(endpoint)
    }
    assert set(getattr(mod, f'_{kind}_mods')) == contexts


@pytest.mark.parametrize('kind', ['datad', 'brokerd'])
def test_every_kind_of_daemon_has_its_lifecycle(
    mod: ModuleType,
    broker: str,
    kind: str,
) -> None:
    daemon = import_module(f'{mod.__name__}._daemon')
    _, kwargs, fixture = getattr(daemon, f'{kind}_init')(broker)
    assert fixture is getattr(daemon, f'_setup_persistent_{kind}')
    assert is_context(fixture)
    assert kwargs['name'] == f'{kind}.{broker}'
    assert kwargs.items() >= mod._spawn_kwargs.items()
    assert inspect.iscoroutinefunction(getattr(daemon, f'spawn_{kind}'))
    assert callable(getattr(daemon, f'maybe_spawn_{kind}'))


def test_quote_and_history_endpoints_take_what_a_host_passes(mod: ModuleType) -> None:
    stream_quotes = inspect.signature(mod.stream_quotes)
    stream_quotes.bind(
        send_chan=None, symbols=[''], feed_is_live=None, task_status=None
    )
    inspect.signature(mod.open_history_client).bind(mkt=None)
