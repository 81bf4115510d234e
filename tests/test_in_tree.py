"""A backend in a checkout of piker: what is written there, and what is refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from resource import RLIMIT_FSIZE, setrlimit

import pytest
from conftest import (
    ROOT,
    Answers,
    combinations,
    git,
    outside,
    run_piker_new,
    spell,
    tree,
)

from piker_new.piker_tree import add_broker, add_section
from piker_new.refusal import Refusal

REGISTRY = """\
# Broker clients.
__all__ = ['get_brokermod']

__brokers__: list[str] = [
    'binance',
    'ib',  # the big one
    'kraken'

    # broken but used to work
    # 'questrade',
]
"""

# What tells a linter that names below `piker` are of this checkout.
MODULES = [
    '_cacheables.py',
    'accounting/__init__.py',
    'clearing/__init__.py',
    'clearing/_messages.py',
    'config.py',
    'data/__init__.py',
    'data/_source.py',
    'data/_symcache.py',
    'data/feed.py',
    'data/validate.py',
    'log.py',
    'service.py',
    'types.py',
]

CONFIG = """\
################
# ---- CEXY ----
################
[binance]
accounts.paper = 'paper'


[ib]
hosts = [
    '127.0.0.1',
]
"""


STANZA = """\


[deribit2]
url = ''

accounts.main = 'main'
main.api_key = ''
main.api_secret = ''
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The places of a piker checkout that a backend is written to."""
    folder = tmp_path / 'piker checkout'
    files = {
        'piker/__init__.py': '',
        **{f'piker/{path}': '' for path in MODULES},
        'piker/brokers/__init__.py': REGISTRY,
        'config/brokers.toml': CONFIG,
        'tests/conftest.py': '',
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    git(folder, 'init', '-q')
    git(folder, 'add', '.')
    git(folder, 'commit', '-qm', 'As it stands')
    return folder


def visible(checkout: Path) -> dict[str, bytes]:
    return {
        path: content
        for path, content in tree(checkout).items()
        if not path.startswith('.git/')
    }


def test_backend_into_a_checkout(checkout: Path) -> None:
    before = visible(checkout)
    made = run_piker_new('backend', 'deribit2', '--into', checkout)
    assert (made.returncode, made.stderr) == (0, '')
    after = visible(checkout)
    new = {path for path in after if path not in before}
    assert 'tests/test_deribit2.py' in new
    new.remove('tests/test_deribit2.py')
    assert {Path(path).parent for path in new} == {Path('piker/brokers/deribit2')}
    assert {path for path in before if after[path] != before[path]} == {
        'config/brokers.toml',
        'piker/brokers/__init__.py',
    }
    diff = git(checkout, 'diff', '-U0').splitlines()
    assert [line for line in diff if line.startswith('-') and line[1:2] != '-'] == []
    assert "+    'deribit2'," in diff
    assert '+[deribit2]' in diff

    again = run_piker_new('backend', 'deribit2', '--into', checkout)
    assert again.returncode == 0
    assert 'nothing was changed' in again.stdout
    assert visible(checkout) == after

    git(checkout, 'checkout', '.')
    git(checkout, 'clean', '-fdq')
    assert visible(checkout) == before


@pytest.mark.parametrize('answers', list(combinations('in-tree')), ids=spell)
def test_same_bytes_as_copier_copy(
    answers: Answers, checkout: Path, tmp_path: Path
) -> None:
    """What copier leaves to be done by hand is all that differs."""
    source = tmp_path / 'source'
    source.mkdir()
    for name in ('copier.yml', 'names.jinja'):
        shutil.copy2(ROOT / name, source)
    shutil.copytree(ROOT / 'template', source / 'template')
    data = [f'--data={name}={answer}' for name, answer in answers.items()]
    copy = [sys.executable, '-m', 'copier', 'copy', '--defaults', *data]
    theirs = tmp_path / 'theirs'
    copied = subprocess.run(
        [*copy, source, theirs], capture_output=True, text=True, check=True
    )
    assert {path.name for path in theirs.iterdir()} == {'piker', 'tests'}
    for line in ("'deribit2',", '[deribit2]'):
        assert line in (copied.stdout + copied.stderr)

    options = [
        f'--data={name}={answer}'
        for name, answer in answers.items()
        if name not in {'backend', 'layout'}
    ]
    made = run_piker_new('backend', 'deribit2', '--into', checkout, *options)
    assert made.returncode == 0, made.stderr
    ours = visible(checkout)
    assert tree(theirs).items() <= ours.items()

    # and with it what is left is not by hand
    git(checkout, 'checkout', '.')
    git(checkout, 'clean', '-fdq')
    shutil.copytree(theirs, checkout, dirs_exist_ok=True)
    made = run_piker_new('backend', 'deribit2', '--into', checkout, *options)
    assert made.returncode == 0, made.stderr
    assert visible(checkout) == ours

    ruff = [sys.executable, '-m', 'ruff']
    style = ['--isolated', '--config', 'format.quote-style = "single"']
    style += ['--config', 'lint.select = ["B", "E", "F", "I", "UP", "W"]']
    for command in (['check'], ['format', '--check', '--diff']):
        linted = subprocess.run(
            [*ruff, *command, *style, *tree(theirs)],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert linted.returncode == 0, linted.stdout + linted.stderr
    for path, content in tree(theirs).items():
        text = content.decode()
        assert 'minipiker' not in text, path
        assert 'simvenue' not in text, path


def test_adopted_modules_are_the_same_byte_for_byte(
    checkout: Path, tmp_path: Path
) -> None:
    project = tmp_path / 'deribit2'
    assert run_piker_new('backend', 'deribit2', project).returncode == 0
    ours = project / 'piker_deribit2'
    (ours / 'venues.py').write_text('"""Of the author\'s own."""\n')
    suite = project / 'tests' / 'on_piker.py'
    for path in (ours / 'api.py', suite):
        path.write_text(path.read_text() + '\n# changed\n')
    (ours / 'feed.py').rename(ours / 'quotes.py')

    made = run_piker_new('adopt', project, '--into', checkout)
    assert (made.returncode, made.stderr) == (0, '')
    package = tree(checkout / 'piker' / 'brokers' / 'deribit2')
    modules = tree(ours)
    assert package.keys() == modules.keys()
    assert {path for path in package if package[path] != modules[path]} == {'_piker.py'}
    assert b'minipiker' not in package['_piker.py']
    assert visible(checkout)['tests/test_deribit2.py'] == suite.read_bytes()

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


