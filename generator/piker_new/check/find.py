"""The backends that a path or a module's name stands for, without importing them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from ..refusal import Refusal
from .model import Backend, Module
from .model.contract import ENDPOINTS, FALLBACK, LEGACY, LISTS

_SIGNS = {*ENDPOINTS, LEGACY, FALLBACK, *LISTS.values()}
_SKIPPED = {'tests', 'minipiker', 'simvenue', 'build', 'dist'}


def find_backends(targets: Iterable[str]) -> list[Backend]:
    """Load what each of `targets` stands for; raises `Refusal`."""
    found: dict[Path, Backend] = {}
    try:
        for target in targets:
            for root in _roots(target):
                key = root.resolve()
                if key not in found:
                    found[key] = load(root)
    finally:
        _read.cache_clear()
        _parse.cache_clear()
    return list(found.values())


def _roots(target: str) -> list[Path]:
    path = Path(target)
    if path.exists():
        return _roots_in(path)
    if os.sep not in target and not target.endswith('.py'):
        if located := _locate(target):
            return _roots_in(located)
        if target.isidentifier() or '.' in target:
            raise Refusal(
                f'there is no path and no module {target!r}\n'
                'note: modules are looked for in this folder and on the path of '
                'Python and of the virtual environment\n'
                'help: name a file, a folder or a module: piker.brokers.kraken'
            )
    raise Refusal(
        f"there is no '{target}'\n"
        'note: neither a file nor a folder\n'
        'help: name a backend, or a folder with some in it: piker/brokers'
    )


def _locate(module: str) -> Path | None:
    """Where a module would be imported from; its parents are not imported either."""
    parts = module.split('.')
    if not all(part.isidentifier() for part in parts):
        return None
    places = [Path('.'), Path('src'), *(Path(it) for it in sys.path if it)]
    if environment := os.environ.get('VIRTUAL_ENV'):
        places += sorted(Path(environment).glob('lib/python*/site-packages'))
    for place in places:
        path = place.joinpath(*parts)
        if (path / '__init__.py').is_file():
            return path
        if path.with_suffix('.py').is_file():
            return path.with_suffix('.py')
    return None


def _roots_in(path: Path) -> list[Path]:
    if path.is_file():
        if path.name == '__init__.py':
            path = path.parent
        elif path.suffix != '.py':
            raise Refusal(
                f"'{path}' is no Python\n"
                'note: a backend is a package or a module\n'
                'help: name its folder'
            )
        elif not _is_backend(path) and _is_backend(path.parent):
            path = path.parent  # of which it is a module
        if _is_backend(path):
            return [path]
    else:
        if _is_backend(path):
            return [path]
        below = path / 'piker' / 'brokers'
        found = list(_below(below if below.is_dir() else path))
        if found:
            return found
    raise Refusal(
        f"'{path}' is not a backend\n"
        'note: it has none of the endpoints that piker looks for, such as '
        'stream_quotes()\n'
        'help: name the package of a backend, or a folder with some in it'
    )


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED or path.name.startswith(('.', '_')):
            continue
        if (path.suffix == '.py' or (path / '__init__.py').is_file()) and (
            _is_backend(path, among_others=True)
        ):
            yield path


def _is_backend(path: Path, *, among_others: bool = False) -> bool:
    """
    Whether the package or module binds any name that piker asks backends for. A module
    `among_others` needs more of them: some of the host's have a namesake.
    """
    file = path / '__init__.py' if path.is_dir() else path
    if not file.is_file() or not any(sign in _read(file) for sign in _SIGNS):
        return False
    module = _parse('', file)
    if path.is_dir():
        return bool(_SIGNS & module.names)
    own = _SIGNS & {*module.body.inner, *module.values}  # not what it only imports
    return 'get_client' in own or len(own) > among_others


def load(root: Path) -> Backend:
    """Read the modules of a backend."""
    if root.is_file():
        return Backend(root.stem, root, {'': _parse('', root)})
    modules: dict[str, Module] = {}
    for path in sorted(root.rglob('*.py')):
        parts = list(path.relative_to(root).with_suffix('').parts)
        if any(part.startswith('.') or part == '__pycache__' for part in parts):
            continue
        if parts[-1] == '__init__':
            parts.pop()
        modules['.'.join(parts)] = _parse('.'.join(parts), path)
    return Backend(root.resolve().name, root, modules)


@cache
def _read(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(
            f"cannot read '{path}'\n"
            f'note: {error}\n'
            'help: a backend is Python source in UTF-8, which you may read'
        ) from None


@cache
def _parse(name: str, path: Path) -> Module:
    try:
        return Module(name, path, os.path.relpath(path), _read(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, 'lineno', None) or 1
        raise Refusal(
            f"'{path}' is no Python that can be read\n"
            f'note: line {line}: {error.args[0] if error.args else error}\n'
            'help: mend it, or run piker-new on the Python that it is written for'
        ) from None
