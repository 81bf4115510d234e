# == bad.py
import trio
from tractor.to_asyncio import run_task
async def get_client():
    with trio.move_on_after(3):
        await run_task(f)  # found: PK504
# == good.py
import trio
import tractor
async def get_client():
    await tractor.to_asyncio.run_task(f)
    with trio.move_on_after(3):
        await trio.sleep(1)
