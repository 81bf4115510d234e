"""The commands of `piker-new`, without those that `__main__` answers itself."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, TextIO

import typer

from . import __doc__ as about
from . import __version__
from .questions import Answer, Question, parse_pair, questions
from .refusal import Refusal
from .render import check_destination, exit_if_signalled, exit_on_signals, render

# Without markup typer does not import rich, which is half of its start-up time.
app = typer.Typer(help=about.partition(': ')[2].capitalize(), rich_markup_mode=None)


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
    name: Annotated[str, typer.Argument(help='As in FQMEs: btcusdt.spot.<name>')],
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
    print(
        _paint(f'Created {dest}', sys.stdout, 'green'),
        '',
        f'  cd {shlex.quote(str(dest))}',
        '  uv run pytest',
        '  uv run -m minipiker quotes btcusdt',
        sep='\n',
    )
    if sdk:
        print('', sdk.summary(), sep='\n')


def adopt(
    project: Annotated[Path, typer.Argument(help='What `backend` has made')],
    into: Annotated[
        Path, typer.Option(metavar='PATH', help='Write it into this checkout of piker.')
    ],
) -> None:
    """Copy a backend that has grown in a project into piker."""
    from .piker_tree import read_answers

    _add_backend(read_answers(project), into, project=project)


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
        print(f'{checkout} has it already; nothing was changed')
        return
    name = final['backend']
    print(
        _paint(f'Created {checkout / "piker" / "brokers" / name}', sys.stdout, 'green'),
        '',
        f'  cd {shlex.quote(str(checkout))}',
        f'  {name.upper()}_URL=... pytest tests/test_{name}.py',
        '',
        *([f'It needs {final["needs"]} beside piker.'] if final['needs'] else []),
        'To undo it: git checkout . && git clean -fd',
        sep='\n',
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


def _paint(text: str, stream: TextIO, colour: str) -> str:
    plain = os.environ.get('NO_COLOR') or not stream.isatty()
    return text if plain else typer.style(text, fg=colour, bold=True)


def run() -> None:
    """Run the command line; refusals are printed, signals exit with 128 + n."""
    exit_on_signals()
    try:
        app()
    except Refusal as refusal:
        label = _paint('error:', sys.stderr, 'red')
        print(label, refusal, file=sys.stderr)
        raise SystemExit(refusal.status) from None
    except BaseException:
        # Where it was, the exit may have become another error: of an import, say.
        exit_if_signalled()
        raise
