"""The command `piker-new`: what needs no import is answered without any."""

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
"""


def main() -> None:
    """Run the command line of this process."""
    match sys.argv[1:]:
        case ['--version']:
            print('piker-new', __version__)
        case ['--help']:
            print(HELP, end='')
        case _:
            from .cli import run

            run()


if __name__ == '__main__':
    main()
