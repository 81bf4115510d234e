"""
Configuration files: where they are, how they are read and written.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from ._tractor import runtime_vars


class ConfigurationError(Exception):
    """
    A configuration file that cannot be used; the message says what to do.
    """


def get_conf_dir() -> Path:
    """
    The folder of this actor's configuration.

    A test's or a session's own folder comes down the actor tree as the runtime
    variable `piker_test_dir`. It is looked up at every call: a subactor has no
    runtime variables yet while its modules are imported.
    """
    piker_vars: dict[str, Any] = runtime_vars().get('piker_vars') or {}
    if test_dir := piker_vars.get('piker_test_dir'):
        return Path(test_dir)
    base = os.environ.get('XDG_CONFIG_HOME') or Path.home() / '.config'
    return Path(base) / 'minipiker'


def get_conf_path(conf_name: str = 'brokers') -> Path:
    """
    The path of `<conf_name>.toml`.
    """
    return get_conf_dir() / f'{conf_name}.toml'


def load(conf_name: str = 'brokers') -> tuple[dict[str, Any], Path]:
    """
    The contents of `<conf_name>.toml` (empty where there is no such file), and its
    path.

    Raises `ConfigurationError` where the file is not TOML.
    """
    path = get_conf_path(conf_name)
    try:
        return tomllib.loads(path.read_text()), path
    except FileNotFoundError:
        return {}, path
    except ValueError as err:  # or not even text
        raise ConfigurationError(f'{path} is not valid TOML: {err}') from None


def write(config: dict[str, Any], path: Path) -> None:
    """
    Replace the file at `path` in one step: a reader, or who comes after a `kill -9`,
    sees the old contents or the new, never half of them. A new file is readable by
    its owner alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f'.{path.name}.new')
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    with open(
        aside,
        'w',
        opener=lambda file, flags: os.open(file, flags, mode),
    ) as file:
        file.write(tomli_w.dumps(config))
    aside.replace(path)
