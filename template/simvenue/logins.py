"""
Who is who: access tokens and what they are good for.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

from msgspec import Struct

from .accounts import Credentials
from .clock import Clock
from .refusals import Refusal
from .session import Session


class Token(Struct, eq=False):
    """
    What stands for a login.
    """

    access: str
    refresh: str
    account: str
    scopes: frozenset[str]
    expires: int
    """In epoch ms of the venue."""
    session: Session | None
    """The only connection that it is good for, if there is but one."""


class Logins:
    """
    The tokens that are good.
    """

    def __init__(self, clock: Clock, credentials: Mapping[str, Credentials]) -> None:
        self._clock = clock
        self._credentials = credentials
        self._tokens: dict[str, Token] = {}
        self._refreshing: dict[str, Token] = {}

    def secret(self, key: str) -> bytes:
        """
        Of an account. Raises `Refusal`.
        """
        if key not in self._credentials:
            raise Refusal('bad_login', 'unknown key')
        return self._credentials[key].secret.encode()

    def check(self, key: str, secret: str) -> None:
        """
        Raises `Refusal`, unless that is its secret.
        """
        if self.secret(key) != secret.encode():
            raise Refusal('bad_login')

    def check_signature(self, key: str, signed: str, signature: str) -> None:
        """
        The same for a signature by HMAC-SHA256, in hex.
        """
        right = hmac.new(self.secret(key), signed.encode(), 'sha256').hexdigest()
        if not hmac.compare_digest(right.encode(), signature.encode()):
            raise Refusal('bad_login')

    def issue(
        self,
        account: str,
        scopes: frozenset[str],
        seconds: float,
        session: Session | None,
    ) -> Token:
        expires = self._clock.now() + int(seconds * 1000)
        access, refresh = secrets.token_hex(16), secrets.token_hex(16)
        token = Token(access, refresh, account, scopes, expires, session)
        self._tokens[access] = self._refreshing[refresh] = token
        return token

    def use(self, access: str, session: Session) -> Token:
        """
        The token, if it is good here and now. Raises `Refusal`.
        """
        token = self._tokens.get(access)
        if token is None or token.session not in (None, session):
            raise Refusal('token_expired', 'invalid_token')
        if token.expires <= self._clock.now():
            raise Refusal('token_expired', 'token_expired')
        return token

    def exchange(self, refresh: str) -> Token:
        """
        Another token's last service. Raises `Refusal`.
        """
        if (token := self._refreshing.get(refresh)) is None:
            raise Refusal('bad_login', 'invalid_refresh_token')
        self.revoke(token)
        return token

    def revoke(self, token: Token) -> None:
        self._tokens.pop(token.access, None)
        self._refreshing.pop(token.refresh, None)

    def forget(self, access: str) -> None:
        """
        Have a token, if it is one, no longer be good.
        """
        if token := self._tokens.get(access):
            self.revoke(token)

    def revoke_all(self, session: Session) -> None:
        """
        Those of a connection.
        """
        for token in [it for it in self._tokens.values() if it.session is session]:
            self.revoke(token)
