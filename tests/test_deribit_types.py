"""What Deribit says is understood: recorded messages, by the backend's own types.

They are not part of the project: it takes their folder from PIKER_NEW_FRAMES, or finds
it beside itself.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, outside
from frames import FOLDER

FRAMES = FOLDER / 'deribit'

pytestmark = pytest.mark.skipif(
    not FRAMES.is_dir(), reason=f'no recorded messages in {FRAMES}'
)

# Kinds that the backend does not ask for, and so has no types for.
NOT_USED = {
    'http_get_account_summaries': 'positions and orders are what is traded by',
    'http_get_account_summaries_cross_margin': 'likewise',
    'http_get_combos': 'combos are instruments as all others',
    'http_get_expirations_any': 'the instruments say it',
    'http_get_expirations_btc_option': 'likewise',
    'http_test': 'an answer to a heartbeat, to which there is no other',
    'ws_book_delta': 'there is no depth of market in a feed',
    'ws_book_grouped_snapshot': 'likewise',
    'ws_book_snapshot': 'likewise',
    'ws_chart': 'there are no bars in a feed',
    'ws_portfolio': 'there are no balances in an order dialog',
    'ws_ticker': 'the first quote is asked for, others are of another channel',
    'ws_volatility_index': 'it is no market',
}


def same(ours: Any, theirs: Any, where: str) -> list[str]:
    """What we have of it is as they said it."""
    match ours, theirs:
        case dict(), dict():
            return [
                flaw
                for name in ours.keys() & theirs.keys()
                for flaw in same(ours[name], theirs[name], f'{where}.{name}')
            ]
        case list(), list():
            flaws = [] if len(ours) == len(theirs) else [f'{where}: another length']
            for at, (one, other) in enumerate(zip(ours, theirs, strict=False)):
                flaws += same(one, other, f'{where}[{at}]')
            return flaws
    return [] if ours == theirs else [f'{where}: {ours!r} is not {theirs!r}']


@pytest.fixture(scope='module')
def decoded(project: Path) -> dict[str, Any]:
    paths = [path for path in FRAMES.glob('*.json') if path.stem not in NOT_USED]
    script = ROOT / 'tests' / 'in_project' / 'decode_frames.py'
    done = subprocess.run(
        [project / '.venv' / 'bin' / 'python', script, *paths],
        cwd=project,
        env={**outside(), 'PYTHONPATH': str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize('path', sorted(FRAMES.glob('*.json')), ids=lambda it: it.stem)
def test_is_understood(path: Path, decoded: dict[str, Any]) -> None:
    if reason := NOT_USED.get(path.stem):
        pytest.skip(reason)
    recorded = json.loads(path.read_text())
    ours = decoded[path.stem]
    match recorded:
        case {'result': theirs} | {'params': {'data': theirs}}:
            assert same(ours, theirs, path.stem) == []
            assert ours not in ({}, [])
        case {'error': {'code': code}}:
            assert 'Throttled' in ours
            assert str(code) in ours
        case {'method': 'heartbeat'}:
            assert ours == ['public/test']
        case _:
            pytest.fail(f'what is it? {recorded}')
