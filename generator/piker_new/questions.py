"""The questions of `copier.yml`, which are the options of `piker-new backend`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from .refusal import Refusal

if TYPE_CHECKING:
    from jinja2 import Environment

Answer = str | bool

_installed: Path = Path(__file__).parent / '_template'

# Where copier.yml, names.jinja and template/ are: packed beside this module in a
# wheel, at the root of a checkout.
TEMPLATE: Path = _installed if _installed.is_dir() else Path(__file__).parents[2]


@dataclass(frozen=True)
class Question:
    """One question that is asked; hidden ones are computed by copier alone."""

    name: str
    type: str
    help: str
    default: Answer | None
    choices: tuple[str, ...]
    validator: str

    @property
    def shown_default(self) -> str | bool:
        """The default as a user would type it, or False where there is none."""
        match self.default:
            case bool(answer):
                return self.name if answer else f'no-{self.name}'
            case str(answer):
                return answer.replace('{{ backend }}', '<name>') or False
        return False

    def parse(self, text: str) -> Answer:
        """The answer spelt by `text`, with its type; raises `Refusal`."""
        if self.choices and text not in self.choices:
            raise Refusal(
                f'{text!r} is no {self.name}\n'
                f'note: it can be {", ".join(self.choices)}\n'
                f'help: try --{self.name} {self.default}'
            )
        if self.type == 'bool':
            answer = yaml.safe_load(text) if text.isalpha() else None
            if not isinstance(answer, bool):
                raise Refusal(
                    f'{text!r} is neither yes nor no\n'
                    f'note: {self.name} is a question of yes or no\n'
                    f'help: try --{self.name} or --no-{self.name}'
                )
            return answer
        rule = jinja().from_string(self.validator)
        if lines := rule.render({self.name: text}).strip():
            raise Refusal(lines)
        return text


@cache
def _config() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((TEMPLATE / 'copier.yml').read_bytes())
    return config


@cache
def jinja() -> Environment:
    """What copier renders validators with, at a seventh of its start-up time."""
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    options = _config()['_envops'] | {'undefined': StrictUndefined}
    return SandboxedEnvironment(loader=FileSystemLoader(TEMPLATE), **options)


@cache
def questions() -> Mapping[str, Question]:
    """The questions by name, in the order in which they are asked."""
    return {
        name: Question(
            name,
            details['type'],
            details['help'],
            details.get('default'),
            tuple(details.get('choices', {}).values()),
            details.get('validator', ''),
        )
        for name, details in _config().items()
        if not name.startswith('_') and details.get('when', True)
    }


def parse_pair(pair: str) -> tuple[str, Answer]:
    """A `question=answer` of `--data`, parsed; raises `Refusal`."""
    name, equals, text = pair.partition('=')
    question = questions().get(name)
    if not equals or question is None:
        near = get_close_matches(name, questions(), n=1) or ['client']
        raise Refusal(
            f'{pair!r} answers no question\n'
            f'note: the questions are {", ".join(questions())}\n'
            f'help: try --data {near[0]}=...'
        )
    return name, question.parse(text)
