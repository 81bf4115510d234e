"""The backends that a path or a module's name stands for, without importing them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..refusal import Refusal
from .model import Backend, Module
from .model.contract import ENDPOINTS, FALLBACK, LEGACY, LISTS

_SIGNS = {*ENDPOINTS, LEGACY, FALLBACK, *LISTS.values()}
_SKIPPED = {'tests', 'minipiker', 'simvenue', 'build', 'dist'}


def find_backends(targets: Iterable[str]) -> list[Backend]:
    """Load what each of `targets` stands for; raises `Refusal`."""
    loader = _Loader()
    found: dict[Path, Backend] = {}
    for target in targets:
        for root in loader.roots(target):
            key = root.resolve()
            if key not in found:
                found[key] = loader.load(root)
    return list(found.values())


def load(root: Path) -> Backend:
    """The backend that is that package or module."""
    return _Loader().load(root)


class _Loader:
    """Reads each file once."""

    def __init__(self) -> None:
        self._sources: dict[Path, str] = {}
        self._modules: dict[tuple[str, Path], Module] = {}

    def roots(self, target: str) -> list[Path]:
        path = Path(target)
        if path.exists():
            return self._roots_in(path)
        if os.sep not in target and not target.endswith('.py'):
            if located := _locate(target):
                return self._roots_in(located)
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

    def _roots_in(self, path: Path) -> list[Path]:
        if path.is_file():
            if path.name == '__init__.py':
                path = path.parent
            elif path.suffix != '.py':
                raise Refusal(
                    f"'{path}' is no Python\n"
                    'note: a backend is a package or a module\n'
                    'help: name its folder'
                )
            elif not self._is_backend(path) and self._is_backend(path.parent):
                path = path.parent  # of which it is a module
            if self._is_backend(path):
                return [path]
        else:
            if self._is_backend(path):
                return [path]
            places = [path / 'piker' / 'brokers', path, path / 'src']
            for place in filter(Path.is_dir, places):
                if found := list(self._below(place)):
                    return found
        raise Refusal(
            f"'{path}' is not a backend\n"
            'note: it has none of the endpoints that piker looks for, such as '
            'stream_quotes()\n'
            'help: name the package of a backend, or a folder with some in it'
        )

    def _below(self, folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if path.name in _SKIPPED or path.name.startswith(('.', '_')):
                continue
            if (path.is_dir() or path.suffix == '.py') and (
                self._is_backend(path, among_others=True)
            ):
                yield path

    def _is_backend(self, path: Path, *, among_others: bool = False) -> bool:
        """
        Whether the package or module binds any name that piker asks backends for. A
        module `among_others` needs more of them: some of the host's have a namesake.
        """
        file = path / '__init__.py' if path.is_dir() else path
        if not file.is_file() or not any(it in self._read(file) for it in _SIGNS):
            return False
        module = self._parse('', file)
        if path.is_dir():
            return bool(_SIGNS & module.names)
        # not what it only imports
        own = _SIGNS & {*module.body.inner, *module.values}
        return 'get_client' in own or len(own) > among_others

    def load(self, root: Path) -> Backend:
        if root.is_file():
            return Backend(root.stem, root, {'': self._parse('', root)})
        modules: dict[str, Module] = {}
        for path in sorted(root.rglob('*.py')):
            parts = list(path.relative_to(root).with_suffix('').parts)
            if any(part.startswith('.') or part == '__pycache__' for part in parts):
                continue
            if parts[-1] == '__init__':
                parts.pop()
            name = '.'.join(parts)
            modules[name] = self._parse(name, path)
        return Backend(root.resolve().name, root, modules)

    def _read(self, path: Path) -> str:
        if path not in self._sources:
            try:
                self._sources[path] = path.read_text(encoding='utf-8')
            except (OSError, UnicodeDecodeError) as error:
                raise Refusal(
                    f"cannot read '{path}'\n"
                    f'note: {error}\n'
                    'help: a backend is Python source in UTF-8, which you may read'
                ) from None
        return self._sources[path]

    def _parse(self, name: str, path: Path) -> Module:
        if (name, path) not in self._modules:
            source = self._read(path)
            try:
                module = Module(name, path, os.path.relpath(path), source)
            except (SyntaxError, ValueError, RecursionError) as error:
                line = getattr(error, 'lineno', None) or 1
                raise Refusal(
                    f"'{path}' is no Python that can be read\n"
                    f'note: line {line}: {error.args[0] if error.args else error}\n'
                    'help: mend it, or run piker-new on the Python that it is for'
                ) from None
            self._modules[name, path] = module
        return self._modules[name, path]


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
