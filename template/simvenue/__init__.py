"""
A simulated exchange: a real server, in a process of its own, on real sockets.

    python -m simvenue --help

It prints the venue's URL, and that of its controls (`simvenue.controls`). What its
clients say and hear is in the first few modules, and no other has a word of it:

dialect         names, errors, calls and channels, as they are on the wire
engine          the venue behind it: clock, markets, what is listed, what happens
  instruments   products, and what follows from them as time goes by
  market        one market: trades, quote, book, candles
  source        where trades come from: computed noise; `tradefile`: a file
  pricing       what futures and options are worth
  matching      the book: orders at rest, a market maker
  accounts      balances, margins, positions (`exchange`: what becomes of orders)
  events        what the engine tells
  operations    what is asked for and told; `refusals`: why something is not done
  clock, journal  what time it is; what survives a kill (`lifetime`: how long it lives)
server          who is connected, and what they hear
  session       one connection: requests, streams, and what befalls them
  transport     HTTP and WebSocket on one stream
  methods       what may be asked for; `bucket`, `logins`: limits and tokens, for any
                dialect (`jsonrpc`: of JSON-RPC, where that is spoken)
  replay        says what another venue said: a `recording`
  faults        misbehaviour on request
controls        the control port; `client`: its client; `reports`: what it tells
process         run a venue from a trio program
"""
