import atexit
import gc
import signal

# the prompt is back sooner if nobody looks for cycles in all that was imported
atexit.register(gc.freeze)

# until there is something to unwind, Ctrl-C just ends this process
signal.signal(signal.SIGINT, signal.SIG_DFL)

from .cli import main  # noqa: E402

main()
