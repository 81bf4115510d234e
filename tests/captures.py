"""What real exchanges said to others, as recordings that a generated project reads.

Two sources, neither of them part of the project: single messages, as NautilusTrader
keeps them, and sessions, as cryptofeed recorded them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Event = dict[str, Any]

ASKED = {
    'http_add_order': 'private/AddOrder',
    'http_asset_pairs': 'public/AssetPairs',
    'http_cancel_order': 'private/CancelOrder',
    'http_closed_orders': 'private/ClosedOrders',
    'http_get_account_summaries': 'private/get_account_summaries',
    'http_get_combos': 'public/get_combos',
    'http_get_expirations': 'public/get_expirations',
    'http_get_instrument': 'public/get_instrument',
    'http_get_instruments': 'public/get_instruments',
    'http_get_last_trades': 'public/get_last_trades_by_instrument',
    'http_get_order_book': 'public/get_order_book',
    'http_get_time': 'public/get_time',
    'http_get_tradingview_chart_data': 'public/get_tradingview_chart_data',
    'http_ohlc': 'public/OHLC',
    'http_open_orders': 'private/OpenOrders',
    'http_order_book': 'public/Depth',
    'http_server_time': 'public/Time',
    'http_spot_balance': 'private/Balance',
    'http_spot_open_positions': 'private/OpenPositions',
    'http_spot_trade_balance': 'private/TradeBalance',
    'http_system_status': 'public/SystemStatus',
    'http_test': 'public/test',
    'http_ticker': 'public/Ticker',
    'http_trades': 'public/Trades',
    'http_trades_history': 'private/TradesHistory',
    'ws_error': 'public/subscribe',
    'ws_order_buy': 'private/buy',
    'ws_order_cancel': 'private/cancel',
    'ws_order_edit': 'private/edit',
    'ws_order_sell': 'private/sell',
    'ws_order_stop': 'private/buy',
    'ws_subscribe_response': 'public/subscribe',
}
"""What is answered by messages that do not say it: what their files begin with."""


def messages(folder: Path) -> Iterator[Event]:
    """The events that single messages are: a file each, named for what it is."""
    for time, path in enumerate(sorted(folder.glob('*.json'))):
        message = json.loads(path.read_text())
        over, _, name = path.stem.partition('_')
        way = 'sent' if 'params' in message and 'req_id' in message else 'received'
        what = {'method': _asked(path.stem, message), 'message': message}
        yield mk_event(way, over, name, time, status=200 * (over == 'http'), **what)


def _asked(name: str, message: Any) -> str:
    match message:
        case {'channel': _} | {'params': {'channel': _}} | {'method': 'heartbeat'}:
            return ''
        case {'req_id': _, 'method': str(method)}:
            return 'ping' if method == 'pong' else method
    return ASKED[max(filter(name.startswith, ASKED), key=len)]


def write(path: Path, protocol: str, events: Iterable[Event]) -> Path:
    header = {'recording': 1, 'backend': 'deribit2', 'protocol': protocol}
    lines = [header, *events]
    path.write_text(''.join(json.dumps(it) + '\n' for it in lines))
    return path


def mk_event(way: str, over: str, conn: str, time: float, **rest: Any) -> Event:
    where = {'actor': 'captured', 'conn': conn, 'over': over}
    return {'time': time, **where, 'way': way, **rest}


# sessions


def session(repo: Path, name: str) -> Iterator[Event]:
    """The events of one that cryptofeed recorded: `DERIBIT.ws.1.0`, of `sample_data/`.

    An event is a line: `URL -> time: reply` of a request by HTTP, `URL <-> time` of a
    socket that is opened, `URL <- time: message` of what is sent on it, and `time:
    message` of what comes.
    """
    command = ['git', '-C', str(repo), 'show', f'HEAD:sample_data/{name}']
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    asked: dict[Any, str] = {}
    for number, line in enumerate(filter(None, text.splitlines()), 1):
        head, _, said = line.partition(': ')
        *where, time = head.split(' ')
        url, way = where or ('', '')
        match way:
            case '' if time == 'configuration':
                continue
            case '->':
                yield from _exchange(url, name, number, float(time), json.loads(said))
            case '<->':
                path = urlsplit(url).path
                yield mk_event('opened', 'ws', name, float(time), path=path)
            case '<-':
                message = json.loads(said)
                method = message.get('method') or message['event']
                asked[message.get('id')] = method
                yield mk_event(
                    'sent', 'ws', name, float(time), method=method, message=message
                )
            case '':
                message = json.loads(said)
                answers = isinstance(message, dict) and 'id' in message
                method = asked[message['id']] if answers else ''
                yield mk_event(
                    'received', 'ws', name, float(time), method=method, message=message
                )
            case _:
                raise ValueError(line)


def _exchange(
    url: str, conn: str, number: int, time: float, reply: Any
) -> Iterator[Event]:
    parts = urlsplit(url)
    method = '/'.join(parts.path.split('/')[-2:])
    request: Event = {'verb': 'GET', 'path': parts.path}
    if parts.query:
        request['query'] = dict(parse_qsl(parts.query))
    same = {'method': method, 'request': number}
    yield mk_event('sent', 'http', conn, time, **same, message=request)
    yield mk_event('received', 'http', conn, time, **same, status=200, message=reply)
