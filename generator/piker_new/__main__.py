"""The command `piker-new`: what needs no import is answered without any."""

import os
import sys

from . import __version__

HELP = """\
Usage: piker-new [OPTIONS] COMMAND [ARGS]...

  Generate backends for piker that run from the first minute.

Options:
  --version             Show the version and exit.
  --install-completion  Install completion for the current shell.
  --show-completion     Show completion for the current shell, to copy it or
                        customize the installation.
  --help                Show this message and exit.

Commands:
  backend  Generate a backend.
  adopt    Copy a backend that has grown in a project into piker.
  check    Check which rules of piker and tractor a backend keeps.
  split    Propose which modules of a backend each daemon enables.
"""


def main() -> None:
    """Run the command line of this process."""
    try:
        try:
            _run()
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except KeyboardInterrupt:  # before `exit_on_signals()` has seen to it
        raise SystemExit(130) from None
    except OSError as error:
        if error.filename is not None:
            raise
        # What could not be printed would be tried again as the process exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print('error: cannot print:', error.strerror, file=sys.stderr)
        raise SystemExit(1) from None


def _run() -> None:
    match sys.argv[1:]:
        case ['--version']:
            print('piker-new', __version__)
        case ['--help']:
            print(HELP, end='')
        case ['check' | 'split' as command, *arguments]:
            from .signals import exit_on_signals

            exit_on_signals()
            if command == 'check':
                from .check.command import run as run_command
            else:
                from .check.split import run as run_command
            raise SystemExit(run_command(arguments))
        case _:
            from .signals import exit_if_signalled, exit_on_signals

            exit_on_signals()
            try:
                from .cli import run

                run()
            except BaseException:
                # Where it was, the exit may have become another error: of an import.
                exit_if_signalled()
                raise


if __name__ == '__main__':
    main()
