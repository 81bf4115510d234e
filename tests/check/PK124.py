# == bad/__init__.py
async def stream_quotes(send_chan, symbols, feed_is_live, task_status):  # found: PK124
    task_status.started(([], {}))
# == good/__init__.py
async def stream_quotes(send_chan, symbols, feed_is_live, task_status):
    async def live():
        feed_is_live.set()
    await live()
# == handed/__init__.py
from .elsewhere import stream
async def stream_quotes(send_chan, symbols, feed_is_live, task_status):
    await elsewhere.stream(feed_is_live)
