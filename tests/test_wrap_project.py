"""`--wrap` and the project: what is added to it, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Render, run_piker_new, tree
from packaging.requirements import Requirement
from sdks import SDKS

from piker_new.refusal import Refusal
from piker_new.render import render
from piker_new.wrap import Wrapped, wrap
from piker_new.wrap.requirements import check_demands

pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning')


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
    ('spec', 'twin'),
    [
        ('redis:Redis', 'redis.asyncio:Redis'),
        ('binance:Client', 'binance:AsyncClient'),
        ('twin_sdk:Client', 'twin_sdk.async_support:Client'),
    ],
)
def test_the_twin_for_asyncio_is_named(
    spec: str, twin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        '__init__.py': 'class Client:\n    def get(self): ...\n',
        'async_broken.py': 'raise OSError',
        'async_support.py': 'class Client:\n    async def get(self): ...\n',
    }
    (tmp_path / 'twin_sdk').mkdir()
    for name, source in files.items():
        (tmp_path / 'twin_sdk' / name).write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Refusal) as refused:
        wrap(spec)
    assert str(refused.value).splitlines() == [
        f"'{spec}' has no coroutine methods",
        f'note: its twin for asyncio is {twin}',
        f'help: try --wrap {twin}',
    ]


def test_methods_that_may_all_reply_at_once_are_no_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types that a package shares between its two kinds of clients."""
    (tmp_path / 'shared_sdk.py').write_text(
        'from typing import Any, Awaitable, Union\n\n\n'
        'class Client:\n    def get(self) -> Union[Awaitable[Any], Any]: ...\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Refusal, match='no coroutine methods'):
        wrap('shared_sdk:Client')


def install(folder: Path, name: str, *requirements: str) -> None:
    """What an index would have installed there."""
    info = folder / f'{name}-1.5.dist-info'
    info.mkdir()
    metadata = ['Metadata-Version: 2.1', f'Name: {name}', 'Version: 1.5']
    metadata += [f'Requires-Dist: {requirement}' for requirement in requirements]
    (info / 'METADATA').write_text('\n'.join(metadata) + '\n')
    (info / 'top_level.txt').write_text(f'{name}\n')
    (folder / f'{name}.py').write_text('class Client:\n    async def get(self): ...\n')


@pytest.mark.parametrize(
    'pin',
    ['<14', '==14.*', '~=14.1', '>=10,!=15.*,<16', '>=13,<=14.9', '===14.0', '<15.0'],
)
def test_pins_that_contradict_the_projects_are_noticed(
    pin: str, tmp_path: Path
) -> None:
    install(tmp_path, 'old_sdk', 'old_streams>=1')
    install(tmp_path, 'old_streams', f'WebSockets{pin}', 'msgspec; extra == "fast"')
    (tmp_path / 'here').mkdir()
    refused = run_piker_new(
        'backend',
        'deribit2',
        '--wrap',
        'old_sdk:Client',
        cwd=tmp_path / 'here',
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
    )
    assert refused.returncode == 2
    error, note, instead = refused.stderr.splitlines()
    assert error.startswith('error: old_streams 1.5 asks for WebSockets')
    assert note.startswith('note: the project needs WebSockets')
    assert '>=15' in note
    assert instead.startswith('help: ')
    assert not [*(tmp_path / 'here').iterdir()]


@pytest.mark.parametrize(
    'pin', ['', '<16', '==15.*', '~=15.0', '>14,!=15.0', '!=15.*', '>=15.0.1,<15.1']
)
def test_pins_that_leave_a_version_are_not(pin: str) -> None:
    demands = [('old_sdk 1.5', Requirement(f'websockets{pin}'))]
    check_demands(demands, ['trio>=0.22', 'websockets>=15', 'websockets>=15,<18'])


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
