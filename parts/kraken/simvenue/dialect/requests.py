"""
How requests are taken apart, and replies put together: REST at /0/public/<Name> and
/0/private/<Name>, WebSocket v2 at /v2 and /auth/v2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import trio

from ..bucket import Bucket
from ..instruments import Instrument
from ..methods import Methods
from ..refusals import Reason, Refusal
from ..server import Server
from ..session import Call, Session
from ..transport import HttpRequest
from .listing import all_names
from .messages import Row, iso

PUBLIC, PRIVATE = '/v2', '/auth/v2'
ORDERS = ('place', 'edit', 'cancel')
_COSTS = {'fills': 2.0, **dict.fromkeys(ORDERS, 0.0)}
"""Of private requests, where they are not 1."""
ERRORS: dict[Reason, str] = {
    'amount_step': 'EGeneral:Invalid arguments:volume',
    'amount_too_low': 'EOrder:Order minimum not met',
    'bad_login': 'EAPI:Invalid key',
    'bad_params': 'EGeneral:Invalid arguments',
    'bad_request': 'EGeneral:Invalid arguments',
    'bad_signature': 'EAPI:Invalid signature',
    'client_id_used': 'EGeneral:Invalid arguments:cl_ord_id is in use',
    'cost_too_low': 'EOrder:Cost minimum not met',
    'forbidden': 'EGeneral:Permission denied',
    'internal': 'EGeneral:Internal error',
    'login_needed': 'EAPI:Invalid key',
    'maintenance': 'EService:Unavailable',
    'market_closed': 'EService:Market in cancel_only mode',
    'no_funds': 'EOrder:Insufficient funds',
    'no_liquidity': 'EService:Market in limit_only mode',
    'not_open': 'EOrder:Unknown order',
    'order_not_found': 'EOrder:Unknown order',
    'price_step': 'EOrder:Tick size check failed',
    'socket_login_needed': 'ESession:Invalid session',
    'socket_needed': 'EGeneral:Unknown method',
    'stale_nonce': 'EAPI:Invalid nonce',
    'token_expired': 'ESession:Invalid session',
    'too_big': 'EGeneral:Invalid arguments',
    'too_late': 'EService:Deadline elapsed',
    'too_many': 'EAPI:Rate limit exceeded',
    'unknown_currency': 'EQuery:Unknown asset',
    'unknown_market': 'EQuery:Unknown asset pair',
    'unknown_operation': 'EGeneral:Unknown method',
    'unparsable': 'EGeneral:Invalid arguments:malformed JSON',
    'would_take': 'EOrder:Post only order',
}
NAMES = {
    'cl_ord_id': 'client_id',
    'limit_price': 'price',
    'order_qty': 'amount',
    'order_type': 'kind',
    'order_userref': 'group',
    'ordertype': 'kind',
    'timeinforce': 'time_in_force',
    'txid': 'order_id',
    'type': 'side',
    'userref': 'group',
    'volume': 'amount',
}
"""One word for what has two names, by HTTP and by WebSocket, at least."""
_LARGEST = 2**20
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Each(list[Row]):
    """
    The results of a request on a socket that has several replies. One with an `error`
    is a refusal.
    """


class Requests(Methods):
    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._buckets: dict[object, Bucket] = {}
        self._listed: object = None
        self._pairs: dict[str, Instrument] = {}

    def is_socket(self, path: str) -> bool:
        return path in (PUBLIC, PRIVATE)

    def bucket(self, name: str, *whose: str) -> Bucket:
        if (name, *whose) not in self._buckets:
            limits = self.server.limits
            burst, rate = limits[f'{name}_burst'], limits[f'{name}_rate']
            new = Bucket(burst, rate, trio.current_time())
            self._buckets[name, *whose] = new
        return self._buckets[name, *whose]

    def pair(self, name: str) -> Instrument:
        """
        Of any of its names. Raises `Refusal`.
        """
        listed = self.engine.instruments
        if self._listed is not listed:
            self._listed = listed
            self._pairs = {name: it for it in listed.values() for name in all_names(it)}
        if name not in self._pairs:
            raise Refusal('unknown_market', name)
        return self._pairs[name]

    def sign_in(self, session: Session, request: HttpRequest, params: Row) -> None:
        """
        Called before a private request. Raises `Refusal` where it may not be.
        """
        raise Refusal('unknown_operation')

    # by HTTP

    def read_http(self, session: Session, request: HttpRequest) -> Call:
        session.account = ''
        kind, _, name = request.path.removeprefix('/0/').partition('/')
        called = f'{kind}/{name}'
        try:
            params: Row = dict(parse_qsl(request.query))
            if request.header('content-type').startswith('application/json'):
                params |= _decode(request.body or b'{}')
            else:
                params |= dict(parse_qsl(request.body.decode()))
            if kind == 'private':
                self.sign_in(session, request, params)
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
            return self._call(session, '', {}, Refusal('unparsable'), _by_http)
        except Refusal as refusal:
            return self._call(session, '', {}, refusal, _by_http)
        return self._call(session, called, params, None, _by_http)

    # by WebSocket

    def read(self, session: Session, message: bytes) -> Call:
        arrived = self.engine.clock.now()
        refusal: Refusal | None = None
        request: Any = None
        if len(message) > _LARGEST:
            refusal = Refusal('too_big')
        else:
            try:
                request = msgspec.json.decode(message)
            except (msgspec.DecodeError, RecursionError):
                refusal = Refusal('unparsable')
        match request:
            case {'method': str(name), **rest} if isinstance(
                params := rest.get('params') or {}, dict
            ):
                envelope = partial(self._by_socket, session, arrived, request)
                return self._call(session, f'v2/{name}', params, None, envelope)
        refusal = refusal or Refusal('bad_request')
        envelope = partial(self._by_socket, session, arrived, {})
        return self._call(session, '', {}, refusal, envelope)

    def _by_socket(
        self, session: Session, arrived: int, request: Row, result: Any, error: str
    ) -> Row:
        if isinstance(result, list):
            first, *rest = (
                self._by_socket(session, arrived, request, it, it.get('error', ''))
                for it in result
            )
            session.after_reply[:0] = [partial(session.send, it) for it in rest]
            return first
        fields: Row = {
            key: request[key] for key in ('method', 'req_id') if key in request
        }
        if error:
            fields |= {'success': False, 'error': error}
            if isinstance(result, dict) and 'symbol' in result:
                fields['symbol'] = result['symbol']
        elif fields['method'] == 'ping':
            fields['method'] = 'pong'
        else:
            fields |= {'success': True, 'result': result}
        now = self.engine.clock.now()
        return fields | {'time_in': iso(arrived), 'time_out': iso(now)}

    # both

    def _call(
        self,
        session: Session,
        name: str,
        params: Row,
        refusal: Refusal | None,
        envelope: Callable[[Any, str], Row],
    ) -> Call:
        operation = self.operations.get(name, '')

        def act() -> Any:
            if refusal:
                raise refusal
            if name not in self.methods:
                raise Refusal('unknown_operation', name)
            self._admit(session, operation)
            return self.methods[name](session, renamed(params))

        def refuse(refusal: Refusal) -> tuple[int, Row]:
            return 200, envelope(None, self.explain(refusal, operation, params))

        pair = params.get('pair') or params.get('symbol') or ''
        if isinstance(pair, list):
            pair = pair[0]
        market = ''
        with suppress(Refusal):
            market = self.pair(pair).name if isinstance(pair, str) else ''
        return Call(
            operation,
            market,
            act,
            lambda result: envelope(result, ''),
            refuse,
        )

    def _admit(self, session: Session, operation: str) -> None:
        if session.is_socket:
            return
        now = trio.current_time()
        if session.account:
            bucket, cost = self.bucket('key', session.account), _COSTS.get(operation, 1)
        else:
            bucket, cost = self.bucket('request'), 1
        if not bucket.take(now, cost):
            raise Refusal('too_many')

    def explain(
        self, refusal: Refusal, operation: str = '', params: Iterable[str] = ()
    ) -> str:
        match refusal.reason:
            case 'bad_params':
                param, _, _ = refusal.text.partition(' ')
                said = (it for it in params if NAMES.get(it) == param)
                return f'{ERRORS["bad_params"]}:{next(said, param)}'
            case 'too_many' if refusal.wait is not None:
                until = self.engine.clock.now() / 1000 + refusal.wait
                return f'EService: Throttled: {math.ceil(until)}'
            case 'too_many' if operation in ORDERS:
                return 'EOrder:Rate limit exceeded'
            case 'unknown_market' if operation == 'subscribe':
                return f'Currency pair not supported {refusal.text}'
        return ERRORS[refusal.reason]


def renamed(params: Any) -> Any:
    match params:
        case dict():
            return {NAMES.get(key, key): renamed(it) for key, it in params.items()}
        case list():
            return [renamed(it) for it in params]
    return params


def _by_http(result: Any, error: str) -> Row:
    return {'error': [error]} if error else {'error': [], 'result': result}
