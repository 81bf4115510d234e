"""The command `piker-new split`: which modules of a backend are for which daemon."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Iterator, Sequence

from ..refusal import Refusal
from .engine import check
from .find import find_backends
from .model import Backend
from .model.contract import FALLBACK, LISTS
from .model.state import read_state
from .rules import RULES

# What is harmless in one process and no more in two.
_HAZARDS = ('PK204', 'PK205', 'PK301', 'PK303', 'PK401', 'PK402', 'PK403', 'PK404')


def mods_of(backend: Backend) -> dict[str, list[str]]:
    """The submodules that each kind of daemon has to enable, and no others."""
    found: dict[str, list[str]] = {kind: [] for kind in LISTS}
    for function, kind in backend.contexts.items():
        module = function.module.name
        if not module or (kind and backend.endpoint(function.name) is not function):
            continue
        for it in [kind] if kind else _hosts(backend, module):
            if module not in found[it]:
                found[it].append(module)
    return {kind: sorted(mods) for kind, mods in found.items()}


def _hosts(backend: Backend, module: str) -> list[str]:
    """The daemons that come to the code of a module; both, where it is not seen."""
    hosts = [
        kind
        for kind in LISTS
        if any(it.module.name == module for it in backend.graph.reached(kind))
    ]
    return hosts or list(LISTS)


def declaration(mods: dict[str, list[str]]) -> str:
    lines = [f'{LISTS[kind]}: list[str] = {mods[kind]!r}\n' for kind in LISTS]
    union = ', '.join(f'*{name}' for name in LISTS.values())
    return f'{"".join(lines)}{FALLBACK}: list[str] = [{union}]\n'


def propose(backend: Backend) -> str:
    """A patch that declares the lists; '' where they are declared already."""
    mods = mods_of(backend)
    package = backend.package
    if _is_declared(backend, mods):
        return ''
    before = package.path.read_text(encoding='utf-8')
    after = _rewrite(before, declaration(mods))
    path = os.path.relpath(package.path)
    return ''.join(
        difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            f'a/{path}',
            f'b/{path}',
        )
    )


def _is_declared(backend: Backend, mods: dict[str, list[str]]) -> bool:
    """Whether each list has what it has to, and nothing that is for the other."""
    for kind, other in (('datad', 'brokerd'), ('brokerd', 'datad')):
        declared = backend.mods(LISTS[kind])
        alien = {*mods[other]} - {*mods[kind]}
        if declared is None or not {*mods[kind]} <= {*declared} or alien & {*declared}:
            return False
    return True


def _rewrite(source: str, declared: str) -> str:
    """Put the declaration where a list is now, with the comments that are there."""
    import libcst as cst

    names = {*LISTS.values(), FALLBACK}
    new = list(cst.parse_module(declared).body)
    module = cst.parse_module(source)
    body: list[cst.SimpleStatementLine | cst.BaseCompoundStatement] = []
    done = False
    for statement in module.body:
        if not (isinstance(statement, cst.SimpleStatementLine) and _binds(statement)):
            body.append(statement)
        elif _binds(statement) & names:
            if not done:
                first = new[0].with_changes(leading_lines=statement.leading_lines)
                body += [first, *new[1:]]
                done = True
        else:
            body.append(statement)
    if not done:
        body += [new[0].with_changes(leading_lines=[cst.EmptyLine()]), *new[1:]]
    return module.with_changes(body=body).code


def _binds(statement: object) -> set[str]:
    import libcst as cst

    if not isinstance(statement, cst.SimpleStatementLine):
        return set()
    targets: list[cst.BaseExpression] = []
    for it in statement.body:
        if isinstance(it, cst.Assign):
            targets += [target.target for target in it.targets]
        elif isinstance(it, cst.AnnAssign):
            targets.append(it.target)
    return {it.value for it in targets if isinstance(it, cst.Name)}


def hazards(backend: Backend) -> Iterator[str]:
    """What a human must resolve: what the two daemons have in common today."""
    rules = [rule for rule in RULES if rule.id in _HAZARDS]
    found = check([backend], rules)
    for finding in found:
        yield f'{finding.place}: {finding.id} {finding.what}\n  help: {finding.help}'
    mods = mods_of(backend)
    for mod in sorted({*mods['datad']} & {*mods['brokerd']}):
        yield (
            f'{backend.modules[mod].shown}: {mod!r} has contexts of both daemons\n'
            '  help: move those of one of them to another module'
        )
    graph = backend.graph
    for state in read_state(backend):
        users = {
            kind: [
                it
                for it in (*state.fills, *state.reads)
                if it.function in graph.reached(kind)
            ]
            for kind in LISTS
        }
        said = any(it.what.startswith(f'{state.label} ') for it in found)
        if all(users.values()) and not said:
            first = {kind: users[kind][0] for kind in LISTS}
            places = ' and '.join(
                f'{kind} by {graph.path(kind, access.function)}'
                for kind, access in first.items()
            )
            node = first['datad'].node
            where = first['datad'].function.module.place(node)
            yield (
                f'{where}: {state.label} will be two, one in each daemon; {places}\n'
                '  help: see that each fills its own'
            )


def run(arguments: Sequence[str]) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(
        'piker-new split',
        description='Print a patch that says which modules of a backend datad and '
        'brokerd enable; what is left to a human goes to the standard error.',
        epilog='To apply it: piker-new split PATH | git apply',
    )
    parser.add_argument('target', help='a package: piker/brokers/kraken')
    given = parser.parse_args(arguments)
    try:
        backends = find_backends([given.target])
        if len(backends) > 1:
            raise Refusal(
                f"'{given.target}' has {len(backends)} backends\n"
                'note: they are split one by one\n'
                f'help: piker-new split {backends[0].package.shown}'
            )
        [backend] = backends
        if not backend.package.is_package:
            raise Refusal(
                f"'{backend.package.shown}' is a single module\n"
                'note: both daemons enable it as it is, whatever lists say\n'
                'help: make it a package, with the order dialog in a module of its own'
            )
        if patch := propose(backend):
            print(patch, end='')
            for hazard in hazards(backend):
                print(hazard, file=sys.stderr)
        else:
            print('the lists are as they should be; nothing to patch', file=sys.stderr)
    except Refusal as refusal:
        print('error:', refusal, file=sys.stderr)
        return refusal.status
    return 0
