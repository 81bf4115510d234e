"""
Logins, as the dialect has them: credentials, signatures, tokens and their scopes.
"""

from __future__ import annotations

from base64 import b64decode
from functools import partial
from typing import Literal

from msgspec import Struct

from ..accounts import Account
from ..logins import Logins
from ..methods import method
from ..refusals import Refusal
from ..server import Server
from ..session import Session
from ..transport import HttpRequest
from .messages import Row
from .public import ORDERS, Dialect

_LIFETIME = 900
_SCOPES = frozenset({'account:read_write', 'trade:read_write', 'wallet:read_write'})


class _Auth(Struct, kw_only=True):
    grant_type: Literal['client_credentials', 'client_signature', 'refresh_token']
    client_id: str = ''
    client_secret: str = ''
    refresh_token: str = ''
    timestamp: int | str = ''
    signature: str = ''
    nonce: str = ''
    data: str = ''
    state: str | None = None
    scope: str = ''


class Login(Dialect):
    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.exchange = server.engine.exchange
        self._logins = Logins(server.engine.clock, server.engine.credentials)

    def admit(self, session: Session, name: str, params: Row) -> None:
        super().admit(session, name, params)
        if token := params.pop('access_token', None):
            self._log_in(session, token)
        if name.startswith('private/'):
            self.account(session)
            may = 'trade:read_write' in self.state(session).scopes
            if self.operations[name] in ORDERS and not may:
                raise Refusal('forbidden', 'trade:read_write')

    def admit_http(self, session: Session, request: HttpRequest) -> None:
        kind, _, value = request.header('authorization').partition(' ')
        match kind.lower():
            case 'bearer':
                self._log_in(session, value)
            case 'basic':
                key, _, secret = b64decode(value).decode().partition(':')
                self._logins.check(key, secret)
                self._be(session, key, _SCOPES)
            case 'deri-hmac-sha256':
                given = dict.fromkeys(('id', 'ts', 'nonce', 'sig'), '')
                given |= dict(it.split('=', 1) for it in value.split(',') if '=' in it)
                lines = [given['ts'], given['nonce'], request.method, request.target]
                text = '\n'.join([*lines, request.body.decode(), ''])
                self._logins.check_signature(given['id'], text, given['sig'])
                self._be(session, given['id'], _SCOPES)

    def _be(self, session: Session, account: str, scopes: frozenset[str]) -> None:
        session.account, self.state(session).scopes = account, scopes

    def _log_in(self, session: Session, access_token: str) -> None:
        token = self._logins.use(access_token, session)
        self._be(session, token.account, token.scopes)

    def account(self, session: Session) -> Account:
        if not session.account:
            raise Refusal('login_needed')
        if token := self.state(session).token:
            self._logins.use(token, session)
        return self.exchange.accounts[session.account]

    def logged_out(self, session: Session) -> None:
        self.state(session).token = ''
        self._logins.revoke_all(session)

    def closed(self, session: Session) -> None:
        if self.state(session).cancels:
            for order in self.state(session).placed:
                if order.state == 'open':
                    self.exchange.cancel(order, 'cancel_on_disconnect')

    @method('public/auth', does='login')
    def auth(self, session: Session, it: _Auth) -> Row:
        account, scopes = it.client_id, frozenset(it.scope.split())
        match it.grant_type:
            case 'client_credentials':
                self._logins.check(account, it.client_secret)
            case 'client_signature':
                text = f'{it.timestamp}\n{it.nonce}\n{it.data}'
                self._logins.check_signature(account, text, it.signature)
            case 'refresh_token':
                old = self._logins.exchange(it.refresh_token)
                account, scopes = old.account, scopes or old.scopes
        asked = {scope.partition(':')[0]: scope.partition(':')[2] for scope in scopes}
        lifetime = asked.get('expires', '')
        seconds = int(lifetime) if lifetime.isdigit() else _LIFETIME
        # what is not asked for otherwise is granted
        scopes |= {scope for scope in _SCOPES if scope.partition(':')[0] not in asked}
        only = session if session.is_socket and 'session' not in asked else None
        token = self._logins.issue(account, scopes, seconds, only)
        if session.is_socket:
            self._log_in(session, token.access)
            self.state(session).token = token.access
        reply = {
            'access_token': token.access,
            'refresh_token': token.refresh,
            'token_type': 'bearer',
            'expires_in': seconds,
            'scope': ' '.join(sorted(scopes)),
            'enabled_features': [],
        }
        return reply if it.state is None else reply | {'state': it.state}

    @method('private/logout', does='logout')
    def logout(self, session: Session) -> str:
        self.state(session).cancels = False
        session.log_out()
        session.after_reply.append(partial(session.close, 1000))
        return 'ok'

    @method('private/enable_cancel_on_disconnect', does='cancel_on_disconnect')
    def enable_cancel_on_disconnect(self, session: Session) -> str:
        self.state(session).cancels = True
        return 'ok'

    @method('private/disable_cancel_on_disconnect', does='cancel_on_disconnect')
    def disable_cancel_on_disconnect(self, session: Session) -> str:
        self.state(session).cancels = False
        return 'ok'

    @method('private/get_cancel_on_disconnect', does='cancel_on_disconnect')
    def get_cancel_on_disconnect(self, session: Session) -> Row:
        return {'scope': 'connection', 'enabled': self.state(session).cancels}
