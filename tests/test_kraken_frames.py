"""
What the simulator says has all that Kraken says: the fields, and their JSON types.

The messages are recorded ones, mostly. They are not part of the project: it takes their
folder from PIKER_NEW_FRAMES, or finds it beside itself.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from conftest import MakeProject
from frames import FOLDER, differences
from simulator import run
from websockets.sync.client import connect

FRAMES = FOLDER / 'kraken'
PAIR, SYMBOL = 'XBTUSDT', 'BTC/USD'

pytestmark = pytest.mark.skipif(
    not FRAMES.is_dir(), reason=f'no recorded messages in {FRAMES}'
)

# Of what we do not do at all.
NOT_SPOKEN: dict[str, str] = {
    'l3': 'no books of single orders',
    'spot_open_positions': 'no margin, so none is open',
    'spot_trade_balance': 'likewise',
    'tokenized': 'no shares are listed',
}


class Asker:
    """Has our own message of every kind that was recorded."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._nonces = count(1)
        self.place(type='buy', price='1000.0', userref='5')
        gone = self.place(type='buy', price='1000.0')
        self.post('CancelOrder', txid=gone['txid'][0])
        for _ in range(2):
            self.place(type='buy', ordertype='market')
        self._placed = gone

    def get(self, name: str, **params: Any) -> Any:
        url = f'{self._url}/0/public/{name}'
        return httpx.get(url, params=params, trust_env=False).json()

    def post(self, name: str, **params: Any) -> Any:
        nonce, path = str(next(self._nonces)), f'/0/private/{name}'
        body = urlencode({'nonce': nonce, **params})
        text = path.encode() + sha256((nonce + body).encode()).digest()
        sign = hmac.new(b64decode('simsecretkey'), text, 'sha512').digest()
        headers = {
            'API-Key': 'simkey',
            'API-Sign': b64encode(sign).decode(),
            'Content-Type': 'application/x-www-form-urlencoded',
        }
        url = self._url + path
        reply = httpx.post(url, content=body, headers=headers, trust_env=False).json()
        return reply

    def place(self, **order: str) -> Any:
        given = {'pair': PAIR, 'ordertype': 'limit', 'volume': '0.001', **order}
        return self.post('AddOrder', **given)['result']

    def http_add_order_spot(self) -> Any:
        return {'error': [], 'result': self._placed}

    def http_asset_pairs(self) -> Any:
        return self.get('AssetPairs', pair=PAIR)

    def http_cancel_order_spot(self) -> Any:
        txid = self.place(type='buy', price='1000.0')['txid'][0]
        return self.post('CancelOrder', txid=txid)

    def http_closed_orders(self) -> Any:
        return self.post('ClosedOrders')

    def http_ohlc(self) -> Any:
        return self.get('OHLC', pair=PAIR)

    def http_open_orders(self) -> Any:
        return self.post('OpenOrders')

    def http_order_book(self) -> Any:
        return self.get('Depth', pair=PAIR, count=5)

    def http_server_time(self) -> Any:
        return self.get('Time')

    def http_spot_balance(self) -> Any:
        return self.post('Balance')

    def http_system_status(self) -> Any:
        return self.get('SystemStatus')

    def http_ticker(self) -> Any:
        return self.get('Ticker', pair=PAIR)

    def http_trades(self) -> Any:
        return self.get('Trades', pair=PAIR)

    def http_trades_history(self) -> Any:
        return self.post('TradesHistory')

    def talk(self, path: str, *requests: Any) -> Iterator[Any]:
        """What is said at a socket after these."""
        with connect(self._url.replace('http', 'ws') + path, proxy=None) as socket:
            for request in requests:
                socket.send(json.dumps(request))
            while True:
                yield json.loads(socket.recv(timeout=30))

    def hear(self, channel: str, kind: str) -> Any:
        """The first message of a channel that is of that kind."""
        params = {'channel': channel, 'symbol': [SYMBOL]}
        said = self.talk('/v2', {'method': 'subscribe', 'params': params})
        return next(
            message
            for message in said
            if (message.get('channel'), message.get('type')) == (channel, kind)
            and message['data'][0].get('bids') != []
        )

    def answer(self, path: str, request: Any) -> Any:
        said = self.talk(path, request)
        return next(message for message in said if 'req_id' in message)

    def as_recorded(self, name: str, **changes: Any) -> Any:
        """The answer to a request that was recorded, with other parameters."""
        request = json.loads((FRAMES / f'{name}.json').read_text())
        token = self.post('GetWebSocketsToken')['result']['token']
        request['params'] |= {'token': token, **changes}
        return self.answer('/auth/v2', request)

    def ws_add_order_response_success(self) -> Any:
        return self.as_recorded('ws_add_order_request')

    def ws_add_order_response_failure(self) -> Any:
        return self.as_recorded('ws_add_order_request', order_qty=1e6, cl_ord_id='x')

    def ws_batch_add_response_partial(self) -> Any:
        request = json.loads((FRAMES / 'ws_batch_add_request.json').read_text())
        orders = request['params']['orders']
        orders[1]['limit_price'] += 0.01
        return self.as_recorded('ws_batch_add_request', orders=orders)

    def ws_book_snapshot(self) -> Any:
        return self.hear('book', 'snapshot')

    def ws_book_update(self) -> Any:
        return self.hear('book', 'update')

    def ws_ohlc_update(self) -> Any:
        return self.hear('ohlc', 'update')

    def ws_pong(self) -> Any:
        return self.answer('/v2', {'method': 'ping', 'req_id': 42})

    def ws_subscribe_response(self) -> Any:
        params = {'channel': 'ticker', 'symbol': [SYMBOL]}
        request = {'method': 'subscribe', 'params': params, 'req_id': 1}
        return self.answer('/v2', request)

    def ws_ticker_snapshot(self) -> Any:
        return self.hear('ticker', 'snapshot')

    def ws_trade_update(self) -> Any:
        return self.hear('trade', 'update')


def names() -> Iterator[str]:
    for path in sorted(FRAMES.glob('*.json')):
        spoken = not any(word in path.stem for word in NOT_SPOKEN)
        if spoken and not path.stem.endswith('_request'):
            yield path.stem


@pytest.fixture(scope='module')
def asker(make_project: MakeProject) -> Iterator[Asker]:
    with run(make_project('--protocol', 'rest')) as venue:
        yield Asker(venue.url)


def listed(message: Any) -> Any:
    """With rows for what is named by ids, which are others."""
    match message:
        case {'result': {'ZUSD': _} as balances}:
            return {**message, 'result': [*balances.values()]}
        case {'result': dict(result)}:
            found = {
                key: [*value.values()] if key in ('open', 'closed', 'trades') else value
                for key, value in result.items()
            }
            return {**message, 'result': found}
    return message


@pytest.mark.parametrize('name', names())
def test_says_all_that_kraken_says(asker: Asker, name: str) -> None:
    ask: Callable[[], Any] = getattr(asker, name)
    theirs = json.loads((FRAMES / f'{name}.json').read_text())
    ours = ask()
    assert bool(theirs.get('error')) == bool(ours.get('error')), ours
    assert list(differences(listed(theirs), listed(ours))) == []


@pytest.mark.parametrize('name', ['ws_amend_order_request', 'ws_cancel_order_request'])
def test_hears_what_kraken_hears(asker: Asker, name: str) -> None:
    """Of nobody's order."""
    reply = asker.as_recorded(name)
    assert reply['error'] == 'EOrder:Unknown order'
