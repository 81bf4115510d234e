"""
What the simulator says has all that Deribit says: the fields, and their JSON types.

The messages are recorded ones, mostly. They are not part of the project: it takes their
folder from PIKER_NEW_FRAMES, or finds it beside itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from frames import FOLDER, differences
from simulator import Socket, Venue

FRAMES = FOLDER / 'deribit'
NAME = 'BTC-PERPETUAL'

pytestmark = pytest.mark.skipif(
    not FRAMES.is_dir(), reason=f'no recorded messages in {FRAMES}'
)

# What we leave out on purpose: where it is in the message, and why.
LEFT_OUT: dict[str, dict[str, str]] = {
    'ws_trades': {'combo_trade_id': 'of trades of combos, which are not listed'},
    'ws_portfolio': {
        f'total_{it}_usd': 'only of accounts with cross margin'
        for it in (
            'maintenance_margin',
            'delta_total',
            'initial_margin',
            'equity',
            'margin_balance',
        )
    },
    'ws_book_snapshot': {
        'prev_change_id': 'null here; documented, and elsewhere recorded, as absent'
    },
    'http_get_account_summaries': {
        'fees': 'discounts of the account that was recorded',
        **dict.fromkeys(
            ('quotes', 'max_quotes', 'guaranteed_quotes'), 'there are no mass quotes'
        ),
    },
}

# Of what we do not do at all.
NOT_SPOKEN: dict[str, str] = {
    'combo': 'no combos are listed',
    'cross_margin': 'accounts have a margin for each currency',
    'expirations': 'a backend has them from the instruments',
    'stop_market': 'no trigger orders',
    'volatility_index': 'no such index',
}


class Asker:
    """Has our own message of every kind that was recorded."""

    def __init__(self, venue: Venue, socket: Socket) -> None:
        self._venue = venue
        self._socket = socket

    def get(self, method: str, **params: Any) -> Any:
        return self._venue.post(f'public/{method}', **params)

    def hear(self, channel: str, kind: str = '') -> Any:
        """The first message of a channel; of a book, one of that kind."""
        self._socket.request('public/subscribe', channels=[channel])
        while True:
            message = self._socket.receive()
            params = message['params']
            if params.get('channel') == channel:
                data = params['data']
                if not kind or (data['type'] == kind and data['bids'] and data['asks']):
                    self._socket.request('public/unsubscribe', channels=[channel])
                    return message

    def http_get_account_summaries(self) -> Any:
        return self._socket.request('private/get_account_summaries', extended=True)

    def http_get_instrument(self) -> Any:
        return self.get('get_instrument', instrument_name=NAME)

    def http_get_instrument_option(self) -> Any:
        listed = self.get('get_instruments', currency='BTC', kind='option')
        name = listed['result'][0]['instrument_name']
        return self.get('get_instrument', instrument_name=name)

    def http_get_instruments(self) -> Any:
        return self.get('get_instruments', currency='BTC')

    def http_get_last_trades(self) -> Any:
        return self.get(
            'get_last_trades_by_instrument', instrument_name='ETH-PERPETUAL'
        )

    def http_get_order_book(self) -> Any:
        return self.get('get_order_book', instrument_name=NAME, depth=20)

    def http_get_time(self) -> Any:
        return self.get('get_time')

    def http_test(self) -> Any:
        return self.get('test')

    def http_get_tradingview_chart_data(self) -> Any:
        now = int(time.time() * 1000)
        return self.get(
            'get_tradingview_chart_data',
            instrument_name=NAME,
            start_timestamp=now - 300_000,
            end_timestamp=now,
            resolution='1',
        )

    def ws_book_snapshot(self) -> Any:
        return self.hear(f'book.{NAME}.100ms', 'snapshot')

    def ws_book_delta(self) -> Any:
        return self.hear(f'book.{NAME}.100ms', 'change')

    def ws_book_grouped_snapshot(self) -> Any:
        return self.hear(f'book.{NAME}.none.10.100ms')

    def ws_chart(self) -> Any:
        return self.hear(f'chart.trades.{NAME}.1')

    def ws_quote(self) -> Any:
        return self.hear(f'quote.{NAME}')

    def ws_ticker(self) -> Any:
        return self.hear(f'ticker.{NAME}.100ms')

    def ws_trades(self) -> Any:
        return self.hear(f'trades.{NAME}.100ms')

    def ws_portfolio(self) -> Any:
        return self.hear('user.portfolio.any')

    def ws_subscribe_response(self) -> Any:
        return self._socket.request('public/subscribe', channels=[f'quote.{NAME}'])

    def ws_error(self) -> Any:
        self._venue.ask('misbehave', kind='rate_limit', operation='time')
        with self._venue.socket() as socket:
            return socket.request('public/get_time')

    def ws_test_request(self) -> Any:
        with self._venue.socket() as socket:
            self._venue.ask('set_clock', speed=100)
            socket.request('public/set_heartbeat', interval=10)
            while (message := socket.receive())['params']['type'] != 'test_request':
                pass
            self._venue.ask('set_clock', speed=1)
            return message

    def place(self, side: str) -> Any:
        name = 'ETH_USDC-PERPETUAL'
        price = {'buy': 1000, 'sell': 10_000}[side]
        return self._socket.request(
            f'private/{side}',
            instrument_name=name,
            amount=0.001,
            price=price,
            label='x',
        )

    def ws_order_buy_response(self) -> Any:
        return self.place('buy')

    def ws_order_sell_response(self) -> Any:
        return self.place('sell')

    def ws_order_edit_response(self) -> Any:
        order = self.place('buy')['result']['order']
        return self._socket.request(
            'private/edit', order_id=order['order_id'], amount=0.002, price=1001
        )

    def ws_order_cancel_response(self) -> Any:
        order = self.place('buy')['result']['order']
        return self._socket.request('private/cancel', order_id=order['order_id'])


def is_left_out(row: Any) -> bool:
    return any(word in str(row.get('kind', '')) for word in NOT_SPOKEN)


def names() -> Iterator[str]:
    for path in sorted(FRAMES.glob('*.json')):
        if not any(word in path.stem for word in NOT_SPOKEN):
            yield path.stem


@pytest.fixture(scope='module')
def asker(venue: Venue) -> Iterator[Asker]:
    with venue.socket() as socket:
        yield Asker(venue, socket)


@pytest.mark.parametrize('name', names())
def test_says_all_that_deribit_says(asker: Asker, name: str) -> None:
    ask: Callable[[], Any] = getattr(asker, name)
    theirs = json.loads((FRAMES / f'{name}.json').read_text())
    ours = ask()
    assert 'error' in theirs or 'error' not in ours, ours
    missing = dict(differences(theirs, ours, is_left_out))
    left_out = LEFT_OUT.get(name, {})
    assert {path.split('.')[-1] for path in missing} == left_out.keys(), missing
