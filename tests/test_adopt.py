"""A backend that has grown in a project, in piker, and the daemons it has there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from checkouts import MODULES, visible
from conftest import outside, run_piker_new, tree


def test_adopted_modules_are_the_same_byte_for_byte(
    checkout: Path, tmp_path: Path
) -> None:
    project = tmp_path / 'deribit2'
    assert run_piker_new('backend', 'deribit2', project).returncode == 0
    ours = project / 'piker_deribit2'
    (ours / 'venues.py').write_text('"""Of the author\'s own."""\n')
    suite = project / 'tests' / 'on_piker'
    for path in (ours / 'api.py', suite / 'test_data.py'):
        path.write_text(path.read_text() + '\n# changed\n')
    (ours / 'broker.py').rename(ours / 'orders.py')

    made = run_piker_new('adopt', project, '--into', checkout)
    assert (made.returncode, made.stderr) == (0, '')
    package = tree(checkout / 'piker' / 'brokers' / 'deribit2')
    modules = tree(ours)
    assert package.keys() == modules.keys()
    assert {path for path in package if package[path] != modules[path]} == {'_piker.py'}
    assert b'minipiker' not in package['_piker.py']
    assert tree(checkout / 'tests' / 'deribit2') == tree(suite)

    again = run_piker_new('adopt', project, '--into', checkout)
    assert 'nothing was changed' in again.stdout


def test_a_module_that_cannot_be_read_is_named(checkout: Path, tmp_path: Path) -> None:
    project = tmp_path / 'deribit2'
    assert run_piker_new('backend', 'deribit2', project).returncode == 0
    lost = project / 'piker_deribit2' / 'venues.py'
    lost.symlink_to('nowhere.py')
    before = visible(checkout)
    refused = run_piker_new('adopt', project, '--into', checkout)
    assert (refused.returncode, refused.stdout) == (1, '')
    assert refused.stderr.startswith(f"error: cannot read or write '{lost}': ")
    assert len(refused.stderr.splitlines()) == 3
    assert visible(checkout) == before


# A host of the generated project's making, by the names that piker has; but without
# those that may move there and that a backend has no use for on piker.
HOST = """\
import minipiker
import piker_deribit2._piker as seam

MOVED = ['Services', 'get_console_log', 'get_feed_bus', 'maybe_spawn_daemon']


def __getattr__(name: str) -> object:
    if name.startswith('__') or name in MOVED:
        raise AttributeError(name)
    return getattr(seam, name, object)
"""

OLDER = {
    'piker/brokers/_daemon.py': [
        '_setup_persistent_brokerd',
        'broker_init',
        'spawn_brokerd',
        'maybe_spawn_brokerd',
    ],
}
NEWER = {
    **OLDER,
    'piker/data/_daemon.py': [
        '_setup_persistent_datad',
        'datad_init',
        'spawn_datad',
        'maybe_spawn_datad',
    ],
}


@pytest.mark.parametrize('daemons', [OLDER, NEWER], ids=['one daemon', 'datad too'])
def test_daemons_are_the_hosts(
    daemons: dict[str, list[str]], checkout: Path, project: Path
) -> None:
    """Whether it has one daemon for everything, or a datad and a brokerd."""
    made = run_piker_new('backend', 'deribit2', '--into', checkout)
    assert made.returncode == 0, made.stderr
    for path in ('__init__.py', 'brokers/__init__.py', *MODULES):
        (checkout / 'piker' / path).write_text(HOST)
    for path, names in daemons.items():
        functions = [f'def {name}(): ...\n' for name in names]
        (checkout / path).write_text(''.join(functions))

    theirs = {
        f'{path[:-3].replace("/", ".")}:{name}'
        for path, names in daemons.items()
        for name in names
    }
    script = """
from importlib import import_module

mod = import_module('piker.brokers.deribit2')
_daemon = import_module('piker.brokers.deribit2._daemon')
for name in mod.__enable_modules__:
    import_module(f'{mod.__name__}.{name}')
assert mod._datad_mods + mod._brokerd_mods == mod.__enable_modules__
for kind in ('datad', 'brokerd'):
    for name in ('_setup_persistent_{}', '{}_init', 'spawn_{}', 'maybe_spawn_{}'):
        function = getattr(_daemon, name.format(kind))
        print(f'{function.__module__}:{function.__name__}')
"""
    ran = subprocess.run(
        [project / '.venv' / 'bin' / 'python', '-c', script],
        cwd=checkout,
        env={**outside(), 'PYTHONPATH': f'{checkout}:{project}'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert {*ran.stdout.split()} == theirs