def dirty(checkout: Path) -> None:
    (checkout / 'tests' / 'conftest.py').write_text('# mine\n')


def untracked(checkout: Path) -> None:
    (checkout / 'mine.py').write_text('')


def with_that_backend(checkout: Path) -> None:
    (checkout / 'piker' / 'brokers' / 'deribit2').mkdir()
    (checkout / 'piker' / 'brokers' / 'deribit2' / '__init__.py').write_text('')
    git(checkout, 'add', '.')
    git(checkout, 'commit', '-qm', 'A deribit2 of its own')


def with_that_module(checkout: Path) -> None:
    (checkout / 'piker' / 'brokers' / 'deribit2.py').write_text('')
    git(checkout, 'add', '.')
    git(checkout, 'commit', '-qm', 'A deribit2 of its own')


def no_piker(checkout: Path) -> None:
    git(checkout, 'rm', '-q', 'piker/brokers/__init__.py')
    git(checkout, 'commit', '-qm', 'Something else')


def no_git(checkout: Path) -> None:
    (checkout / '.git').rename(checkout.parent / 'elsewhere')


def no_list(checkout: Path) -> None:
    (checkout / 'piker' / 'brokers' / '__init__.py').write_text('')
    git(checkout, 'commit', '-qam', 'Otherwise')


@pytest.mark.parametrize(
    ('spoil', 'what'),
    [
        (dirty, 'not committed, such as tests/conftest.py'),
        (untracked, 'not committed, such as mine.py'),
        (with_that_backend, 'has a backend deribit2 already'),
        (with_that_module, 'has a backend deribit2 already'),
        (no_piker, 'no checkout of piker'),
        (no_git, 'git says no'),
        (no_list, 'no list `__brokers__`'),
    ],
)
def test_a_target_that_does_not_do_is_refused(
    spoil: Callable[[Path], None], what: str, checkout: Path
) -> None:
    spoil(checkout)
    before = visible(checkout)
    refused = run_piker_new('backend', 'deribit2', '--into', checkout)
    assert refused.returncode == 2
    error, note, hint = refused.stderr.splitlines()
    assert what in error
    assert note.startswith('note: ')
    assert hint.startswith('help: ')
    assert visible(checkout) == before


