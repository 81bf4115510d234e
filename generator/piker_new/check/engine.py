"""Applies rules to backends, and takes out what their authors have excused."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .finding import Finding, Place
from .model import Backend, Module
from .rules import IGNORES, RULES
from .rules.base import Rule

_IGNORE = re.compile(r'#\s*piker:\s*ignore(?:\[([^\]]*)\])?(.*)')


@dataclass
class Ignore:
    """A comment `# piker: ignore[ID, ID] reason`, for its line or the next one."""

    place: Place
    ids: list[str]
    reason: str
    covers: int
    used: set[str] = field(default_factory=set)


def check(backends: Iterable[Backend], rules: Iterable[Rule]) -> list[Finding]:
    """All findings that no comment excuses, by place."""
    chosen = list(rules)
    found: set[Finding] = set()
    for backend in backends:
        found |= set(check_one(backend, chosen))
    return sorted(found)


def check_one(backend: Backend, rules: list[Rule]) -> Iterator[Finding]:
    ignores = [it for mod in backend.modules.values() for it in read_ignores(mod)]
    excused = {
        (ignore.place.path, ignore.covers, id): ignore
        for ignore in ignores
        if ignore.reason
        for id in ignore.ids
    }
    for rule in rules:
        for finding in rule.check(backend):
            key = finding.place.path, finding.place.line, finding.id
            if ignore := excused.get(key):
                ignore.used.add(finding.id)
            else:
                yield finding
    ran = {rule.id for rule in rules}
    for rule in IGNORES:
        if rule.id in ran:
            for ignore in ignores:
                yield from _judge(rule, ignore, ran)


def _judge(rule: Rule, ignore: Ignore, ran: set[str]) -> Iterator[Finding]:
    known = {it.id for it in RULES}
    for id in ignore.ids or ['']:
        what = ''
        if rule.id == 'PK001' and id in ran and ignore.reason and id not in ignore.used:
            what = f'{id} has nothing to excuse here'
        elif rule.id == 'PK002' and not ignore.reason:
            what = f'{id or "an ignore"} is excused without a reason'
        elif rule.id == 'PK003' and id not in known:
            what = f'there is no rule {id!r}' if id else 'it names no rule'
        if what:
            yield Finding(ignore.place, rule.id, what, rule.why, rule.help, rule.level)


def read_ignores(module: Module) -> Iterator[Ignore]:
    if not any('piker: ignore' in line for line in module.lines):
        return
    source = '\n'.join(module.lines) + '\n'
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if match := _IGNORE.match(token.string):
            line, column = token.start
            alone = not token.line[:column].strip()
            yield Ignore(
                Place(module.shown, line, column + 1),
                [it.strip() for it in (match[1] or '').split(',') if it.strip()],
                match[2].strip(),
                covers=line + 1 if alone else line,
            )
