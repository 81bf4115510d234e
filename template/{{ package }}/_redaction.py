"""
What others may see of a message: all but what is secret, for which placeholders stand.
"""

from __future__ import annotations

import hmac
import json
import os
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from binascii import Error
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus

_email = re.compile(r'[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+')
_least: int = 4
"""Characters of what is looked for within texts: less is found anywhere."""
_kept: int = 4
"""How many values of a secret field are looked for elsewhere, the newest ones."""

_userinfo = re.compile(r'//\S*@')


def hide_userinfo(text: str) -> str:
    """
    The same, but for the names and passwords in front of the hosts of URLs.
    """
    return _userinfo.sub('//', text)


class Redactor:
    """
    Puts placeholders for secrets: for the `known` ones, by value and what it is,
    wherever they occur and however they are encoded; and for the values of certain
    `fields`, which are looked for elsewhere from then on. (`a.b` is the field `b` in an
    object that is called `a`.) The same secret has the same placeholder; a number has
    another number, of as many digits.
    """

    def __init__(self, known: Mapping[str, str], fields: Collection[str]) -> None:
        self._fields = {it.lower() for it in fields}
        # by what nobody knows who does not have the credentials
        self._key = '\n'.join(known).encode() or os.urandom(32)
        self._placeholders: dict[str, str] = {}
        for value, what in known.items():
            self._placeholders[value] = self._placeholder(what, value)
        self._known = {
            form: self._placeholders[value]
            for value in known
            for form in _forms(value)
            if len(form) >= _least
        }
        # the longest first, of which a shorter one may be a part
        forms = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile('|'.join(map(re.escape, forms)) or r'(?!)')
        self._seen: defaultdict[str, deque[str]] = defaultdict(
            lambda: deque(maxlen=_kept)
        )

    def clean(self, value: Any, name: str = '') -> Any:
        """
        A JSON value without its secrets, where it is called `name`.
        """
        match value:
            case str():
                return self.clean_text(value)
            case dict():
                return {
                    self.clean_text(key): self._hide(key.lower(), it)
                    if self._is_secret(name, key)
                    else self.clean(it, key)
                    for key, it in value.items()
                }
            case list():
                return [self.clean(it, name) for it in value]
            case bool() | None:
                return value
        # a number
        if placeholder := self._placeholders.get(str(value)):
            return self._number(placeholder, value)
        return value

    def clean_text(self, text: str) -> str:
        if text in self._placeholders:
            return self._placeholders[text]
        text = self._pattern.sub(lambda found: self._known[found[0]], text)
        for field, values in self._seen.items():
            for value in values:
                if value in text:
                    text = text.replace(value, self._placeholder(field, value))
        return _email.sub(lambda found: self._placeholder('email', found[0]), text)

    def _is_secret(self, name: str, key: str) -> bool:
        return not self._fields.isdisjoint((key.lower(), f'{name}.{key}'.lower()))

    def _hide(self, field: str, value: Any) -> Any:
        match value:
            case str():
                if not value or value in self._placeholders:
                    return self._placeholders.get(value, value)
                if len(value) >= 2 * _least and value not in self._seen[field]:
                    self._seen[field].append(value)
                return self._placeholder(field, value)
            case dict():
                return {key: self._hide(field, it) for key, it in value.items()}
            case list():
                return [self._hide(field, it) for it in value]
            case bool() | None:
                return value
        return self._number(self._placeholder(field, str(value)), value)

    def _digest(self, value: str) -> str:
        return hmac.digest(self._key, value.encode(), 'sha256').hex()

    def _placeholder(self, what: str, value: str) -> str:
        return f'<{what}-{self._digest(value)[:8]}>'

    def _number(self, placeholder: str, value: Any) -> Any:
        digits = len(str(int(abs(value))))
        least = 10 ** (digits - 1)
        number = least + int(self._digest(placeholder), 16) % (9 * least)
        return type(value)(number)


def _forms(secret: str) -> Iterator[str]:
    """
    How it may be written.
    """
    yield from {secret, quote(secret, safe=''), quote_plus(secret)}
    yield json.dumps(secret)[1:-1]
    raw = [secret.encode()]
    with suppress(Error, ValueError):
        raw.append(b64decode(secret, validate=True))
    for data in raw:
        yield from (data.hex(), data.hex().upper())
        # the part of a longer base64 that is this secret's alone, wherever it begins
        for before in range(3):
            start, end = (8 * before + 5) // 6, (8 * (before + len(data))) // 6
            for encode in b64encode, urlsafe_b64encode:
                yield encode(bytes(before) + data + bytes(3)).decode()[start:end]
