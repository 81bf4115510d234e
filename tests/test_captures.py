"""What real exchanges said to others, held against a generated backend, and replayed.

None of it is part of the project. Single messages are in a folder that PIKER_NEW_FRAMES
names, or beside the project; cryptofeed's sessions in the git repository, with or
without a work tree, that PIKER_NEW_CRYPTOFEED names.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import captures
import httpx
import msgspec
import pytest
from captures import Event
from conftest import MakeProject, outside
from frames import FOLDER
from simulator import run

CRYPTOFEED = os.environ.get('PIKER_NEW_CRYPTOFEED', '')
OPTIONS = {'jsonrpc': (), 'rest': ('--protocol', 'rest')}

# What is not as the backend and the simulator have it, by the reason for which that is
# right: `what kind path: details` of a finding, or with … what it begins with.
NO_DEPTH = {
    'what a feed has of it is of another channel': [
        'unexpected channel book: …',
        'unknown channel book: …',
    ],
}
DRIFT: dict[str, dict[str, list[str]]] = {
    'frames/deribit': {
        **NO_DEPTH,
        'nobody subscribes to it': [
            'unexpected channel chart: …',
            'unexpected channel deribit_volatility_index: …',
            'unexpected channel ticker: …',
            'unexpected channel user.portfolio: …',
            'unknown channel chart: …',
            'unknown channel deribit_volatility_index: …',
            'unknown channel ticker: …',
            'unknown channel user.portfolio: …',
        ],
        'nobody asks for it': [
            'unknown reply to public/get_combos: …',
            'unknown reply to public/get_expirations: …',
            'unknown reply to public/get_order_book: …',
        ],
        'nothing of the kind is in the example': [
            'unknown refusal of public/subscribe: …',
            'word reply to private/sell.result.order.order_state: open',
            'word reply to public/get_last_trades_by_instrument.result.trades[]'
            '.direction: buy',
        ],
        'a stop, which the backend never places': [
            'missing reply to private/buy.result.order.average_price: somewhere',
            'missing reply to private/buy.result.order.filled_amount: somewhere',
            'new reply to private/buy.result.order.trigger: text',
            'new reply to private/buy.result.order.trigger_price: number',
            'type reply to private/buy.result.order.price: text, and not number',
            'word reply to private/buy.result.order.direction: sell',
            'word reply to private/buy.result.order.order_state: untriggered',
            'word reply to private/buy.result.order.order_type: stop_market',
        ],
        'the simulator has no combos, nor options that live for a day': [
            'missing reply to public/get_instruments.result[].block_trade_…',
            'missing reply to public/get_instruments.result[].expiration_…',
            'missing reply to public/get_instruments.result[].price_index: somewhere',
            'missing reply to public/get_last_trades_by_instrument.result.trades[]…',
            'new channel trades.params.data[].combo_trade_id: text',
            'new channel trades.params.data[].legs: list',
            'new reply to public/get_last_trades_by_instrument.result.trades[]'
            '.combo_id: text',
            'new reply to public/get_last_trades_by_instrument.result.trades[]'
            '.combo_trade_id: text',
            'new reply to public/get_last_trades_by_instrument.result.trades[]'
            '.legs: list',
            'word reply to public/get_instruments.result[].kind: '
            'future_combo, option_combo',
            'word reply to public/get_instruments.result[].settlement_period: day',
        ],
        'an account of other currencies and margins': [
            'missing reply to private/get_account_summaries.result.summaries[].…',
            'new reply to private/get_account_summaries.result.summaries[].…',
            'word reply to private/get_account_summaries.result.summaries[]'
            '.margin_model: cross_pm',
        ],
        'by HTTP without an id': [
            'missing reply to public/get_instruments.id: somewhere',
            'missing reply to public/get_last_trades_by_instrument.id: somewhere',
        ],
        'the documentation leaves out what all replies have': [
            'missing reply to public/get_time.testnet: everywhere',
            'missing reply to public/get_time.us…',
            'missing reply to public/test.testnet: everywhere',
            'missing reply to public/test.us…',
        ],
        'newer than the message': [
            'missing reply to public/get_instrument.result.state: everywhere',
            'missing reply to public/get_instrument.result.underlying_type: …',
            'missing reply to public/get_instruments.result[].state: somewhere',
            'missing reply to public/get_instruments.result[].underlying_type: …',
        ],
    },
    'DERIBIT.0': {
        'by HTTP without an id': [
            'missing reply to public/get_instruments.id: everywhere',
        ],
        'newer than 2021 and 2022': [
            'missing reply to public/get_instruments.result[].block_trade_…',
            'missing reply to public/get_instruments.result[].counter_currency: …',
            'missing reply to public/get_instruments.result[].instrument_id: …',
            'missing reply to public/get_instruments.result[].instrument_type: …',
            'missing reply to public/get_instruments.result[].price_index: …',
            'missing reply to public/get_instruments.result[].state: everywhere',
            'missing reply to public/get_instruments.result[].tick_size_steps: …',
            'missing reply to public/get_instruments.result[].underlying_type: …',
        ],
        'markets that the simulator does not list': [
            'new reply to public/get_instruments.result[].rfq: boolean',
            'word reply to public/get_instruments.result[].price_index: …',
            'word reply to public/get_instruments.result[].settlement_period: day',
        ],
    },
    'DERIBIT.ws.1.0': {
        **NO_DEPTH,
        'quotes are of another channel': [
            'unexpected channel ticker: …',
            'unknown channel ticker: …',
        ],
    },
    'frames/kraken': {
        'quotes are of another channel': [
            'unexpected channel ticker: …',
            'unknown channel ticker: …',
            'word reply to subscribe.result.channel: ticker',
        ],
        'nobody subscribes to it': [
            'unexpected channel level3: …',
            'unexpected channel ohlc: …',
            'unknown channel level3: …',
            'unknown channel ohlc: …',
        ],
        'nobody asks for it': [
            'unknown reply to batch_add: …',
            'unknown reply to private/AddOrder: …',
            'unknown reply to private/Balance: …',
            'unknown reply to private/CancelOrder: …',
            'unknown reply to private/OpenPositions: …',
            'unknown reply to private/TradeBalance: …',
            'unknown reply to public/Depth: …',
            'unknown reply to public/SystemStatus: …',
        ],
        'nothing of the kind is in the example': [
            'unknown refusal of add_order: …',
            'word reply to private/ClosedOrders.result.closed.*.descr.ordertype: '
            'market',
            'word reply to private/ClosedOrders.result.closed.*.descr.type: sell',
            'word reply to private/ClosedOrders.result.closed.*.status: closed',
            'word reply to private/OpenOrders.result.open.*.descr.type: sell',
            'word reply to private/TradesHistory.result.trades.*.ordertype: market',
        ],
        'a stop, which the backend never places': [
            'word reply to private/OpenOrders.result.open.*.descr.ordertype: stop-loss',
        ],
        'flags that the backend never sets': [
            'word reply to private/ClosedOrders.result.closed.*.oflags: …',
            'word reply to private/OpenOrders.result.open.*.oflags: …',
        ],
        'orders that somebody else placed, and nobody amended': [
            'missing reply to private/ClosedOrders.result.closed.*.amended: everywhere',
            'missing reply to private/ClosedOrders.result.closed.*.cl_ord_id: '
            'everywhere',
            'missing reply to private/TradesHistory.result.trades.*.cl_ord_id: '
            'everywhere',
        ],
        'the simulator has no shares': [
            'missing reply to public/AssetPairs.result.*.execution_venue: somewhere',
            'word reply to public/AssetPairs.result.*.aclass_base: tokenized_asset',
        ],
    },
    'KRAKEN.0': {
        'newer than 2021': [
            'missing reply to public/AssetPairs.result.*.cost_decimals: everywhere',
            'missing reply to public/AssetPairs.result.*.costmin: everywhere',
            'missing reply to public/AssetPairs.result.*.execution_venue: everywhere',
            'missing reply to public/AssetPairs.result.*.long_position_limit: …',
            'missing reply to public/AssetPairs.result.*.short_position_limit: …',
            'missing reply to public/AssetPairs.result.*.status: everywhere',
            'missing reply to public/AssetPairs.result.*.tick_size: everywhere',
        ],
        'markets for some clients only, whose names end with .d': [
            'missing reply to public/AssetPairs.result.*.fees_maker: somewhere',
            'missing reply to public/AssetPairs.result.*.ordermin: somewhere',
            'missing reply to public/AssetPairs.result.*.wsname: somewhere',
        ],
    },
}
V1 = {
    'version 1 of the sockets, which names a channel by a number': [
        'breaks no channel: Expected `object`, got `array`',
        'missing no channel.…',
        'new no channel.…',
        'new no channel[]: …',
        'type no channel: list, and not object',
        'unexpected no channel: …',
    ],
}
DRIFT |= dict.fromkeys(('KRAKEN.ws.48.0', 'KRAKEN.ws.49.0', 'KRAKEN.ws.50.0'), V1)


def capture(name: str) -> list[Event]:
    """The events of one, or a skip."""
    if name.startswith('frames/'):
        folder = FOLDER / name.removeprefix('frames/')
        if not folder.is_dir():
            pytest.skip(f'no recorded messages in {folder} (PIKER_NEW_FRAMES)')
        return [*captures.messages(folder)]
    if not CRYPTOFEED:
        pytest.skip('PIKER_NEW_CRYPTOFEED names no repository of cryptofeed')
    return [*captures.session(Path(CRYPTOFEED), name)]


def protocol_of(name: str) -> str:
    return 'jsonrpc' if 'deribit' in name.lower() else 'rest'


def drift(project: Path, path: Path) -> Iterator[str]:
    """What is found, a line each; whether anything breaks is the status as well."""
    done = subprocess.run(
        [project / '.venv/bin/python', '-m', 'minipiker', 'drift', '--json', path],
        cwd=project,
        env=outside(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    rows = json.loads(done.stdout)
    assert done.returncode == any(row['what'] == 'breaks' for row in rows)
    for row in rows:
        yield '{what} {kind}{path}: {details}'.format(**row)


def unexpected(found: Iterable[str], name: str) -> tuple[list[str], list[str]]:
    """What is found and not expected, and the other way round."""
    expected = [line for lines in DRIFT[name].values() for line in lines]

    def fits(line: str, known: str) -> bool:
        return line.startswith(known[:-1]) if known[-1] == '…' else line == known

    found = [*found]
    return (
        [line for line in found if not any(fits(line, it) for it in expected)],
        [it for it in expected if not any(fits(line, it) for line in found)],
    )


@pytest.mark.parametrize('name', DRIFT)
def test_drifts_for_reasons_that_are_known(
    name: str, make_project: MakeProject, tmp_path: Path
) -> None:
    events, protocol = capture(name), protocol_of(name)
    path = captures.write(tmp_path / 'capture.jsonl', protocol, events)
    project = make_project(*OPTIONS[protocol])
    assert unexpected(drift(project, path), name) == ([], [])


@pytest.mark.parametrize(
    ('name', 'wanted', 'change', 'said'),
    [
        (
            'frames/deribit',
            'trades',
            {'price': 'high'},
            [
                'breaks channel trades[0].price: Expected `float`, got `str`',
                'type channel trades.params.data[].price: text, and not number',
            ],
        ),
        (
            'frames/kraken',
            'trade',
            {'side': 'hold'},
            ['word channel trade.data[].side: hold'],
        ),
    ],
    ids=['breaks', 'does not'],
)
def test_a_change_is_found(
    name: str,
    wanted: str,
    change: dict[str, str],
    said: list[str],
    make_project: MakeProject,
    tmp_path: Path,
) -> None:
    events, protocol = capture(name), protocol_of(name)
    for event in events:
        match event['message']:
            case {'params': {'channel': str(channel), 'data': [dict(row), *_]}} | {
                'channel': str(channel),
                'data': [dict(row), *_],
            } if channel.split('.')[0] == wanted:
                row.update(change)
    path = captures.write(tmp_path / 'capture.jsonl', protocol, events)
    found = drift(make_project(*OPTIONS[protocol]), path)
    assert unexpected(found, name) == (said, [])


def said_on(events: Iterable[Event]) -> list[Any]:
    """What came by itself."""
    return [
        event['message']
        for event in events
        if event['way'] == 'received' and not event['method']
    ]


def test_a_session_is_replayed_to_a_bare_client(project: Path, tmp_path: Path) -> None:
    events = capture('DERIBIT.ws.1.0')
    path = captures.write(tmp_path / 'session.jsonl', 'jsonrpc', events)
    (asked,) = (event['message'] for event in events if event['way'] == 'sent')
    news = said_on(events)
    assert len(news) > 100
    channels = asked['params']['channels']
    with (
        run(project, '--replay', str(path), '--pace', 'full') as venue,
        venue.socket(log_in=False) as socket,
    ):
        # not what was asked for then
        refused = socket.request('public/subscribe', channels=channels[1:])
        assert 'was not recorded' in str(refused['error'])
        reply = socket.request('public/subscribe', channels=channels)
        assert {*reply['result']} == {*channels}
        assert [socket.receive() for _ in news] == news


@pytest.mark.parametrize('name', ['DERIBIT.0', 'KRAKEN.0'])
def test_what_was_asked_by_http_is_answered_again(
    name: str, make_project: MakeProject, tmp_path: Path
) -> None:
    events, protocol = capture(name), protocol_of(name)
    path = captures.write(tmp_path / 'session.jsonl', protocol, events)
    with run(make_project(*OPTIONS[protocol]), '--replay', str(path)) as venue:
        host = httpx.URL(venue.url).copy_with(scheme='http', path='/')
        for sent, received in zip(events[::2], events[1::2], strict=True):
            request = sent['message']
            reply = httpx.get(
                host.join(request['path']),
                params=request.get('query'),
                trust_env=False,
            )
            assert msgspec.json.decode(reply.content) == received['message']
