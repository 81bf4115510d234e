import signal

# until there is something to unwind, Ctrl-C just ends this process
signal.signal(signal.SIGINT, signal.SIG_DFL)

from .cli import main  # noqa: E402

main()
