"""
minipiker: a small piker to run a broker backend on while it is developed.

A real actor tree on the real tractor runtime, named as piker names it, module
for module. Nothing of it ends up in the backend's wheel.
"""

import os
import re
import warnings

# What the runtimes warn of on import, and as they end a child that boots, about
# themselves. Every actor imports them anew, hence the environment.
_noise: list[str] = [
    'MultiError.filter() is deprecated',
    'XDG_RUNTIME_DIR is not set',
    'trio.MultiError is deprecated',
    'trio.Process.aclose is deprecated',
    'using trio.Process as an async context manager is deprecated',
]

for _message in _noise:
    warnings.filterwarnings('ignore', message=re.escape(_message))

os.environ['PYTHONWARNINGS'] = ','.join(
    dict.fromkeys(
        [
            *filter(None, os.environ.get('PYTHONWARNINGS', '').split(',')),
            *(f'ignore:{message}' for message in _noise),
        ]
    )
)
