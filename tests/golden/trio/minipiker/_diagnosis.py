"""
What `diagnose` shows of a tree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain

import msgspec
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ._terminal import cell
from .service._diagnose import Actor, Diagnosis
from .service._report import TaskInfo


def to_json(diagnosis: Diagnosis) -> str:
    return json.dumps(msgspec.to_builtins(diagnosis))


def to_tables(diagnosis: Diagnosis) -> Iterator[Table]:
    """
    The actors with their connections to the venue, and all their sockets.
    """
    table = _mk_table('actor', 'pid', 'state', 'loop', 'venue')
    for column in ('heard', 'sent', 'pending'):
        table.add_column(column, justify='right')
    for actor in diagnosis.actors:
        loop = actor.report.loop if actor.report else 'no answer'
        row = [*map(cell, (actor.name, actor.pid, actor.state, loop))]
        for venue in actor.report.venues if actor.report else ():
            row += [
                cell('connected' if venue.connected else 'not connected'),
                cell(_age(venue.heard)),
                cell(_age(venue.sent)),
                Text('\n').join(
                    cell(f'{method} {_age(age)}') for method, age in venue.pending
                ),
            ]
            table.add_row(*row)
            row = [cell('')] * 4
        if any(row):
            table.add_row(*row)
    yield table

    table = _mk_table('actor', 'socket', 'state')
    for column in ('unread', 'unsent'):
        table.add_column(column, justify='right')
    for actor in diagnosis.actors:
        for it in actor.connections:
            table.add_row(
                cell(actor.name),
                cell(f'with {it.peer}' if it.peer else f'at {it.local}'),
                cell(it.status.lower()),
                *(
                    cell('not known here' if size is None else size)
                    for size in (it.unread, it.unsent)
                ),
            )
    yield table


def _mk_table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column)
    return table


def _age(seconds: float | None) -> str:
    return '' if seconds is None else f'{seconds:.1f} s'


def to_tree(actor: Actor) -> Tree:
    """
    The tasks of an actor, and where each waits.
    """
    tree = Tree(cell(actor, 'bold'))
    if (report := actor.report) is None:
        tree.add(cell('not known here'))
        return tree
    if report.tasks:
        _add_task(tree, report.tasks)
    return tree


def _add_task(tree: Tree, task: TaskInfo) -> None:
    branch = tree.add(cell(f'{task.name}, at {task.place}'))
    for child in chain(*task.nurseries):
        _add_task(branch, child)
