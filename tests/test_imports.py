"""
Imports within the generated host go one way.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

CLEARING = Path(__file__).parents[1] / 'template' / 'minipiker' / 'clearing'


def test_clearing_has_no_circle_of_imports() -> None:
    """
    Nor one that is only cut by importing within a function.
    """
    graph: dict[str, set[str]] = {}
    for file in CLEARING.glob('*.py'):
        nodes = [*ast.walk(ast.parse(file.read_text()))]
        graph[file.stem] = {
            node.module
            for node in nodes
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        }
    assert '_paper_engine' in graph['_ems']
    assert '_ems' in graph['_daemon']
    TopologicalSorter(graph).prepare()  # raises `CycleError`
