"""
What this backend is called, what its author says of the venue as plain data, and what
its user has configured.
"""

from __future__ import annotations

import hmac
import math
import os
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import msgspec

from ._piker import BrokerError, Struct, config

T = TypeVar('T', bound=Struct)

NAME: str = 'deribit2'
"""Of this backend: the last token of an FQME, and its section in `brokers.toml`."""


class Traits(Struct, frozen=True, kw_only=True):
    """
    What venues do differently, and what does not lie in a message's form.
    """

    trade_numbers: Literal['contiguous', 'none']
    """Whether the public trades of a market are numbered without a gap."""
    client_ids: Literal['never', 'open', 'ever']
    """
    Whether the venue sees to it that a client's order ids are unique: not at all, among
    open orders, or among all.
    """
    edit: Literal['in_place', 'replace']
    """Whether an edited order is the same one, or another under a new id."""
    fills: Literal['reply', 'stream']
    """Whether the reply to an order has its immediate fills, as the stream does."""
    positions: Literal['venue', 'fills']
    """Whether the venue tells positions, or they are what fills add up to."""
    bar_seconds: tuple[int, ...]
    """The lengths of the bars that it has."""
    bars_per_call: int
    bars_back: int | None
    """How many there are, up to the newest; None: all of them."""
    numbered_channels: tuple[str, ...]
    """Those kinds of channels whose messages are numbered."""
    deadline: bool
    """Whether an order may say until when the venue may carry it out."""


class Limits(Struct, frozen=True, kw_only=True):
    """
    How patient to be, in s, and how much of everything there may be.
    """

    silence: float
    """Without a word from the venue for this long, a connection is lost..."""
    reply: float = 30
    """... and so it is when a request waits for its reply for this long."""
    quiet: float = 60
    """A channel on which nothing comes for this long is subscribed to anew."""
    in_flight: int = 64
    """Requests that may wait for their replies at a time."""
    message: int = 2**24
    """Bytes of one message."""
    attempts: int = 5
    """How often to make a request that was lost or came at a bad time."""
    connect: float = 10
    """How long a connection may take to open."""
    patience: float = 30
    """How long a request waits for a connection."""
    min_backoff: float = 0.1
    max_backoff: float = 10
    """The pause before a new connection doubles from one to the other..."""
    stable: float = 1
    """... and starts over with a connection that lasts this long."""
    unread: int = 2**14
    """Messages that wait for a slow consumer of a channel before it is cut off."""
    valid_for: float = 3
    """How late the venue may carry out what it is told to do with an order..."""
    clock_error: float = 0.5
    """... and what its clock and ours may differ by beyond what is known."""
    doubt: float = 1
    """How long the rest of an order's story may take before it is asked for."""
    probe: float = 10
    """How often to ask for what became of open orders of which nothing is heard."""


_tables = ('accounts', 'limits', 'traits')
_settings = ('url', 'pace', 'deep_history', *_tables)


def _load_section() -> tuple[dict[str, Any], Path]:
    """
    This backend's section of `brokers.toml`, and the path of that. What it does not
    know is the author's, or an account's.

    Raises `BrokerError` where it is no section, and for a setting that is misspelled:
    with another `url` than was meant one would be at another venue.
    """
    conf, path = config.load('brokers')
    section = conf.get(NAME, {})
    if not isinstance(section, dict):
        raise BrokerError(f'{NAME} in {path} is no section: write [{NAME}] above it')
    for name in _tables:
        if not isinstance(section.get(name, {}), dict):
            raise BrokerError(
                f'{name} of [{NAME}] in {path} is no table: write {name}.<name> = ...'
            )
    known = {*_settings, *map(str, section.get('accounts', {}).values())}
    for name in {*section} - known:
        for meant in get_close_matches(name, _settings, n=1):
            raise BrokerError(
                f'[{NAME}] in {path} has no setting {name!r}: it is called {meant!r}'
            )
    return section, path


def get_traits(defaults: Traits) -> Traits:
    """
    What the author says of the venue, and the user otherwise: `traits.<name> = ...` in
    this backend's section of `brokers.toml`, for a venue that is not as documented.
    """
    return _override('traits', defaults)


def get_limits(defaults: Limits) -> Limits:
    """
    The author's, and `limits.<name> = ...` of the user, for a line that is slow.
    """
    return _override('limits', defaults)


def _override(name: str, defaults: T) -> T:
    section, path = _load_section()
    said = section.get(name, {})
    try:
        return msgspec.convert(
            {**msgspec.to_builtins(defaults), **said}, type(defaults)
        )
    except msgspec.ValidationError as err:
        raise BrokerError(f'[{NAME}] {name} in {path}: {err}') from None


def get_pace() -> float:
    """
    How many times the pace that the venue allows to everybody is allowed to this user,
    by what the environment says, or `pace` in this backend's section of
    `brokers.toml`: 1 if nobody says anything.
    """
    section, _ = _load_section()
    said = os.environ.get(f'{NAME.upper()}_PACE') or section.get('pace', 1)
    try:
        pace = float(said)
    except (TypeError, ValueError):
        pace = math.nan
    if not 0 < pace < math.inf:
        raise BrokerError(f'the pace of {NAME} is {said!r}, and not a positive number')
    return pace


