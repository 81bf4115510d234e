# == bad.py
async def stream_quotes(send_chan, symbols):
    await send_chan.send({mkt.fqme: quote})  # found: PK703
    topic = symbols[0].upper()
    await send_chan.send({topic: quote})  # found: PK703
    await send_chan.send({f'{symbol}.bad': quote})  # found: PK703
    await relay(send_chan)
async def relay(send_chan):
    await send_chan.send({'BTCUSD': quote})  # found: PK703
# == good.py
async def stream_quotes(send_chan, symbols):
    topic = mkt.bs_fqme
    await send_chan.send({topic: quote})
    await send_chan.send({quote['symbol'].lower(): quote})
    await other.send({mkt.fqme: quote})
# == added.py
async def stream_quotes(send_chan, symbols):
    topic = mkt.bs_fqme + '.added'
    await send_chan.send({topic: quote})  # found: PK703
