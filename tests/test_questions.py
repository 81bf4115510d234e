"""The questions: what `copier.yml` asks is what the command line offers."""

from __future__ import annotations

import re
import sys
from keyword import kwlist, softkwlist

import pytest
import yaml
from conftest import ROOT, run_piker_new

from piker_new import __version__
from piker_new.questions import questions

CONFIG = yaml.safe_load((ROOT / 'copier.yml').read_text())
ASKED = [
    name
    for name, details in CONFIG.items()
    if not name.startswith('_') and details.get('when') is not False
]


def test_every_question_is_an_option_in_the_same_order() -> None:
    usage = run_piker_new('backend', '--help').stdout
    offered = re.findall(r'^  --([\w-]+)', usage, re.MULTILINE)
    assert [name for name in offered if name in ASKED] == ASKED[1:]
    for name in ASKED[1:]:
        assert CONFIG[name]['help'] in ' '.join(usage.split())


def test_every_question_but_the_name_has_a_default() -> None:
    assert [name for name in ASKED if 'default' not in CONFIG[name]] == ['backend']


@pytest.mark.parametrize('name', ASKED)
def test_a_default_is_a_valid_answer(name: str) -> None:
    question = questions()[name]
    if question.choices:
        assert question.default in question.choices


def test_nothing_asks_for_trust() -> None:
    assert not {'_tasks', '_migrations', '_jinja_extensions'} & CONFIG.keys()


def names(group: str) -> list[str]:
    """A list of names.jinja."""
    found = re.search(
        rf"set {group} = '(.*?)'", (ROOT / 'names.jinja').read_text(), re.DOTALL
    )
    assert found
    return found[1].split()


def test_all_keywords_are_refused() -> None:
    lowercase = {word for word in [*kwlist, *softkwlist] if word.islower()}
    assert lowercase <= set(names('keywords'))


def test_all_of_the_standard_library_is_refused() -> None:
    public = {name for name in sys.stdlib_module_names if not name.startswith('_')}
    assert {name for name in public if name.islower()} <= set(names('stdlib'))


def test_the_answers_name_this_version() -> None:
    answers = ROOT / 'template' / '{{ _copier_conf.answers_file }}.jinja'
    assert f"_commit='v{__version__}'" in answers.read_text()