@pytest.mark.parametrize(
    ('arguments', 'what'),
    [
        (['backend', 'deribit2', 'folder', '--into', '.'], 'two places'),
        (['backend', 'deribit2', '--layout', 'in-tree'], 'nothing to be in-tree of'),
        (['backend', 'x1', '--layout', 'project', '--into', '.'], 'answered twice'),
        (['adopt', '.', '--into', '.'], 'no project of piker-new'),
    ],
    ids=str,
)
def test_arguments_that_contradict_are_refused(
    arguments: list[str], what: str, tmp_path: Path
) -> None:
    refused = run_piker_new(*arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 3
    assert what in refused.stderr.splitlines()[0]
    assert list(tmp_path.iterdir()) == []


def test_all_or_nothing(checkout: Path) -> None:
    """A file cannot be written: everything is as it was."""
    config = checkout / 'config' / 'brokers.toml'
    config.write_text(CONFIG + '# long\n' * 100_000)
    git(checkout, 'commit', '-qam', 'A long file')
    before = visible(checkout)
    refused = run_piker_new(
        'backend',
        'deribit2',
        '--into',
        checkout,
        preexec_fn=lambda: setrlimit(RLIMIT_FSIZE, (500_000, 500_000)),
    )
    assert refused.returncode == 1
    assert 'cannot read or write' in refused.stderr
    assert visible(checkout) == before
    assert git(checkout, 'status', '--porcelain') == ''


@pytest.mark.parametrize('folder', ['tmp', 'piker checkout/piker/brokers/deribit2'])
def test_a_signal_in_the_middle(folder: str, checkout: Path, tmp_path: Path) -> None:
    """While it is rendered, and while it is written: all or nothing."""
    before = visible(checkout)
    (tmp_path / 'tmp').mkdir()
    command = ['backend', 'deribit2', '--into', str(checkout)]
    with subprocess.Popen(
        [sys.executable, '-m', 'piker_new', *command],
        env={**os.environ, 'TMPDIR': str(tmp_path / 'tmp')},
        stdout=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and not any((tmp_path / folder).glob('*')):
            pass
        process.send_signal(signal.SIGINT)
    assert process.returncode in {0, 128 + signal.SIGINT}
    assert list((tmp_path / 'tmp').iterdir()) == []
    if process.returncode:
        assert visible(checkout) == before
    else:  # the signal came after the decision
        assert 'nothing was changed' in run_piker_new(*command).stdout


@pytest.mark.parametrize(
    ('source', 'name', 'expected'),
    [
        ("__brokers__ = ['a', 'c']\n", 'b', "__brokers__ = ['a', 'b', 'c']\n"),
        ("__brokers__ = ['a', 'c',]\n", 'd', "__brokers__ = ['a', 'c', 'd',]\n"),
        ('__brokers__: list[str] = []\n', 'b', "__brokers__: list[str] = ['b']\n"),
        (
            "__brokers__ = [\n    'a',  # first\n    'c'\n\n    # old\n]\n",
            'd',
            "__brokers__ = [\n    'a',  # first\n    'c',\n    'd'\n\n    # old\n]\n",
        ),
        (
            "__brokers__ = [\n    'a',  # first\n    'c',\n]\n",
            'b',
            "__brokers__ = [\n    'a',  # first\n    'b',\n    'c',\n]\n",
        ),
    ],
)
def test_a_name_takes_its_place_in_the_list(
    source: str, name: str, expected: str
) -> None:
    assert add_broker(source, name) == expected
    assert add_broker(expected, name) == expected


def test_a_module_without_the_list_is_refused() -> None:
    with pytest.raises(Refusal, match='no list'):
        add_broker('__brokers__ = get_brokers()\n', 'b')


def test_a_section_is_added_below_the_others() -> None:
    after = add_section(CONFIG, 'deribit2')
    assert after.startswith(CONFIG)
    assert tomllib.loads(after)['deribit2'] == {'url': ''}
    assert add_section(after, 'deribit2') == after
    assert add_section('', 'deribit2', trading=True) == STANZA
