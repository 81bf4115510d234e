"""How findings are written: for people, programs, GitHub and code scanners."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from .. import __version__
from .finding import Finding
from .rules import RULES


def as_text(findings: list[Finding]) -> str:
    """A block for each: where, what; why; what to do."""
    blocks = [
        f'{it.place}:{it.place.column}: {it.id} {it.what}\n'
        f'  why:  {it.why}\n'
        f'  help: {it.help}\n'
        for it in findings
    ]
    return '\n'.join(blocks)


def as_json(findings: list[Finding]) -> str:
    rows = [
        {
            'id': it.id,
            'level': it.level,
            **asdict(it.place),
            'what': it.what,
            'why': it.why,
            'help': it.help,
        }
        for it in findings
    ]
    return json.dumps(rows, indent=2) + '\n'


def as_github(findings: list[Finding]) -> str:
    """Commands of a workflow, which become notes in the diff of a pull request."""

    def escape(text: str) -> str:
        return text.replace('%', '%25').replace('\r', '%0D').replace('\n', '%0A')

    def value(text: str) -> str:
        return escape(text).replace(':', '%3A').replace(',', '%2C')

    return ''.join(
        f'::{it.level} file={value(it.place.path)},line={it.place.line},'
        f'col={it.place.column},title={value(it.id)}'
        f'::{escape(f"{it.what}. {it.why} Help: {it.help}")}\n'
        for it in findings
    )


def as_sarif(findings: list[Finding]) -> str:
    """SARIF 2.1.0."""
    from urllib.parse import quote

    log = {
        '$schema': 'https://json.schemastore.org/sarif-2.1.0.json',
        'version': '2.1.0',
        'runs': [
            {
                'tool': {
                    'driver': {
                        'name': 'piker-new check',
                        'version': __version__,
                        'rules': [
                            {
                                'id': rule.id,
                                'shortDescription': {'text': rule.title},
                                'fullDescription': {'text': rule.why},
                                'help': {'text': rule.help},
                            }
                            for rule in RULES
                        ],
                    }
                },
                'results': [
                    {
                        'ruleId': it.id,
                        'level': it.level,
                        'message': {'text': f'{it.what}. {it.why} Help: {it.help}'},
                        'locations': [
                            {
                                'physicalLocation': {
                                    'artifactLocation': {'uri': quote(it.place.path)},
                                    'region': {
                                        'startLine': it.place.line,
                                        'startColumn': it.place.column,
                                    },
                                }
                            }
                        ],
                    }
                    for it in findings
                ],
            }
        ],
    }
    return json.dumps(log, indent=2) + '\n'


FORMATS: dict[str, Callable[[list[Finding]], str]] = {
    'text': as_text,
    'json': as_json,
    'github': as_github,
    'sarif': as_sarif,
}


def as_table() -> str:
    """All rules, a line each: id, level, title."""
    return ''.join(f'{it.id}  {it.level:7}  {it.title}\n' for it in RULES)


def explain(id: str) -> str | None:
    """All that there is to say of a rule."""
    for rule in RULES:
        if rule.id == id:
            return (
                f'{rule.id} ({rule.level}): {rule.title}\n\n'
                f'{rule.why}\n\n'
                f'Instead: {rule.help}\n'
                f'Source: {rule.source}\n'
            )
    return None
