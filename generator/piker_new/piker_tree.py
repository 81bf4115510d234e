"""Put a backend into a checkout of piker: its files, and the lines that name it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Container, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import yaml

from .questions import Answer, jinja, questions
from .refusal import Refusal
from .render import render
from .temporary import temporary_folder

_REGISTRY = Path('piker', 'brokers', '__init__.py')
_CONFIG = Path('config', 'brokers.toml')


def check_checkout(checkout: Path) -> None:
    """Raise `Refusal` where `checkout` is not the root of a git checkout of piker."""
    for path in (_REGISTRY, _CONFIG):
        if not (checkout / path).is_file():
            raise Refusal(
                f"'{checkout}' is no checkout of piker\n"
                f'note: it has no {path}\n'
                'help: name the folder that piker was cloned to'
            )
    if Path(_git(checkout, 'rev-parse', '--show-toplevel')) != checkout.resolve():
        raise Refusal(
            f"'{checkout}' is not the root of a git repository\n"
            'note: what is written there is undone by git\n'
            'help: name the folder that piker was cloned to'
        )


def check_clean(checkout: Path, ours: Container[str] = ()) -> None:
    """Raise `Refusal` where git could not tell our changes, in `ours`, from others."""
    status = _git(checkout, 'status', '--porcelain', '--untracked-files=all')
    changes = [line[3:] for line in status.splitlines() if line[3:] not in ours]
    if changes:
        raise Refusal(
            f"'{checkout}' has changes that are not committed, such as {changes[0]}\n"
            'note: what is written there must be undone by git without touching them\n'
            f"help: commit them, or type: git -C '{checkout}' stash -u"
        )


def _git(checkout: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ['git', '-C', checkout, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, 'stderr', '') or str(error)
        raise Refusal(
            f"git says no to '{checkout}': {said.strip().splitlines()[0]}\n"
            'note: what is written there is undone by git\n'
            'help: name the folder that piker was cloned to'
        ) from error
    return done.stdout.rstrip('\n')


def add_backend(
    answers: Mapping[str, Answer],
    checkout: Path,
    *,
    ask: bool = False,
    project: Path | None = None,
) -> Mapping[str, Any] | None:
    """Render a backend into `checkout`, or adopt the one that `project` has grown.

    Returns all answers, or None where there was nothing to do. Raises `Refusal`;
    whatever is raised, nothing has changed.
    """
    check_checkout(checkout)
    try:
        with temporary_folder() as folder:
            files = folder / 'files'
            final = render({**answers, 'layout': 'in-tree'}, files, ask=ask)
            if project:
                _adopt(project, files, final)
            return final if install(files, checkout, final) else None
    except OSError as error:
        raise Refusal(
            f"cannot read or write '{error.filename or checkout}': "
            f'{error.strerror or error}\n'
            'note: nothing was changed\n'
            'help: see to its permissions, and to room on its disk',
            status=1,
        ) from error


def _adopt(project: Path, files: Path, answers: Mapping[str, Any]) -> None:
    """Replace what was rendered by what `project` has, all but the seam to the host."""
    package = files / answers['package']
    seam = (package / '_piker.py').read_bytes()
    shutil.rmtree(package)
    try:
        shutil.copytree(
            project / f'piker_{answers["backend"]}',
            package,
            ignore=shutil.ignore_patterns('__pycache__'),
        )
    except shutil.Error as error:  # it has gone on, and lists them all
        source, _, reason = error.args[0][0]
        raise OSError(0, reason, source) from error
    (package / '_piker.py').write_bytes(seam)
    suite = project / 'tests' / 'on_piker'
    if suite.is_dir():
        rendered = files / 'tests' / answers['backend']
        shutil.rmtree(rendered)
        shutil.copytree(suite, rendered, ignore=shutil.ignore_patterns('__pycache__'))


def read_answers(project: Path) -> dict[str, Answer]:
    """What a project was generated from. Raises `Refusal` where it was not."""
    try:
        recorded = yaml.safe_load((project / '.copier-answers.yml').read_bytes())
        answers = {key: recorded[key] for key in questions() if key in recorded}
        package = project / f'piker_{answers["backend"]}'
    except (OSError, yaml.YAMLError, LookupError, TypeError):
        package = project / 'piker_...'
    if not (package / '__init__.py').is_file():
        raise Refusal(
            f"'{project}' is no project of piker-new\n"
            f'note: it has no .copier-answers.yml, or no {package.name}\n'
            'help: name the folder that `piker-new backend` has made'
        )
    return answers


def install(files: Path, checkout: Path, answers: Mapping[str, Any]) -> bool:
    """Move `files`, rendered from `answers`, into `checkout`, and name them there.

    Returns whether there was anything to do. Raises `Refusal` for a backend that is
    there already and another one, and OSError; then nothing has changed.
    """
    new = {
        path.relative_to(files): path.read_bytes()
        for path in files.rglob('*')
        if path.is_file()
    }
    name, package = answers['backend'], Path(answers['package'])
    section = partial(add_section, trading=answers['trading'])
    edits = {
        path: after
        for path, edit in ((_REGISTRY, add_broker), (_CONFIG, section))
        if (after := edit(before := (checkout / path).read_text(), name)) != before
    }
    if _tree(checkout, package, new) == new:
        if not edits:
            return False
        # copier has written them, and the lines that name it are what is left
        check_clean(checkout, ours={path.as_posix() for path in new})
        new = {}
    else:
        for path in (package, package.with_suffix('.py'), *new):
            if (checkout / path).exists():
                raise Refusal(
                    f'piker has a backend {name} already\n'
                    f"note: '{checkout / path}' is there\n"
                    'help: give it another name, or remove that one and commit'
                )
        check_clean(checkout)
    with ExitStack() as undo:
        for path, content in new.items():
            _make_folder(checkout / path.parent, undo.callback)
            undo.callback((checkout / path).unlink, missing_ok=True)
            (checkout / path).write_bytes(content)
        # all is written before the first file that exists is replaced
        replacements: list[tuple[Path, Path, bytes]] = []
        for path, after in edits.items():
            target = checkout / path
            written = target.with_name(f'.{target.name}-{token_hex(4)}')
            undo.callback(written.unlink, missing_ok=True)
            written.write_text(after)
            shutil.copymode(target, written)
            replacements.append((written, target, target.read_bytes()))
        for written, target, content in replacements:
            undo.callback(target.write_bytes, content)
            written.replace(target)
        undo.pop_all()
    return True


def _make_folder(folder: Path, undo: Callable[..., object]) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, undo)
        # named before it is there: a signal may come as soon as it is
        undo(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir()


def _tree(checkout: Path, package: Path, new: dict[Path, bytes]) -> dict[Path, bytes]:
    """What `checkout` has of a backend: its package, and its files elsewhere."""
    paths = {path for path in new if (checkout / path).is_file()}
    for path in (checkout / package).rglob('*'):
        if path.is_file() and '__pycache__' not in path.parts:
            paths.add(path.relative_to(checkout))
    return {path: (checkout / path).read_bytes() for path in paths}


def add_broker(source: str, name: str) -> str:
    """The module `source` with `name` in its list `__brokers__`, in its place."""
    import libcst as cst

    class AddBroker(cst.CSTTransformer):
        def __init__(self) -> None:
            self.lists = 0

        def leave_AnnAssign(
            self, original_node: cst.AnnAssign, updated_node: cst.AnnAssign
        ) -> cst.AnnAssign:
            match updated_node:
                case cst.AnnAssign(
                    target=cst.Name('__brokers__'), value=cst.List() as brokers
                ):
                    return updated_node.with_changes(value=self.add(brokers))
            return updated_node

        def leave_Assign(
            self, original_node: cst.Assign, updated_node: cst.Assign
        ) -> cst.Assign:
            match updated_node:
                case cst.Assign(
                    targets=[cst.AssignTarget(target=cst.Name('__brokers__'))],
                    value=cst.List() as brokers,
                ):
                    return updated_node.with_changes(value=self.add(brokers))
            return updated_node

        def add(self, brokers: cst.List) -> cst.List:
            self.lists += 1
            elements = list(brokers.elements)
            names = [getattr(it.value, 'evaluated_value', '') for it in elements]
            if name in names:
                return brokers
            new = cst.Element(cst.SimpleString(repr(name)))
            place = next((i for i, it in enumerate(names) if str(it) > name), None)
            if place is None:
                # what ends the last line now, ends the new one's
                if elements:
                    new = new.with_changes(comma=elements[-1].comma)
                    elements[-1] = elements[-1].with_changes(comma=self.comma(brokers))
                elements.append(new)
            else:
                elements.insert(place, new.with_changes(comma=self.comma(brokers)))
            return brokers.with_changes(elements=elements)

        def comma(self, brokers: cst.List) -> cst.Comma:
            """A comma as the list has them: one name a line, or all on one."""
            found = next(
                (it.comma for it in brokers.elements[:-1]),
                cst.Comma(whitespace_after=brokers.lbracket.whitespace_after),
            )
            match found:
                case cst.Comma(whitespace_after=cst.ParenthesizedWhitespace() as space):
                    plain = space.with_changes(
                        first_line=cst.TrailingWhitespace(), empty_lines=[]
                    )
                    return cst.Comma(whitespace_after=plain)
            return cst.Comma(whitespace_after=cst.SimpleWhitespace(' '))

    transformer = AddBroker()
    module = cst.parse_module(source).visit(transformer)
    if transformer.lists != 1:
        raise Refusal(
            f'{_REGISTRY} has no list `__brokers__`\n'
            'note: that is where piker looks up its backends\n'
            'help: update the checkout, or add the backend by hand'
        )
    return module.code


def add_section(source: str, name: str, *, trading: bool = False) -> str:
    """The TOML `source` with a section `[name]` below the others."""
    import tomlkit

    if name in tomlkit.parse(source):
        return source
    lines = source if source.endswith('\n') or not source else source + '\n'
    section = jinja().get_template('brokers.toml.jinja')
    return f'{lines}\n\n{section.render(backend=name, trading=trading)}'
