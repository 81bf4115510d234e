"""
A backend that is only being written: what is there works, and what is missing is said.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from minipiker.testing import Venue, open_process, run_minipiker


@pytest.fixture
def copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mod: ModuleType) -> Path:
    """
    The backend's package, in a copy of the project which commands run in.
    """
    package = Path(mod.__path__[0])
    for name in (package.name, 'minipiker', 'simvenue'):
        ignored = shutil.ignore_patterns('__pycache__')
        shutil.copytree(package.with_name(name), tmp_path / name, ignore=ignored)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    monkeypatch.setenv('COLUMNS', '1000')
    return tmp_path / package.name


@pytest.mark.parametrize(
    ('source', 'reason'),
    [
        ('def open_trade_dialog(', 'SyntaxError'),
        ('from .api import place_the_order', "cannot import name 'place_the_order'"),
    ],
)
def test_quotes_come_before_orders(
    copy: Path,
    session_venue: Venue,
    broker: str,
    source: str,
    reason: str,
) -> None:
    (copy / 'broker.py').write_text(source)
    url = session_venue.url
    args = (session_venue.symbol, '--count', '1', '--venue', url)
    quotes = run_minipiker('quotes', *args)
    assert quotes.returncode == 0
    assert quotes.stdout
    (line,) = quotes.stderr.splitlines()
    assert f'{broker} cannot trade yet: no open_trade_dialog' in line
    assert reason in line

    orders = run_minipiker('orders', '--live', '--venue', url)
    assert orders.returncode == 1
    assert re.fullmatch(rf'error: .*{re.escape(reason)}.*\n', orders.stderr)


def test_what_is_wrong_is_said_at_once(copy: Path) -> None:
    (copy / 'api.py').write_text('from .messages import NoSuchMessage\n')
    done = run_minipiker('tree')
    assert done.returncode == 1
    missing = "cannot import name 'NoSuchMessage'"
    assert re.fullmatch(rf'error: .* {missing} .*\n', done.stderr)

    (copy.parent / 'minipiker' / 'cli.py').write_text('1 / 0\n')
    with (
        pytest.raises(RuntimeError, match='ZeroDivisionError'),
        open_process('minipiker', 'pikerd', '--until-eof'),
    ):
        pass
