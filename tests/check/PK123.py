# == bad/__init__.py
async def stream_quotes(send_chan, symbols, feed_is_live, task_status):  # found: PK123
    feed_is_live.set()
# == good/__init__.py
async def stream_quotes(send_chan, symbols, feed_is_live, task_status):
    await stream(task_status)
async def stream(status):
    status.started(([], {}))
