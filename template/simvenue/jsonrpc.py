"""
JSON-RPC 2.0, by WebSocket and by HTTP: requests are taken apart, replies put together.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from .methods import Methods
from .refusals import Reason, Refusal
from .session import Call, Session
from .transport import HttpRequest


class JsonRpc(Methods):
    """
    A dialect that is JSON-RPC: a subclass has the methods, and says the errors.
    """

    prefix = '/'
    """Of the paths of methods, by HTTP."""
    largest = 2**20
    """Bytes of a request."""
    errors: Mapping[Reason, tuple[int, str]]
    statuses: Mapping[int, int]
    """Of errors by HTTP, where it is not 400."""

    def admit(self, session: Session, name: str, params: dict[str, Any]) -> None:
        """
        Called before a method. Raises `Refusal` where it may not be.
        """

    def admit_http(self, session: Session, request: HttpRequest) -> None:
        """
        Called before a request by HTTP. Raises `Refusal` where it may not be.
        """

    def explain(self, session: Session, refusal: Refusal) -> Any:
        """
        The `data` of an error.
        """

    def read(self, session: Session, message: bytes) -> Call:
        arrived = time.time_ns() // 1000
        refused = partial(self._refused, session, arrived)
        if len(message) > self.largest:
            return refused(Refusal('too_big'))
        try:
            request = msgspec.json.decode(message)
        except (msgspec.DecodeError, RecursionError):
            return refused(Refusal('unparsable'))
        match request:
            case {'id': int() | str() as id_, 'method': str(name), **rest}:
                params = rest.get('params') or {}
                if isinstance(params, dict):
                    return self._call(session, arrived, id_, name, params)
        return refused(Refusal('bad_request'))

    def read_http(self, session: Session, request: HttpRequest) -> Call:
        arrived = time.time_ns() // 1000
        session.account = ''
        try:
            self.admit_http(session, request)
        except Refusal as refusal:
            return self._refused(session, arrived, refusal)
        if request.method == 'POST':
            return self.read(session, request.body)
        name = request.path.removeprefix(self.prefix).strip('/')
        params = {key: _of_query(it) for key, it in parse_qsl(request.query)}
        return self._call(session, arrived, None, name, params)

    def _refused(self, session: Session, arrived: int, refusal: Refusal) -> Call:
        def act() -> Any:
            raise refusal

        reply = partial(self._reply, arrived, None)
        return Call('', '', act, reply, partial(self._refuse, session, arrived, None))

    def _call(
        self,
        session: Session,
        arrived: int,
        id_: int | str | None,
        name: str,
        params: dict[str, Any],
    ) -> Call:
        market = params.get('instrument_name', '')
        return Call(
            self.operations.get(name, ''),
            market if isinstance(market, str) else '',
            partial(self._act, session, name, params),
            partial(self._reply, arrived, id_),
            partial(self._refuse, session, arrived, id_),
        )

    def _act(self, session: Session, name: str, params: dict[str, Any]) -> Any:
        if name not in self.methods:
            raise Refusal('unknown_operation', name)
        self.admit(session, name, params)
        return self.methods[name](session, params)

    def _envelope(self, arrived: int, id_: Any, **content: Any) -> dict[str, Any]:
        now = time.time_ns() // 1000
        fields = {'jsonrpc': '2.0', 'id': id_, **content, 'usIn': arrived, 'usOut': now}
        if id_ is None:
            del fields['id']
        return fields | {'usDiff': now - arrived, 'testnet': True}

    def _reply(self, arrived: int, id_: Any, result: Any) -> dict[str, Any]:
        return self._envelope(arrived, id_, result=result)

    def _refuse(
        self, session: Session, arrived: int, id_: Any, refusal: Refusal
    ) -> tuple[int, Any]:
        code, message = self.errors[refusal.reason]
        data = self.explain(session, refusal)
        error = {'code': code, 'message': message, 'data': data}
        return self.statuses.get(code, 400), self._envelope(arrived, id_, error=error)


def _of_query(text: str) -> Any:
    """
    A parameter in a URL: a text, or JSON.
    """
    if text[:1] in '[{':
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            pass
    return {'true': True, 'false': False}.get(text, text)
