"""
Logins, as the dialect has them: signed requests, nonces, and tokens for sockets.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from hashlib import sha256

from msgspec import Struct

from ..accounts import Account
from ..logins import Logins
from ..methods import method
from ..refusals import Refusal
from ..server import Server
from ..session import Session
from ..transport import HttpRequest
from .messages import Row
from .public import Dialect
from .requests import PRIVATE

_LIFETIME = 900


class State(Struct, eq=False):
    """
    Of a connection.
    """

    token: str = ''
    """With which it logged in."""


class Login(Dialect):
    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.exchange = server.engine.exchange
        self._logins = Logins(server.engine.clock, server.engine.credentials)
        self._nonces = dict(self.engine.journal.take('nonce', tuple[str, int]))

    def sign_in(self, session: Session, request: HttpRequest, params: Row) -> None:
        key, nonce = request.header('api-key'), str(params.pop('nonce', ''))
        try:
            secret = b64decode(self._logins.secret(key), validate=True)
        except Error:
            raise Refusal('bad_login', 'the secret is not in base64') from None
        digest = sha256(nonce.encode() + request.body).digest()
        right = hmac.new(secret, request.path.encode() + digest, 'sha512').digest()
        if not hmac.compare_digest(
            b64encode(right), request.header('api-sign').encode()
        ):
            raise Refusal('bad_signature')
        if not nonce.isdigit() or not self._nonces.get(key, -1) < int(nonce) < 2**64:
            raise Refusal('stale_nonce')
        self._nonces[key] = int(nonce)
        self.engine.journal.append('nonce', (key, int(nonce)))
        session.account = key

    @method('private/GetWebSocketsToken', does='login')
    def get_web_sockets_token(self, session: Session) -> Row:
        account = self.account(session)
        token = self._logins.issue(account.key, frozenset(), _LIFETIME, None)
        return {'token': token.access, 'expires': _LIFETIME}

    def state(self, session: Session) -> State:
        if session.data is None:
            session.data = State()
        state: State = session.data
        return state

    def account(self, session: Session, token: str = '') -> Account:
        """
        Whose connection, or request, it is. Raises `Refusal`.
        """
        if session.is_socket:
            if session.path != PRIVATE:
                raise Refusal('forbidden', 'not at the public socket')
            state = self.state(session)
            # one that is in use does not expire
            kept = any(it.account for it in session.subscriptions.values())
            if token != state.token or not kept:
                session.account = self._logins.use(token, session).account
                state.token = token
        if not session.account:
            raise Refusal('login_needed')
        return self.exchange.accounts[session.account]

    def logged_out(self, session: Session) -> None:
        if token := self.state(session).token:
            self._logins.forget(token)
            self.state(session).token = ''
