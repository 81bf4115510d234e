"""
What a host finds in the backend's package, without running it.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import module_from_spec
from types import ModuleType

import pytest

from minipiker import service
from minipiker._tractor import is_context
from minipiker.brokers import _daemon as brokerd
from minipiker.brokers import mk_start_actor_kwargs
from minipiker.data.validate import _eps, get_eps


@pytest.mark.parametrize('kind', _eps)
@pytest.mark.case('RULE-HOSTS')
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
    # not endpoints, but what the paper engine and a feed look for
    assert {*endpoints, 'get_cost', 'replay_trades'} == set(mod.__all__)


@pytest.mark.case('RULE-MODS')
def test_enabled_modules_are_the_union_of_both_kinds(mod: ModuleType) -> None:
    assert mod.__enable_modules__ == mod._datad_mods + mod._brokerd_mods
    assert not set(mod._datad_mods) & set(mod._brokerd_mods)


@pytest.mark.parametrize('kind', ['datad', 'brokerd'])
@pytest.mark.case('RULE-MODS')
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
@pytest.mark.case('RULE-LIFECYCLE')
def test_every_kind_of_daemon_has_its_lifecycle(
    mod: ModuleType,
    broker: str,
    kind: str,
) -> None:
    daemon = import_module(f'{mod.__name__}._daemon')
    found, kwargs, fixture = getattr(daemon, f'{kind}_init')(broker, loglevel='info')
    assert found is mod
    assert fixture is getattr(daemon, f'_setup_persistent_{kind}')
    assert is_context(fixture)
    assert kwargs == {
        'name': f'{kind}.{broker}',
        'enable_modules': [
            fixture.__module__,
            mod.__name__,
            *(f'{mod.__name__}.{name}' for name in getattr(mod, f'_{kind}_mods')),
        ],
        **mod._spawn_kwargs,
    }
    assert inspect.iscoroutinefunction(getattr(daemon, f'spawn_{kind}'))
    assert callable(getattr(daemon, f'maybe_spawn_{kind}'))


def test_piker_has_a_name_of_its_own_for_the_init_of_brokerd(mod: ModuleType) -> None:
    ours = import_module(f'{mod.__name__}._daemon')
    assert ours.broker_init is ours.brokerd_init is brokerd.broker_init
    for name in ('spawn_brokerd', 'maybe_spawn_brokerd'):
        assert getattr(ours, name) is getattr(service, name)


def test_what_a_backend_does_not_say_of_its_daemons() -> None:
    """
    Older ones have no list for each kind; an empty list is not the lack of one.
    """
    backend = ModuleType('backend')
    backend.name = 'x'  # type: ignore[attr-defined]

    def enabled() -> list[str]:
        kwargs = mk_start_actor_kwargs('datad', backend, 'host')
        modules: list[str] = kwargs.pop('enable_modules')
        assert kwargs == {'name': 'datad.x'}
        return modules

    assert enabled() == ['host', 'backend']
    vars(backend)['__enable_modules__'] = ['feed']
    assert enabled() == ['host', 'backend', 'backend.feed']
    vars(backend)['_datad_mods'] = []
    assert enabled() == ['host', 'backend']


def test_quote_and_history_endpoints_take_what_a_host_passes(mod: ModuleType) -> None:
    stream_quotes = inspect.signature(mod.stream_quotes)
    stream_quotes.bind(
        send_chan=None, symbols=[''], feed_is_live=None, task_status=None
    )
    inspect.signature(mod.open_history_client).bind(mkt=None)
