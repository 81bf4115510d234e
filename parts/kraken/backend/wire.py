"""
How the venue is spoken to: by HTTP at /0/public and /0/private, and on two sockets. See
`_connection.Language`.
"""

from __future__ import annotations

#{% if trading %}
import hashlib
import time
from base64 import b64decode, b64encode
#{% endif %}
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from . import messages
from ._clock import Clock
#{% if trading %}
from ._config import Credentials
from ._connection import HTTP, IN_TURN, Request
from ._errors import AuthError
#{% else %}
from ._connection import HTTP, Request
#{% endif %}
from .messages import SECRETS, SocketMessage

_known = {
    'https://api.kraken.com': {
        'public': 'wss://ws.kraken.com/v2',
        'private': 'wss://ws-auth.kraken.com/v2',
    }
}
"""Where the sockets are. Elsewhere they are at /v2 and /auth/v2."""

_decode_message = msgspec.json.Decoder(SocketMessage).decode
_decode_reply = msgspec.json.Decoder(messages.HttpReply).decode


class Wire:
    """
    Takes requests apart, and puts them together.
    """

    secrets = SECRETS
    id_field = 'req_id'

    def __init__(self) -> None:
#{% if trading %}
        self.credentials: Credentials | None = None
        """With which to sign; without, private methods raise `AuthError`."""
        self.token: str = ''
        """With which the private socket is the account's."""
        self._nonce: int = 0
#{% endif %}
        self.clock = Clock()

    def sockets(self, url: str) -> dict[str, str]:
        base = f'ws{url.removeprefix("http").rstrip("/")}'
        found = _known.get(url, {'public': f'{base}/v2', 'private': f'{base}/auth/v2'})
#{% if trading %}
        return found if self.credentials else {'public': found['public']}
#{% else %}
        return {'public': found['public']}
#{% endif %}

    def probe(self, name: str) -> str:
        return '{"method":"ping"}'

    def way(self, method: str, params: Mapping[str, object]) -> str:
#{% if trading %}
        if method.startswith('private/'):
            return IN_TURN
#{% endif %}
        if method.startswith('public/'):
            return HTTP
#{% if trading %}
        if method != 'ping' and params.get('channel') not in ('book', 'trade'):
            return 'private'
#{% endif %}
        return 'public'

    def mk_request(self, method: str, params: Mapping[str, object]) -> Request:
        path = f'/0/{method}'
#{% if trading %}
        if method.startswith('private/'):
            return self._sign(path, params)
#{% endif %}
        return Request('GET', f'{path}?{urlencode(params)}' if params else path)

#{% if trading %}
    def _sign(self, path: str, params: Mapping[str, object]) -> Request:
        if self.credentials is None:
            raise AuthError(f'{path}: there are no credentials')
        # it rises, whatever the clock does, and after a restart as well
        self._nonce = max(self._nonce + 1, time.time_ns())
        body = urlencode({'nonce': self._nonce, **params})
        digest = hashlib.sha256(f'{self._nonce}{body}'.encode()).digest()
        try:
            sign = self.credentials.sign(path.encode() + digest, 'sha512', b64decode)
        except ValueError:
            raise AuthError('the api_secret is not as the venue makes them') from None
        headers = {
            'API-Key': self.credentials.key,
            'API-Sign': b64encode(sign).decode(),
            'Content-Type': 'application/x-www-form-urlencoded',
        }
        return Request('POST', path, headers, body)

#{% endif %}
    def mk_message(
        self, method: str, params: Mapping[str, object], call_id: int
    ) -> str:
        message: dict[str, object] = {'method': method, 'req_id': call_id}
#{% if trading %}
        if self.way(method, params) == 'private':
            params = {**params, 'token': self.token}
#{% endif %}
        if params:
            message['params'] = params
        return msgspec.json.encode(message).decode()

    def read_message(self, data: str | bytes) -> tuple[int | None, str, SocketMessage]:
        message = _decode_message(data)
        return message.req_id, message.channel, message

    def read_reply(self, method: str, content: SocketMessage | bytes) -> msgspec.Raw:
        if isinstance(content, SocketMessage):
            errors = [content.error] if content.error else []
            result = content.result
            if content.method == 'pong':  # it has none, but says the time
                result = msgspec.Raw(msgspec.json.encode({'time_in': content.time_in}))
        else:
            reply = _decode_reply(content)
            errors = [it for it in reply.error if not it.startswith('W')]
            result = reply.result
        for error in errors:
            raise messages.mk_error(method, error, self.clock.now())
        return result
