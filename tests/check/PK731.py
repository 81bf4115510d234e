# == bad.py
from piker.clearing._messages import BrokerdOrder, BrokerdStatus
async def open_trade_dialog(ctx):  # found: PK731
    order = BrokerdOrder(**msg)
    await stream.send(BrokerdStatus(status='open'))
# == good.py
from piker.clearing._messages import BrokerdOrder, BrokerdOrderAck, BrokerdStatus
async def open_trade_dialog(ctx):
    order = BrokerdOrder(**msg)
    await stream.send(BrokerdOrderAck(oid=1))
    await stream.send(BrokerdStatus(status='open'))
# == paper.py
async def open_trade_dialog(ctx):
    await ctx.started('paper')
# == made.py
from piker.clearing._messages import BrokerdOrder, BrokerdOrderAck
async def open_trade_dialog(ctx):  # found: PK731
    order = BrokerdOrder(**msg)
    ack = BrokerdOrderAck(oid=1)
    flows.add(ack.to_dict())
