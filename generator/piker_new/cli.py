"""The commands of `piker-new`, without those that `__main__` answers itself."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from inspect import Parameter, signature
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, TextIO

import typer

from . import __doc__ as about
from . import __version__
from .questions import Answer, Question, parse_pair, questions
from .refusal import Refusal
from .render import check_cwd, check_destination, render

# Without markup typer does not import rich, which is half of its start-up time.
app = typer.Typer(
    help=about.partition(': ')[2].capitalize(),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print('piker-new', __version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            '--version',
            callback=_show_version,
            is_eager=True,
            help='Show the version and exit.',
        ),
    ] = False,
) -> None:
    pass


def backend(
    name: Annotated[str, typer.Argument(help='As in FQMEs: btcusd.perp.<name>')],
    dest: Annotated[
        Path | None, typer.Argument(help='A new folder', show_default='<name>')
    ] = None,
    ask: Annotated[
        bool, typer.Option('--ask', help='Ask the questions left open.')
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar='QUESTION=ANSWER', help='Answer a question.'),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(metavar='PATH', help='Write it into this checkout of piker.'),
    ] = None,
    wrap: Annotated[
        str | None,
        typer.Option(
            metavar='MODULE:CLASS',
            help="Write the interface of a vendor's asyncio client.",
        ),
    ] = None,
    **options: Answer | None,
) -> None:
    """Generate a backend."""
    check_cwd()
    answers: dict[str, Answer] = {'backend': questions()['backend'].parse(name)}
    given = [parse_pair(pair) for pair in data or ()]
    given += [
        (key, questions()[key].parse(answer) if isinstance(answer, str) else answer)
        for key, answer in options.items()
        if answer is not None
    ]
    if into:
        given.append(('layout', 'in-tree'))
    for key, answer in given:
        if answers.setdefault(key, answer) != answer:
            raise Refusal(
                f'{key} is answered twice\n'
                f'note: as {answers[key]} and as {answer}\n'
                'help: leave out one of the two'
            )
    if ask and not (sys.stdin and sys.stdin.isatty() and sys.stdout):
        raise Refusal(
            '--ask needs a terminal\n'
            'note: the standard input is none\n'
            'help: leave it out, and answer with options'
        )
    if wrap is not None and answers.get('client') == 'trio':
        raise Refusal(
            'there is nothing to wrap for a client on trio\n'
            'note: --wrap is for clients that live on asyncio\n'
            f'help: piker-new backend {name} --client asyncio --wrap {wrap}'
        )
    if wrap is not None and answers.get('layout') == 'in-tree':
        raise Refusal(
            'a client is wrapped in a project of its own\n'
            'note: its requirements are written there, too\n'
            'help: leave out --into, and `piker-new adopt` the project later'
        )
    if into and dest:
        raise Refusal(
            'there are two places to write to\n'
            f"note: the new folder '{dest}', and --into '{into}'\n"
            'help: leave out one of the two'
        )
    if into:
        _add_backend(answers, into, ask=ask)
        return
    if answers.get('layout') == 'in-tree':
        raise Refusal(
            'there is nothing to be in-tree of\n'
            'note: that layout is for a checkout of piker\n'
            f'help: piker-new backend {name} --into PATH'
        )
    dest = dest or Path(name)
    check_destination(dest)
    if wrap is not None:
        from .wrap import wrap as read_class

        answers['client'] = questions()['client'].parse('asyncio')
        sdk = read_class(wrap)
    else:
        sdk = None
    render(answers, dest, ask=ask, finish=sdk.add_to if sdk else None)
    uv = _uv()
    _tell(
        _paint(f'Created {dest}', sys.stdout, 'green'),
        '',
        f'  cd {shlex.quote(str(dest))}',
        f'  {uv or "uv"} run pytest',
        f'  {uv or "uv"} run -m minipiker quotes btcusd',
        *([] if uv else ['', 'They need uv: https://docs.astral.sh/uv/']),
        *(['', sdk.summary()] if sdk else []),
    )


def adopt(
    project: Annotated[Path, typer.Argument(help='What `backend` has made')],
    into: Annotated[
        Path, typer.Option(metavar='PATH', help='Write it into this checkout of piker.')
    ],
) -> None:
    """Copy a backend that has grown in a project into piker."""
    from .piker_tree import read_answers

    check_cwd()
    _add_backend(read_answers(project), into, project=project)


def check() -> None:
    """Check which rules of piker and tractor a backend keeps."""
    # `__main__` runs it, without typer; here it is for the list of commands


def split() -> None:
    """Propose which modules of a backend each daemon enables."""
    # likewise


def _add_backend(
    answers: dict[str, Answer],
    checkout: Path,
    *,
    ask: bool = False,
    project: Path | None = None,
) -> None:
    from .piker_tree import add_backend

    final = add_backend(answers, checkout, ask=ask, project=project)
    if final is None:
        _tell(f'{checkout} has it already; nothing was changed')
        return
    name = final['backend']
    _tell(
        _paint(f'Created {checkout / final["package"]}', sys.stdout, 'green'),
        '',
        f'  cd {shlex.quote(str(checkout))}',
        f'  {name.upper()}_URL=... pytest tests/{name}',
        '',
        f'It needs {final["needs"]} beside piker.',
        'To undo it: git checkout . && git clean -fd',
    )


def _as_parameter(question: Question) -> Parameter:
    """The option that answers a question."""
    option = typer.Option(
        help=question.help,
        metavar='|'.join(question.choices) or None,
        show_default=question.shown_default,
        autocompletion=lambda: list(question.choices),
    )
    kind = bool if question.type == 'bool' else str
    return Parameter(
        question.name,
        Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _with_options() -> Iterator[Parameter]:
    for parameter in signature(backend, eval_str=True).parameters.values():
        if parameter.kind is not Parameter.VAR_KEYWORD:
            yield parameter
    for question in questions().values():
        if question.name != 'backend':
            yield _as_parameter(question)


backend.__signature__ = signature(backend).replace(  # type: ignore[attr-defined]
    parameters=list(_with_options())
)
app.command()(backend)
app.command()(adopt)
app.command()(check)
app.command()(split)


def _uv() -> str | None:
    """The uv on the path, or the one that runs this."""
    if shutil.which('uv'):
        return 'uv'
    running = os.environ.get('UV')
    return shlex.quote(os.path.abspath(running)) if running else None


def _paint(text: str, stream: TextIO | None, colour: str) -> str:
    plain = os.environ.get('NO_COLOR') or not (stream and stream.isatty())
    return text if plain else typer.style(text, fg=colour, bold=True)


def _tell(*lines: str) -> None:
    """Print what was done: it is done, even where nobody can read of it."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        print(*lines, sep='\n', flush=True)
    except OSError as error:
        # what is left of it would fail again as the process exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f'warning: cannot print: {error.strerror}', file=sys.stderr)


def run() -> None:
    """Run the command line; refusals are printed."""
    try:
        app()
    except Refusal as refusal:
        if sys.stderr:
            label = _paint('error:', sys.stderr, 'red')
            print(label, refusal, file=sys.stderr)
        raise SystemExit(refusal.status) from None
