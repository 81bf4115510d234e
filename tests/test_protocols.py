"""What is ours is the same, byte for byte, whatever the venue speaks."""

from __future__ import annotations

import re

import pytest
from conftest import Answers, Render, tree

from piker_new.questions import questions

PROTOCOLS = questions()['protocol'].choices or ()

# The author's, and what differs by its answer: how one connects, the summary of all
# that, and what it needs.
MAY_DIFFER = re.compile(
    r'piker_acme/([a-z]\w*|_connection|_http)\.py'
    r'|simvenue/(dialect/\w+|jsonrpc)\.py'
    r'|recordings/\w+\.jsonl'
    r'|tests/(test_api(_\w+)?|test_dialect(_\w+)?|test_http|wire)\.py'
    r'|README\.md|docs/\w+\.md|workbench\.svg|pyproject\.toml|\.copier-answers\.yml'
)


@pytest.mark.parametrize('client', ['trio', 'asyncio'])
@pytest.mark.parametrize('trading', [True, False], ids=['trading', 'data'])
def test_what_is_ours_is_the_same(client: str, trading: bool, rendered: Render) -> None:
    answers: Answers = {'backend': 'acme', 'client': client, 'trading': trading}
    first, second = (tree(rendered({**answers, 'protocol': it})) for it in PROTOCOLS)
    differing = {
        path
        for path in first.keys() | second.keys()
        if first.get(path) != second.get(path)
    }
    assert {path for path in differing if not MAY_DIFFER.fullmatch(path)} == set()
    # or nothing would be found anywhere
    for path in ('piker_acme/api.py', 'piker_acme/_connection.py', 'tests/wire.py'):
        assert path in differing
