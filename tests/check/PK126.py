# == bad/__init__.py
import trio
async def stream_quotes():
    async with trio.open_nursery() as tn:
        await tn.start(relay)  # found: PK126
async def relay(task_status):
    await trio.sleep_forever()
# == good/__init__.py
import trio
from functools import partial
async def stream_quotes():
    async with trio.open_nursery() as tn:
        await tn.start(partial(relay, 1))
        tn.start_soon(other)
        await server.start(other)
async def relay(n, task_status):
    task_status.started()
async def other(): ...
