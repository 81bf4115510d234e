"""The module that is written: its methods, its docstrings, its layout."""

from __future__ import annotations

import inspect
import re
import textwrap
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .names import WIDTH

if TYPE_CHECKING:
    from .reader import Reader


@dataclass
class Method:
    name: str
    parameters: list[str]
    result: str
    doc: str
    arguments: set[str]
    # whether it may as well reply at once
    is_mixed: bool

    def write(self) -> str:
        head = f'    async def {self.name}'
        line = f'{head}({", ".join(self.parameters)}) -> {self.result}:'
        # in the width stands what a formatter may append to an empty body
        if len(f'{line} ...') > WIDTH:
            lines = ''.join(f'        {each},\n' for each in self.parameters)
            line = f'{head}(\n{lines}    ) -> {self.result}:'
        if not self.doc:
            return f'{line} ...'
        return f'{line}\n{_write_doc(self.doc)}'


def _write_doc(doc: str) -> str:
    indent = ' ' * 8
    line = f'{indent}"""{doc}"""'
    if len(line) <= WIDTH and not doc.startswith('"') and not doc.endswith('"'):
        return line
    return f'{indent}"""\n{fill(doc, indent)}\n{indent}"""'


def fill(text: str, indent: str = '', hanging: str = '') -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


_plainer = {
    **dict.fromkeys(map(ord, '\u2018\u2019\u2032'), "'"),
    **dict.fromkeys(map(ord, '\u201c\u201d'), '"'),
    **dict.fromkeys(map(ord, '\u2013\u2014\u2212'), '-'),
}


def plain(text: str) -> str:
    """`text` in one line that may stand in a docstring."""
    text = text.translate(_plainer)
    text = unicodedata.normalize('NFKD', text).encode('ascii', 'ignore').decode()
    return ' '.join(text.split()).replace('\\', '\\\\').replace('"""', "'''")


def summary_of(member: Any) -> str:
    """The first paragraph of the docstring, without what follows it in it."""
    doc = inspect.getdoc(member) or ''
    paragraph = re.split(
        r'\n\s*\n|^\s*:\w+|^\s*\.\.|^\s*(?:Args|Returns|Parameters)\b',
        doc.strip(),
        maxsplit=1,
        flags=re.MULTILINE,
    )[0]
    return plain(paragraph)


def write(spec: str, reader: Reader) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    names = reader.names
    flagged = {'ASYNC109': {'timeout'}, 'E741': {'l', 'O', 'I'}}
    methods = '\n\n'.join(method.write() for method in reader.methods)
    arguments = {each for method in reader.methods for each in method.arguments}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        block_start_string='#{%',
        block_end_string='%}',
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    is_mixed = any(method.is_mixed for method in reader.methods)
    if reader.events or reader.hooks or is_mixed:
        names.use('collections.abc', 'Callable')
    types = names.write(stdlib=False)
    if types:
        names.use('typing', 'TYPE_CHECKING')
    return environment.get_template('sdk.py.jinja').render(
        intro=fill(f"The vendor's own client, `{spec}`, as trio tasks call it."),
        sdk=reader.sdk,
        name=reader.cls.__name__,
        is_entered=reader.is_entered,
        close=reader.close,
        closes_later=not reader.is_entered and (reader.close or '').startswith('await'),
        uses_builtins='builtins.' in methods,
        imports=names.write(stdlib=True),
        types=types,
        notes='\n'.join(fill(f'- {note}', hanging='  ') for note in reader.notes),
        methods=methods,
        is_mixed=is_mixed,
        events=reader.events,
        hooks=reader.hooks,
        noqa=[code for code, names in flagged.items() if names & arguments],
    )
