"""
A simulated exchange: a real server, in a process of its own, on a real socket.

    python -m simvenue --help

It speaks JSON-RPC 2.0 over one WebSocket, in the manner of Deribit's API v2. Times
are integers in epoch milliseconds, prices are in the quote currency, amounts in the
base currency; both are JSON numbers, while tick sizes and fees are decimal strings.

Public methods, by their parameters and results
    public/get_time                 -> ms
    public/test                     -> {version}
    public/get_currencies           -> [{currency, kind: crypto|fiat, decimals}]
    public/get_instruments          -> [instrument]
    public/search_instruments       {pattern, limit=30} -> [instrument]
    public/get_candles              {instrument_name, resolution: 1|60, start?, end?,
                                    limit=1000} -> {time, open, high, low, close,
                                    volume}: columns, ascending, of the candles that
                                    open in [start, end]; the newest `limit` of them
    public/ticker                   {instrument_name} -> ticker
    public/get_trades               {instrument_name, start_id?, limit=100} -> [trade]:
                                    ascending from `start_id`, or else the newest
    public/subscribe, unsubscribe   {channels} -> channels now (not) subscribed
    public/set_heartbeat            {interval: s} -> 'ok'; a `heartbeat` notification
                                    of type `test_request` follows every interval, and
                                    whoever has not called public/test before the next
                                    one is disconnected

    instrument  instrument_name, kind: spot|perp, base_currency, quote_currency,
                tick_size, min_trade_amount, amount_step, is_active, maker_fee,
                taker_fee, creation_timestamp
    ticker      instrument_name, timestamp, last_price, best_bid_price,
                best_bid_amount, best_ask_price, best_ask_amount, volume_24h
    trade       trade_id, timestamp, price, amount, direction: buy|sell

Channels; `seq` counts 1, 2, 3, ... per connection and channel
    trades.<instrument>     {seq, trades: [trade]}
    quote.<instrument>      {seq, timestamp, best_bid_price, best_bid_amount,
                            best_ask_price, best_ask_amount}; one at once, then one
                            after each message of trades

Trade ids are contiguous per instrument and survive a restart. A connection that does
not read what it subscribed to is dropped.

Errors are those of JSON-RPC and 10028 too_many_requests, with data {retry_after: s};
11050 unknown_instrument; 11051 unknown_channel; 13028 temporarily_unavailable.

Controls for tests, which a real exchange does not have
    sim/trade   {instrument_name, price, amount, direction=buy} -> trade: print it
    sim/fault   {kind, channel?, method?, count=1, seconds?} -> 'ok': misbehave
                towards all connections but the caller's, see `simvenue.faults`
    sim/state   -> {now, connections, channels: {name: subscribers}, faults}

Every module in `simvenue.methods` adds its methods to the venue; what is not listed
here is described there.

The modules: `__main__` (command line), `server` (connections), `methods`, `market` (one
market's trades and quote), `source` (where they come from), `instruments`, `clock`,
`journal` (what survives a kill), `faults`; for programs `process` (run a venue) and
`wire` (talk to one).
"""