def get_recording() -> str:
    """
    The file in which all that goes over the connections is to be recorded, by what the
    environment says; none if it is empty.
    """
    return os.environ.get(f'{NAME.upper()}_RECORD', '')


def wants_wire() -> bool:
    """
    Whether it is to be shown in the log, by what the environment says; at the level
    `debug` it is so anyway.
    """
    return bool(os.environ.get(f'{NAME.upper()}_WIRE'))


def get_secrets() -> dict[str, str]:
    """
    What is configured and is for nobody's eyes, by its value, and what each is: keys,
    secrets and what else the sections of accounts hold, and the names of the accounts.
    """
    section, _ = _load_section()
    accounts = section.get('accounts', {})
    found = {
        str(value): str(what)
        for name, entry in section.items()
        if isinstance(entry, dict) and name not in _tables
        for what, value in entry.items()
    }
    env = f'{NAME.upper()}_API_'
    found |= {
        value: name.removeprefix(f'{NAME.upper()}_').lower()
        for name, value in os.environ.items()
        if name.startswith(env)
    }
    # `main` is what everybody calls one
    found |= {
        str(it): 'account' for pair in accounts.items() for it in pair if it != 'main'
    }
    return {value: what for value, what in found.items() if value}


def wants_deep_history() -> bool:
    """
    Whether bars that are older than the venue's are to be built from trades, at the
    pace that it allows: `deep_history = true` in this backend's section of
    `brokers.toml`.
    """
    section, _ = _load_section()
    return bool(section.get('deep_history'))


def get_url(known: Iterable[str]) -> str:
    """
    Where the venue is: what the environment says, or else `url` in this backend's
    section of `brokers.toml`. None of the `known` ones is assumed: on some of them
    there is real money.
    """
    variable = f'{NAME.upper()}_URL'
    if url := os.environ.get(variable):
        return url
    section, path = _load_section()
    if url := section.get('url'):
        return str(url)
    raise BrokerError(
        f'no URL for {NAME}: set {variable}, or `url` in the section [{NAME}] of '
        f'{path}; the venue has {" and ".join(known)}'
    )


class Credentials:
    """
    An API key and its secret. They show themselves to nobody.
    """

    def __init__(self, key: str, secret: str) -> None:
        self.key = key
        self._secret = secret

    def __repr__(self) -> str:
        return 'Credentials(...)'

    def sign(
        self,
        message: bytes,
        digest: str,
        read_secret: Callable[[str], bytes] = str.encode,
    ) -> bytes:
        """
        The HMAC of `message`. Raises `ValueError` where the secret is not as
        `read_secret()` has to have it.
        """
        return hmac.digest(read_secret(self._secret), message, digest)

    def reveal(self) -> str:
        """
        The secret, for the constructor of a vendor's own client, and for nothing else:
        what it is given to may show it.
        """
        return self._secret

    def __reduce__(self) -> NoReturn:
        raise TypeError('credentials do not leave their process')


def load_accounts() -> dict[str, Credentials]:
    """
    The accounts, by their full names `<broker>.<label>`: those of `brokers.toml`,
    where each names a section of credentials,

        [<broker>]
        accounts.<label> = '<name>'
        <name>.api_key = '...'
        <name>.api_secret = '...'

    and `main`, if `<BROKER>_API_KEY` and `<BROKER>_API_SECRET` are in the environment.
    One whose section is blank, as in a file that nobody has filled in, is no account.

    Raises `BrokerError` for a file of credentials that others may read, and for an
    account that lacks one.
    """
    section, path = _load_section()
    entries: dict[str, dict[str, str]] = {}
    for label, name in section.get('accounts', {}).items():
        entry = section.get(str(name))
        if not isinstance(entry, dict):
            # not the name itself: it may be a key that was put in the wrong place
            raise BrokerError(
                f'the account {label!r} names no section of [{NAME}] in {path}, '
                'which has its api_key and api_secret'
            )
        if any(entry.values()):
            entries[label] = entry
    if entries and path.stat().st_mode & 0o077:
        raise BrokerError(
            f'{path} holds credentials that others can read: type chmod 600 {path}'
        )
    env = NAME.upper()
    if api_key := os.environ.get(f'{env}_API_KEY'):
        api_secret = os.environ.get(f'{env}_API_SECRET', '')
        entries = {**entries, 'main': {'api_key': api_key, 'api_secret': api_secret}}

    accounts: dict[str, Credentials] = {}
    for label, entry in entries.items():
        for name in ('api_key', 'api_secret'):
            if not entry.get(name):
                raise BrokerError(f'the account {label!r} has no {name}')
        accounts[f'{NAME}.{label}'] = Credentials(
            str(entry['api_key']), str(entry['api_secret'])
        )
    return accounts
