"""Who knows the venue's language: the author's files alone."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import MakeProject, Render, outside, tree

# The backend's are all that have no underscore before their names, and these the
# simulator's and the suite's.
AUTHORS = re.compile(
    r'simvenue/dialect/.*'
    r'|tests/(test_api(_\w+)?|test_dialect(_\w+)?|wire)\.py'
    r'|piker_acme/([a-z]\w*|__init__)\.py'
)
VENUES = {'jsonrpc': 'deribit', 'rest': 'kraken'}
# Named otherwise than what is looked for, so that its own name is not found.
ANSWERS = {'backend': 'acme'}


def calls_of(source: bytes, function: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == function
        ):
            yield node


def methods(files: dict[str, bytes]) -> set[str]:
    """What can be asked for on the wire, by the dialect's own word."""
    return {
        argument.value
        for path in files
        if path.startswith('simvenue/dialect/')
        for call in calls_of(files[path], 'method')
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def channels(files: dict[str, bytes]) -> set[str]:
    """The first words of the names of channels, by the backend's own word."""
    for node in ast.walk(ast.parse(files['piker_acme/messages.py'])):
        match node:
            case ast.AnnAssign(
                target=ast.Name(id='message_types'), value=ast.Dict(keys=keys)
            ):
                return {ast.literal_eval(key) for key in keys if key}
    raise AssertionError('no message_types')


def pairs(url: str) -> set[str]:
    """What it is called by HTTP, where it has other names there."""
    with urlopen(f'{url}/0/public/AssetPairs') as reply:
        rows = json.load(reply)['result']
    columns = ('altname', 'wsname', 'base', 'quote')
    called = {row[name] for row in rows.values() for name in columns}
    # what is no more than a currency's name everywhere is nobody's word
    return {*rows, *(name for name in called if len(name) > 3 and name != 'USDT')}


def instruments(project: Path, protocol: str) -> set[str]:
    """What is listed, by the simulator's own word."""
    with subprocess.Popen(
        [project / '.venv' / 'bin' / 'python', '-m', 'simvenue', '--until-eof'],
        cwd=project,
        env=outside(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            url, controls = (process.stdout.readline().strip() for _ in range(2))
            with urlopen(f'{controls}/markets') as reply:
                names = {market['name'] for market in json.load(reply)}
            return names | (pairs(url) if protocol == 'rest' else set())
        finally:
            process.terminate()


@pytest.mark.parametrize('client', ['trio', 'asyncio'])
@pytest.mark.parametrize('protocol', VENUES)
def test_is_known_to_the_author_alone(
    client: str, protocol: str, rendered: Render, make_project: MakeProject
) -> None:
    files = tree(rendered({**ANSWERS, 'client': client, 'protocol': protocol}))
    options = ('--protocol', protocol) if protocol == 'rest' else ()
    names = instruments(make_project(*options), protocol)
    # those that expire, by what comes before the day
    dated = {re.sub(r'-\d+[A-Z]{3}\d\d.*', '-', name) for name in names}
    words = [re.escape(word) + r'(?!\w)' for word in {*methods(files), *dated & names}]
    words += [re.escape(word) + r'\d' for word in dated - names]
    assert len(words) > 50
    if protocol == 'jsonrpc':
        words += [rf'{word}\.[A-Z{{]' for word in channels(files)]
    venues = '|'.join(VENUES.values())
    pattern = re.compile(rf'(?i:{venues})|(?<![\w-])({"|".join(words)})')
    known = {
        path: [it for it in content.decode().splitlines() if pattern.search(it)]
        for path, content in files.items()
        if path.endswith('.py')
    }
    for path in (
        'simvenue/dialect/listing.py',
        'piker_acme/api.py',
        'tests/test_api.py',
    ):
        assert known[path], 'or nothing would be found anywhere'
    assert {
        path: lines
        for path, lines in known.items()
        if lines and not AUTHORS.fullmatch(path)
    } == {}
