"""What is done to a backend to break a rule."""

from __future__ import annotations

Edit = tuple[str, str, str]
"""
A file of the backend (`*.py` for whichever has it), the text that it has, and the text
to put in its place; with no text to find, the other is added at the end.
"""

Mutants = dict[str, list[Edit]]
"""By the id of the rule that is broken."""

INIT = '__init__.py'
